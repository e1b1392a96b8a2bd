/* temporary: see temporary.h. */
#include "launcher/temporary.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"

static char directory[64];

static int remove_one(const char *path, const struct stat *state, int kind, struct FTW *where) {
    (void)state;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_directory(void) {
    if (directory[0] != '\0')
        nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    directory[0] = '\0';
}

const char *temporary_directory(void) {
    static bool registered;
    if (!registered)
        REQUIRE(atexit(remove_directory) == 0);
    registered = true;
    remove_directory();
    strcpy(directory, "/tmp/quorate-unit-XXXXXX");
    REQUIRE(mkdtemp(directory) != NULL);
    return directory;
}

const char *temporary_file(const char *text) {
    static char path[96];
    snprintf(path, sizeof path, "%s/file", temporary_directory());
    FILE *file = fopen(path, "we");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}
