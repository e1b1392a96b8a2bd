/* duration: Go's notation of times and booleans, as etcd's flags take them. */
#ifndef QUORATE_LAUNCHER_DURATION_H
#define QUORATE_LAUNCHER_DURATION_H

#include <stdbool.h>
#include <stdint.h>

/* "1h30m", "5s", "1.5s", "300ms", "0"; rounded down to milliseconds. False when malformed or negative. */
bool duration_parse(const char *text, uint64_t *milliseconds);
/* Why not, in the words of Go's time.ParseDuration; returns error. */
const char *duration_error(const char *text, char error[160]);
/* 1, t, T, true, True, TRUE and their opposites. */
bool boolean_parse(const char *text, bool *value);
/* A whole decimal number, maybe negative. */
bool number_parse(const char *text, int64_t *value);

#endif
