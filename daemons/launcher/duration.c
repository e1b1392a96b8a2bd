/* duration: see duration.h. */
#include "launcher/duration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool take_unit(const char **text, double *nanoseconds) {
    static const struct {
        const char *name;
        double nanoseconds;
    } units[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                 {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i].name);
        if (strncmp(*text, units[i].name, length) == 0) {
            *text += length;
            *nanoseconds = units[i].nanoseconds;
            return true;
        }
    }
    return false;
}

bool duration_parse(const char *text, uint64_t *milliseconds) {
    double total = 0;
    if (strcmp(text, "0") == 0) {
        *milliseconds = 0;
        return true;
    }
    if (*text == '\0')
        return false;
    while (*text != '\0') {
        if (strspn(text, "0123456789.") == 0)
            return false;
        char *end = NULL;
        double amount = strtod(text, &end), unit = 0;
        if (end != text + strspn(text, "0123456789."))
            return false;
        text = end;
        if (!take_unit(&text, &unit))
            return false;
        total += amount * unit;
    }
    if (!(total < 9.2e18)) /* what Go's type holds */
        return false;
    *milliseconds = (uint64_t)(total / 1e6);
    return true;
}

bool boolean_parse(const char *text, bool *value) {
    static const char *const names[2][6] = {{"0", "f", "F", "false", "False", "FALSE"},
                                            {"1", "t", "T", "true", "True", "TRUE"}};
    for (unsigned i = 0; i < 12; i++) {
        if (strcmp(text, names[i / 6][i % 6]) == 0) {
            *value = i >= 6;
            return true;
        }
    }
    return false;
}

bool number_parse(const char *text, int64_t *value) {
    char *end = NULL;
    if (*text != '-' && (*text < '0' || *text > '9'))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}
