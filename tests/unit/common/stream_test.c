/* stream: listening on the addresses of a configuration, accepting, reading, writing, what is in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/stream.h"

static struct url http(const char *host, uint16_t port) {
    struct url url = {.scheme = "http", .port = port};
    snprintf(url.host, sizeof url.host, "%s", host);
    return url;
}

static uint16_t port_of(int fd) {
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void bytes_both_ways(void **state) {
    (void)state;
    char error[256];
    int listener = -1;
    struct url url = http("127.0.0.1", 0);
    struct stream stream;
    assert_int_equal(stream_listen(&url, false, &listener, 1, error), 1);
    assert_int_equal(stream_accept(listener, &stream), STREAM_ACCEPT_NONE);
    int client = connect_to(port_of(listener));
    assert_int_equal(stream_accept(listener, &stream), STREAM_ACCEPTED);
    char buffer[16];
    assert_int_equal(stream_read(&stream, buffer, sizeof buffer), STREAM_WANT_READ);
    assert_int_equal(stream_write(&stream, "hello", 5), 5);
    assert_int_equal(recv(client, buffer, sizeof buffer, 0), 5);
    assert_int_equal(send(client, "hi", 2, 0), 2);
    assert_int_equal(stream_read(&stream, buffer, sizeof buffer), 2);
    close(client);
    assert_int_equal(stream_read(&stream, buffer, sizeof buffer), STREAM_END);
    stream_close(&stream);
    close(listener);
}

static void full_socket_wants_to_be_waited_for(void **state) {
    (void)state;
    static char large[1 << 20];
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct stream stream = stream_plain(fds[0]);
    ptrdiff_t sent = 0;
    while ((sent = stream_write(&stream, large, sizeof large)) > 0)
        continue;
    assert_int_equal(sent, STREAM_WANT_WRITE);
    close(fds[1]);
    assert_int_equal(stream_write(&stream, large, 1), STREAM_END);
    stream_close(&stream);
}

static void taken_port_is_an_error_unless_shared(void **state) {
    (void)state;
    char error[256] = "";
    int first = -1;
    int second = -1;
    struct url url = http("127.0.0.1", 0);
    assert_int_equal(stream_listen(&url, false, &first, 1, error), 1);
    url.port = port_of(first);
    assert_int_equal(stream_listen(&url, false, &second, 1, error), 0);
    assert_non_null(strstr(error, "in use"));
    close(first);
    assert_int_equal(stream_listen(&url, true, &first, 1, error), 1);
    assert_int_equal(stream_listen(&url, true, &second, 1, error), 1);
    close(first);
    close(second);
}

static void localhost_and_nonsense(void **state) {
    (void)state;
    char error[256] = "";
    int fds[4];
    struct url url = http("localhost", 0);
    unsigned count = stream_listen(&url, false, fds, 4, error);
    assert_in_range(count, 1, 2);
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    url = http("no.such.host.invalid", 1);
    assert_int_equal(stream_listen(&url, false, fds, 4, error), 0);
    assert_non_null(strstr(error, "cannot resolve"));
    snprintf(url.scheme, sizeof url.scheme, "https");
    assert_int_equal(stream_listen(&url, false, fds, 4, error), 0);
    assert_non_null(strstr(error, "TLS"));
}

/* A socket file left over from a killed process is replaced; one that is listened on is not. */
static void unix_socket_files(void **state) {
    (void)state;
    char directory[] = "/tmp/quorate-stream-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct url url = {.scheme = "unix"};
    snprintf(url.host, sizeof url.host, "%s/socket", directory);
    char error[256] = "";
    int first = -1;
    int second = -1;
    assert_int_equal(stream_listen(&url, false, &first, 1, error), 1);
    assert_int_equal(stream_listen(&url, false, &second, 1, error), 0);
    close(first);
    assert_int_equal(stream_listen(&url, false, &second, 1, error), 1);
    close(second);
    unlink(url.host);
    /* Nor is a file that is no socket. */
    FILE *file = fopen(url.host, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(stream_listen(&url, false, &second, 1, error), 0);
    struct stat kept;
    assert_int_equal(stat(url.host, &kept), 0);
    unlink(url.host);
    rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_both_ways),
        cmocka_unit_test(full_socket_wants_to_be_waited_for),
        cmocka_unit_test(taken_port_is_an_error_unless_shared),
        cmocka_unit_test(localhost_and_nonsense),
        cmocka_unit_test(unix_socket_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
