/*
 * log: JSON lines in etcd's field conventions: {"level":"info","ts":"…","caller":"…","msg":"…", fields…},
 * each naming its role. One write(2) a line to standard error (the launcher or systemd collects it).
 *
 * Levels: debug, info, warn (a peer or client did something odd, we cope), error (we failed at something and
 * go on), fatal (the environment failed us: the daemon exits with status 1, cleanly). A broken invariant is
 * PANIC (common/bytes.h).
 *
 *     LOG_INFO("opened WAL", F_STR("dir", directory), F_U64("last-index", last));
 */
#ifndef QUORATE_COMMON_LOG_H
#define QUORATE_COMMON_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL };

enum log_kind { LOG_STRING, LOG_UNSIGNED, LOG_SIGNED, LOG_HEX, LOG_BYTES, LOG_BOOL, LOG_DOUBLE };
struct log_field {
    const char *name;
    enum log_kind kind;
    union {
        const char *string;
        uint64_t number;
        int64_t signed_number;
        struct bytes bytes; /* printed as text with escapes; cut at 256 bytes */
        double real;
    };
};
#define F_STR(field, value) ((struct log_field){.name = (field), .kind = LOG_STRING, .string = (value)})
#define F_U64(field, value) ((struct log_field){.name = (field), .kind = LOG_UNSIGNED, .number = (value)})
#define F_I64(field, value)                                                                                  \
    ((struct log_field){.name = (field), .kind = LOG_SIGNED, .signed_number = (value)})
/* Ids as etcd prints them: lower-case hex, a string. */
#define F_HEX(field, value) ((struct log_field){.name = (field), .kind = LOG_HEX, .number = (value)})
#define F_BYTES(field, value) ((struct log_field){.name = (field), .kind = LOG_BYTES, .bytes = (value)})
#define F_BOOL(field, value) ((struct log_field){.name = (field), .kind = LOG_BOOL, .number = (value)})
#define F_REAL(field, value) ((struct log_field){.name = (field), .kind = LOG_DOUBLE, .real = (value)})
/* errno-style text; takes a positive errno */
#define F_ERRNO(value) F_STR("error", strerror(value))

/* Once, before threads. role: "proxy-0", "raft", …. level: "debug", "info", "warn", "error". */
void log_init(const char *role, const char *level);
/* Fields follow the message, ended by F_END; the macros below add it. */
void log_write(enum log_level level, const char *file, int line, const char *message, ...);
#define F_END ((struct log_field){.name = NULL})

#define LOG_AT(level, ...) log_write(level, __FILE__, __LINE__, __VA_ARGS__, F_END)
#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
/* Logs and ends the process with status 1: the environment failed, nothing more is done or acknowledged. */
#define LOG_FATAL(...)                                                                                       \
    do {                                                                                                     \
        LOG_AT(LOG_LEVEL_FATAL, __VA_ARGS__);                                                                \
        log_exit();                                                                                          \
    } while (0)
_Noreturn void log_exit(void);

#endif
