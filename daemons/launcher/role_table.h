/* role_table: the daemons of a node, as data. */
#ifndef QUORATE_LAUNCHER_ROLE_TABLE_H
#define QUORATE_LAUNCHER_ROLE_TABLE_H

#include <stdbool.h>

struct role {
    const char *name;       /* for logs; proxies add their slot */
    const char *executable; /* beside the launcher's own */
    bool slots;             /* one process for each of --proxies N, told its slot; else exactly one */
    unsigned stop_stage;    /* stopped together with its stage, after all lower ones are gone */
};

enum { ROLE_COUNT = 4 };
extern const struct role role_table[ROLE_COUNT];

#endif
