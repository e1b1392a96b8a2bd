/* node_directory: the data directory of a node: making it, keeping others out, refusing what is not ours. */
#ifndef QUORATE_LAUNCHER_NODE_DIRECTORY_H
#define QUORATE_LAUNCHER_NODE_DIRECTORY_H

#include "common/config.h"

enum { NODE_DIRECTORY_ERROR = 512 };

/*
 * Makes data, WAL and runtime directory (0700), takes the lock of the data directory and looks through it.
 * Returns the lock's descriptor: it is inherited by the daemons, so the lock is free only when the last of
 * them is gone. -1 and a sentence in error otherwise; then nothing of another node was touched.
 *
 * When the lock is held by daemons whose launcher has died, waits up to 15 s for them to finish.
 */
int node_directory_take(const struct config *config, char error[NODE_DIRECTORY_ERROR]);

#endif
