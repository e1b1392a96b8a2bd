/*
 * flag_table: every flag of etcd 3.4 to 3.7 (etcd-api.md section 3.2) and quorate's own, as data.
 *
 * The environment variable of a flag is ETCD_ and its name in upper case with '_' for '-' (QUORATE_ for our
 * own); in a config file the key is the name. What a row's `argument` means depends on its action.
 */
#ifndef QUORATE_LAUNCHER_FLAG_TABLE_H
#define QUORATE_LAUNCHER_FLAG_TABLE_H

#include <stddef.h>

enum flag_type {
    FLAG_TEXT,
    FLAG_BOOL,
    FLAG_NUMBER,
    FLAG_DURATION, /* Go's notation: 5s, 1h30m, 300ms */
    FLAG_URLS,     /* comma-separated */
};

enum flag_action {
    FLAG_CONFIG,   /* sets the key `argument` of the config file of the daemons */
    FLAG_OWN,      /* the same, for a flag that etcd has not */
    FLAG_SPECIAL,  /* handled by name (resolve.c, main.c); argument: the default, for --help */
    FLAG_ALIAS,    /* another spelling of the flag `argument` */
    FLAG_ACCEPTED, /* no effect here; argument: the default. Any other value is answered with a warning */
    FLAG_TLS,      /* refused unless it has the value `argument`: TLS is not in this release */
    FLAG_CLUSTER,  /* refused unless it has the value `argument`: clusters are not in this release */
};

struct flag_row {
    const char *name;
    enum flag_type type;
    enum flag_action action;
    const char *argument;
};

extern const struct flag_row flag_rows[];
extern const size_t flag_count;
enum { FLAG_LIMIT = 256 }; /* flag_count is below */

/* Index of a flag by name, aliases followed; -1 when unknown. */
int flag_find(const char *name, size_t length);
/* The known name that looks most like this one, or NULL when none is close. */
const char *flag_nearest(const char *name, size_t length);
/* "ETCD_DATA_DIR" for "data-dir". */
void flag_environment_name(const struct flag_row *row, char out[96]);

#endif
