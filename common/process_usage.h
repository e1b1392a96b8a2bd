/*
 * process_usage: what processes of this node use, from /proc; for the metrics page and the launcher.
 * Threading: no state. What cannot be read counts as nothing.
 */
#ifndef QUORATE_COMMON_PROCESS_USAGE_H
#define QUORATE_COMMON_PROCESS_USAGE_H

#include <stdint.h>

struct process_usage {
    unsigned processes;
    uint64_t resident, virtual_memory;       /* bytes */
    uint64_t files;                          /* open descriptors */
    uint64_t network_received, network_sent; /* bytes of the machine's IP traffic */
};

/* Adds one process. */
void process_usage_add(uint64_t pid, struct process_usage *usage);
void process_usage_network(struct process_usage *usage);

#endif
