/* commands: see commands.h. */
#include "ops/load/commands.h"

#include "common/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

void commands_watch(struct commands *commands, int epoll) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = commands};
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
        PANIC("standard input must be a pipe or a terminal: %s", strerror(errno));
}

void commands_read(struct commands *commands, void (*on_line)(void *owner, const char *line), void *owner) {
    char *input = commands->input;
    ssize_t count = read(STDIN_FILENO, input + commands->length, sizeof commands->input - commands->length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        on_line(owner, "stop");
        return;
    }
    commands->length += (size_t)count;
    char *end;
    while ((end = memchr(input, '\n', commands->length)) != NULL) {
        size_t used = (size_t)(end - input) + 1;
        *end = '\0';
        on_line(owner, input);
        memmove(input, input + used, commands->length - used);
        commands->length -= used;
    }
    if (commands->length == sizeof commands->input)
        commands->length = 0; /* no command is that long */
}
