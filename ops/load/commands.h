/* commands: lines on standard input that tell a campaign's client what to do; end of file is "stop". */
#ifndef QUORATE_LOAD_COMMANDS_H
#define QUORATE_LOAD_COMMANDS_H

#include <stddef.h>

struct commands {
    char input[256];
    size_t length;
};

/* Registers standard input with an epoll; its event carries `commands` as pointer. */
void commands_watch(struct commands *commands, int epoll);
/* Calls on_line for each complete line that has come. */
void commands_read(struct commands *commands, void (*on_line)(void *owner, const char *line), void *owner);

#endif
