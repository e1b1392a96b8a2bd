/* disk: the Linux side of the table in a temporary directory, its errors, and the two helpers on top of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/disk.h"

static char directory[] = "/tmp/quorate-disk-XXXXXX";
static char path[256];

static const char *in_directory(const char *name) {
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static struct disk_file *open_file(const char *name, int flags) {
    struct disk *disk = disk_linux();
    struct disk_file *file = NULL;
    assert_int_equal(disk->operations->open(disk, in_directory(name), flags, &file), 0);
    return file;
}

static void test_write_read_size_truncate(void **state) {
    (void)state;
    const struct disk_operations *op = disk_linux()->operations;
    struct disk_file *file = open_file("file", DISK_CREATE);
    assert_int_equal(op->write(file, "hello world", 11, 0), 0);
    assert_int_equal(op->write(file, "W", 1, 6), 0);
    assert_int_equal(op->write(file, "end", 3, 5000), 0); /* a hole before it */
    assert_int_equal(op->sync(file), 0);
    assert_int_equal(op->size(file), 5003);
    char text[32] = {0};
    assert_int_equal(op->read(file, text, 11, 0), 11);
    assert_string_equal(text, "hello World");
    assert_int_equal(op->read(file, text, sizeof text, 4999), 4); /* short at the end */
    assert_int_equal(text[0], 0);
    assert_int_equal(op->read(file, text, sizeof text, 6000), 0);
    assert_int_equal(op->truncate(file, 5), 0);
    assert_int_equal(op->size(file), 5);
    op->close(file);
    struct stat status;
    assert_int_equal(stat(in_directory("file"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_open_errors(void **state) {
    (void)state;
    struct disk *disk = disk_linux();
    struct disk_file *file = NULL;
    assert_int_equal(disk->operations->open(disk, in_directory("absent"), 0, &file), -ENOENT);
    disk->operations->close(open_file("present", DISK_CREATE));
    assert_int_equal(
        disk->operations->open(disk, in_directory("present"), DISK_CREATE | DISK_EXCLUSIVE, &file), -EEXIST);
    file = open_file("present", DISK_READ_ONLY);
    assert_int_equal(disk->operations->write(file, "x", 1, 0), -EBADF);
    disk->operations->close(file);
}

struct names {
    unsigned count, known;
};

static void visit(void *context, const char *name) {
    struct names *names = context;
    names->count++;
    names->known += strcmp(name, "one") == 0 || strcmp(name, "two") == 0;
}

static void test_names(void **state) {
    (void)state;
    struct disk *disk = disk_linux();
    const struct disk_operations *op = disk->operations;
    char sub[256];
    (void)snprintf(sub, sizeof sub, "%s", in_directory("sub"));
    assert_int_equal(op->make_directory(disk, sub), 0);
    assert_int_equal(op->make_directory(disk, sub), 0); /* existing is fine */
    op->close(open_file("sub/one", DISK_CREATE));
    op->close(open_file("sub/three", DISK_CREATE));
    char from[256];
    (void)snprintf(from, sizeof from, "%s", in_directory("sub/three"));
    assert_int_equal(op->rename(disk, from, in_directory("sub/two")), 0);
    assert_int_equal(op->rename(disk, from, in_directory("sub/two")), -ENOENT);
    assert_int_equal(op->sync_directory(disk, sub), 0);
    struct names names = {0};
    assert_int_equal(op->list(disk, sub, visit, &names), 0);
    assert_int_equal(names.count, 2);
    assert_int_equal(names.known, 2);
    assert_int_equal(op->unlink(disk, in_directory("sub/one")), 0);
    assert_int_equal(op->unlink(disk, in_directory("sub/one")), -ENOENT);
    assert_int_equal(op->list(disk, in_directory("nowhere"), visit, &names), -ENOENT);
    assert_int_equal(op->sync_directory(disk, in_directory("nowhere")), -ENOENT);
}

static void test_replace_and_read_whole(void **state) {
    (void)state;
    struct disk *disk = disk_linux();
    struct buffer content = {0};
    assert_int_equal(disk_read_file(disk, in_directory("pointer"), 100, &content), -ENOENT);
    assert_int_equal(disk_replace_file(disk, directory, "pointer", bytes_from_text("gen-1")), 0);
    assert_int_equal(disk_replace_file(disk, directory, "pointer", bytes_from_text("generation-2")), 0);
    buffer_append(&content, ">", 1);
    assert_int_equal(disk_read_file(disk, in_directory("pointer"), 100, &content), 0);
    assert_true(bytes_equal(buffer_bytes(&content), bytes_from_text(">generation-2")));
    assert_int_equal(access(in_directory("pointer.tmp"), F_OK), -1);
    assert_int_equal(disk_read_file(disk, in_directory("pointer"), 11, &content), -EFBIG);
    content.length = 0;
    assert_int_equal(disk_read_file(disk, in_directory("pointer"), 12, &content), 0);
    assert_int_equal(disk_replace_file(disk, "/nowhere-at-all", "pointer", bytes_from_text("x")), -ENOENT);
    buffer_free(&content);
}

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state) {
    (void)state;
    char command[300];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_read_size_truncate),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_replace_and_read_whole),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
