/* duration: see duration.h. */
#include "launcher/duration.h"

#include <errno.h>
#include <stdio.h>
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
    text += *text == '+';
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

static size_t unit_length(const char *text) {
    return strcspn(text, ".0123456789");
}

/* What is wrong with the first "1.5h" of *text; NULL: nothing, and *text is behind it. Else it is at the
 * unit.
 */
static const char *amount_fault(const char **text) {
    static const char digits[] = "0123456789";
    double nanoseconds = 0;
    size_t whole = strspn(*text, digits);
    bool dot = (*text)[whole] == '.';
    size_t fraction = dot ? strspn(*text + whole + 1, digits) : 0;
    *text += whole + dot + fraction;
    size_t unit = unit_length(*text);
    const char *end = *text;
    if (whole + fraction == 0)
        return "invalid";
    if (unit == 0)
        return "missing unit in";
    if (!take_unit(&end, &nanoseconds) || end != *text + unit)
        return "unknown unit";
    *text = end;
    return NULL;
}

const char *duration_error(const char *text, char error[160]) {
    const char *at = text + (*text == '+' || *text == '-');
    const char *fault = *at == '\0' ? "invalid" : NULL;
    while (fault == NULL && *at != '\0')
        fault = amount_fault(&at);
    if (fault == NULL) /* Go takes it */
        snprintf(error, 160, "duration \"%.60s\" is %s", text, *text == '-' ? "negative" : "too long");
    else if (strcmp(fault, "unknown unit") == 0)
        snprintf(error, 160, "time: %s \"%.*s\" in duration \"%.60s\"", fault, (int)unit_length(at), at,
                 text);
    else
        snprintf(error, 160, "time: %s duration \"%.60s\"", fault, text);
    return error;
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
