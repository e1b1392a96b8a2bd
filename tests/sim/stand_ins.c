/*
 * stand_ins: log.h and clock.h for the simulator. Log lines go into the trace, the clock is virtual, and
 * log_exit() ends the simulated process instead of this one: that is a failure of the run, unless the process
 * had been killed already. Linked instead of common/log.c and common/clock.c.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "process.h"

void log_init(const char *role, const char *level) {
    (void)role;
    (void)level;
}

static void put_field(struct buffer *line, const struct log_field *field) {
    buffer_printf(line, " %s=", field->name);
    switch (field->kind) {
    case LOG_STRING:
        buffer_printf(line, "%s", field->string == NULL ? "" : field->string);
        break;
    case LOG_HEX:
        buffer_printf(line, "%" PRIx64, field->number);
        break;
    case LOG_SIGNED:
        buffer_printf(line, "%" PRId64, field->signed_number);
        break;
    case LOG_BYTES:
        buffer_printf(line, "%.*s", (int)field->bytes.length, (const char *)field->bytes.data);
        break;
    case LOG_DOUBLE:
        buffer_printf(line, "%g", field->real);
        break;
    default:
        buffer_printf(line, "%" PRIu64, field->number);
    }
}

void log_write(enum log_level level, const char *file, int line_number, const char *message, ...) {
    static const char *const names[] = {"debug", "info", "warn", "error", "fatal"};
    (void)file;
    (void)line_number;
    struct world *world = world_current;
    if (world == NULL || level == LOG_LEVEL_DEBUG)
        return;
    /* Without fields: formatting them costs more than the run. */
    if (!world->print && level < LOG_LEVEL_FATAL) {
        world_trace(world, "log %s", message);
        return;
    }
    struct buffer line = {0};
    va_list fields;
    va_start(fields, message);
    for (struct log_field field = va_arg(fields, struct log_field); field.name != NULL;
         field = va_arg(fields, struct log_field))
        put_field(&line, &field);
    va_end(fields);
    world_trace(world, "log %s", message);
    if (world->print)
        printf("           %s %s:%.*s\n", process_current == NULL ? "-" : process_current->name, names[level],
               (int)line.length, (const char *)line.data);
    if (level == LOG_LEVEL_FATAL && process_current != NULL && !process_current->zombie)
        world_fail(world, "%s: %s%.*s", process_current->name, message, (int)line.length,
                   (const char *)line.data);
    buffer_free(&line);
}

void log_exit(void) {
    if (process_current == NULL)
        PANIC("a fatal log line outside of every process");
    longjmp(process_current->escape, 1);
}

uint64_t clock_monotonic_us(void) {
    return world_current->now_us;
}

uint64_t clock_wall_us(void) {
    return world_current->now_us;
}

uint64_t clock_random(void) {
    PANIC("a role asked the kernel for randomness");
}
