/*
 * resolve: from settings to the one configuration the daemons read; every rule about flags is here.
 *
 * Errors are sentences in etcd's words where etcd has the rule. Warnings go to the log.
 */
#ifndef QUORATE_LAUNCHER_RESOLVE_H
#define QUORATE_LAUNCHER_RESOLVE_H

#include "common/config.h"
#include "launcher/settings.h"

/*
 * Fills *config (initialised here; the caller frees it, also after an error). directory: the absolute
 * directory that relative paths start from. Nothing is created.
 */
bool resolve(const struct settings *settings, const char *directory, struct config *config,
             char error[SETTINGS_ERROR]);
/* Value of a flag, or its default. */
const char *resolve_text(const struct settings *settings, const char *name);

#endif
