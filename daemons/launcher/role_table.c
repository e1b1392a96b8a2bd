/*
 * role_table: see role_table.h. Order of starting: listeners of links first, though any order works (dialers
 * redial). Order of stopping: who takes work in goes first, so that what is in flight can finish behind it.
 */
#include "launcher/role_table.h"

const struct role role_table[ROLE_COUNT] = {
    {.name = "raft", .executable = "quorate-raft", .stop_stage = 1},
    {.name = "apply", .executable = "quorate-apply", .stop_stage = 2},
    {.name = "maint", .executable = "quorate-maint", .stop_stage = 3},
    {.name = "proxy", .executable = "quorate-proxy", .slots = true, .stop_stage = 0},
};
