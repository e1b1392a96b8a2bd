/*
 * log: see log.h. A line is built on the stack and written with one write(2), so lines of several threads and
 * several daemons sharing a terminal do not mix. A line that does not fit is cut at the end of a field.
 */
#include "common/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE_LIMIT = 8192, BYTES_LIMIT = 256 };

static char log_role[32] = "quorate";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error", "fatal"};

void log_init(const char *role, const char *level) {
    snprintf(log_role, sizeof log_role, "%s", role);
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(level, level_names[i]) == 0)
            log_threshold = (enum log_level)i;
    }
}

struct line {
    char text[LINE_LIMIT];
    size_t length;
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof line->text - line->length;
    int length = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void put_json_text(struct line *line, const uint8_t *text, size_t length) {
    put(line, "\"");
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = text[i];
        if (byte == '"' || byte == '\\')
            put(line, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            put(line, "\\u%04x", byte);
        else
            put(line, "%c", byte);
    }
    put(line, "\"");
}

static void put_text(struct line *line, const char *text) {
    if (text == NULL)
        text = "";
    put_json_text(line, (const uint8_t *)text, strlen(text));
}

static void put_value(struct line *line, const struct log_field *field) {
    switch (field->kind) {
    case LOG_STRING:
        put_text(line, field->string);
        break;
    case LOG_UNSIGNED:
        put(line, "%" PRIu64, field->number);
        break;
    case LOG_SIGNED:
        put(line, "%" PRId64, field->signed_number);
        break;
    case LOG_HEX:
        put(line, "\"%" PRIx64 "\"", field->number);
        break;
    case LOG_BYTES: {
        size_t length = field->bytes.length < BYTES_LIMIT ? field->bytes.length : BYTES_LIMIT;
        put_json_text(line, field->bytes.data, length);
        break;
    }
    case LOG_BOOL:
        put(line, "%s", field->number != 0 ? "true" : "false");
        break;
    case LOG_DOUBLE:
        put(line, "%g", field->real);
        break;
    }
}

static void put_head(struct line *line, enum log_level level, const char *file, int source_line) {
    struct timespec now;
    struct tm calendar;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &calendar);
    const char *slash = strrchr(file, '/');
    const char *folder = slash;
    while (folder != NULL && folder > file && folder[-1] != '/')
        folder--;
    put(line, "{\"level\":\"%s\",\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ\",\"caller\":\"%s:%d\"",
        level_names[level], calendar.tm_year + 1900, calendar.tm_mon + 1, calendar.tm_mday, calendar.tm_hour,
        calendar.tm_min, calendar.tm_sec, now.tv_nsec / 1000, folder == NULL ? file : folder, source_line);
    put(line, ",\"role\":\"%s\",\"msg\":", log_role);
}

void log_write(enum log_level level, const char *file, int source_line, const char *message, ...) {
    if (level < log_threshold)
        return;
    struct line line = {.length = 0};
    put_head(&line, level, file, source_line);
    put_text(&line, message);
    va_list fields;
    va_start(fields, message);
    for (;;) {
        struct log_field field = va_arg(fields, struct log_field);
        if (field.name == NULL)
            break;
        size_t before = line.length;
        put(&line, ",\"%s\":", field.name);
        put_value(&line, &field);
        if (line.length > sizeof line.text - 4) {
            line.length = before;
            break;
        }
    }
    va_end(fields);
    memcpy(line.text + line.length, "}\n", 2);
    if (write(STDERR_FILENO, line.text, line.length + 2) < 0)
        return; /* nobody listens: there is nowhere left to say so */
}

void log_exit(void) {
    _exit(1);
}
