/*
 * supervise: starts the daemons, keeps them running, stops them in order.
 *
 * Happy path: every daemon is started, each says it is ready (a byte on a pipe), "ready to serve client
 * requests" is logged, and nothing happens until a signal.
 *
 * Failure modes.
 * - A daemon dies: it is started again at once, throttled if it keeps dying (throttle.h).
 * - A daemon exits with an error before the node was ever ready (a corrupt log, an occupied port): the node
 * could only loop, so everything is stopped and the result is 1; the daemon has said why.
 * - SIGTERM or SIGINT: daemons are stopped stage by stage, 10 s each, then killed. Another signal, half
 * a second later or more, kills at once.
 * - SIGHUP is passed on.
 * - The launcher itself is killed: the kernel sends every daemon SIGTERM (PR_SET_PDEATHSIG).
 */
#ifndef QUORATE_LAUNCHER_SUPERVISE_H
#define QUORATE_LAUNCHER_SUPERVISE_H

#include "common/config.h"

/* Runs the node until it is stopped; returns the exit status. bin_directory holds the daemons' executables.
 */
int supervise(const struct config *config, const char *bin_directory, int lock_fd);

#endif
