/*
 * settings: what the user asked for, by flag, and where it came from; before anything is interpreted.
 *
 * Precedence (as etcd): a config file replaces command line and environment; else the command line beats the
 * environment. quorate's own flags are taken from the command line also beside a config file.
 * Values are owned text; settings_free releases them. Errors are sentences for the user.
 */
#ifndef QUORATE_LAUNCHER_SETTINGS_H
#define QUORATE_LAUNCHER_SETTINGS_H

#include <stdbool.h>

#include "launcher/flag_table.h"

enum setting_source { SOURCE_NONE, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };
enum { SETTINGS_ERROR = 512 };

struct settings {
    char *values[FLAG_LIMIT]; /* by index into flag_rows; NULL: not given */
    enum setting_source sources[FLAG_LIMIT];
};

/* Sets a value unless a stronger source has set it; the same source overrides itself. */
void settings_put(struct settings *settings, int flag, const char *value, enum setting_source source);
/* Value of a flag by its name, NULL when not given. The name must exist. */
const char *settings_get(const struct settings *settings, const char *name);

/* --flag value, --flag=value, -flag; booleans without a value are true. */
bool settings_from_arguments(struct settings *settings, int argc, char **argv, char error[SETTINGS_ERROR]);
/* Reads ETCD_*; warns about variables that name no flag. */
void settings_from_environment(struct settings *settings, char **environment);
/* A YAML file, flat but for etcd's two *-transport-security maps; lists become comma-separated. */
bool settings_from_file(struct settings *settings, const char *path, char error[SETTINGS_ERROR]);
/* All of the above in their precedence. */
bool settings_gather(struct settings *settings, int argc, char **argv, char **environment,
                     char error[SETTINGS_ERROR]);
void settings_free(struct settings *settings);

#endif
