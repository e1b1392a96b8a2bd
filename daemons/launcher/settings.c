/* settings: see settings.h. The YAML file is read in yaml_file.c. */
#include "launcher/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/log.h"

void settings_put(struct settings *settings, int flag, const char *value, enum setting_source source) {
    if (settings->sources[flag] > source)
        return;
    char *copy = must_strdup(value);
    free(settings->values[flag]);
    settings->values[flag] = copy;
    settings->sources[flag] = source;
}

const char *settings_get(const struct settings *settings, const char *name) {
    int flag = flag_find(name, strlen(name));
    REQUIRE(flag >= 0);
    return settings->values[flag];
}

static void unknown_flag(const char *name, size_t length, char error[SETTINGS_ERROR]) {
    const char *nearest = flag_nearest(name, length);
    int cut = length < 100 ? (int)length : 100;
    if (nearest == NULL)
        snprintf(error, SETTINGS_ERROR, "unknown flag: --%.*s (see --help)", cut, name);
    else
        snprintf(error, SETTINGS_ERROR, "unknown flag: --%.*s (did you mean --%s?)", cut, name, nearest);
}

/* Takes one flag, and its value when that is the next argument. Returns how many arguments were used, or 0.
 */
static int take_argument(struct settings *settings, int left, char **argv, char error[SETTINGS_ERROR]) {
    const char *text = argv[0];
    if (text[0] != '-' || text[1] == '\0') {
        snprintf(error, SETTINGS_ERROR, "\"%.100s\" is not a flag", text);
        return 0;
    }
    const char *name = text + (text[1] == '-' ? 2 : 1);
    size_t length = strcspn(name, "=");
    int flag = length == 1 && name[0] == 'h' ? flag_find("help", 4) : flag_find(name, length);
    if (flag < 0) {
        unknown_flag(name, length, error);
        return 0;
    }
    if (name[length] == '=') {
        settings_put(settings, flag, name + length + 1, SOURCE_COMMAND_LINE);
        return 1;
    }
    if (flag_rows[flag].type == FLAG_BOOL) {
        settings_put(settings, flag, "true", SOURCE_COMMAND_LINE);
        return 1;
    }
    if (left < 2) {
        snprintf(error, SETTINGS_ERROR, "flag --%s needs a value", flag_rows[flag].name);
        return 0;
    }
    settings_put(settings, flag, argv[1], SOURCE_COMMAND_LINE);
    return 2;
}

bool settings_from_arguments(struct settings *settings, int argc, char **argv, char error[SETTINGS_ERROR]) {
    for (int i = 1; i < argc;) {
        int used = take_argument(settings, argc - i, argv + i, error);
        if (used == 0)
            return false;
        i += used;
    }
    return true;
}

static int find_variable(const char *name, size_t length) {
    for (size_t i = 0; i < flag_count; i++) {
        char variable[96];
        flag_environment_name(&flag_rows[i], variable);
        if (strlen(variable) == length && memcmp(variable, name, length) == 0)
            return flag_find(flag_rows[i].name, strlen(flag_rows[i].name));
    }
    return -1;
}

void settings_from_environment(struct settings *settings, char **environment) {
    for (char **at = environment; *at != NULL; at++) {
        size_t length = strcspn(*at, "=");
        bool ours = strncmp(*at, "QUORATE_", 8) == 0;
        if ((!ours && strncmp(*at, "ETCD_", 5) != 0) || (*at)[length] != '=' || (*at)[length + 1] == '\0')
            continue;
        int flag = find_variable(*at, length);
        if (flag >= 0)
            settings_put(settings, flag, *at + length + 1, SOURCE_ENVIRONMENT);
        else if (!ours)
            LOG_WARN("unrecognized environment variable", F_BYTES("variable", bytes_of(*at, length)));
    }
}

static bool is_own(const struct flag_row *row) {
    char variable[96];
    flag_environment_name(row, variable);
    return strncmp(variable, "QUORATE_", 8) == 0;
}

/* A config file speaks for all of etcd's flags; ours, if given, and help and version stay. */
static bool replace_by_file(struct settings *settings, const char *path, char error[SETTINGS_ERROR]) {
    struct settings file = {0};
    bool good = settings_from_file(&file, path, error);
    for (size_t i = 0; good && i < flag_count; i++) {
        if (settings->values[i] != NULL && is_own(&flag_rows[i]))
            settings_put(&file, (int)i, settings->values[i], settings->sources[i]);
        else if (settings->values[i] != NULL && strcmp(flag_rows[i].name, "config-file") != 0)
            LOG_WARN("not used: the config file replaces flags and environment",
                     F_STR("flag", flag_rows[i].name));
    }
    settings_free(settings);
    *settings = file;
    return good;
}

bool settings_gather(struct settings *settings, int argc, char **argv, char **environment,
                     char error[SETTINGS_ERROR]) {
    memset(settings, 0, sizeof *settings);
    if (!settings_from_arguments(settings, argc, argv, error))
        return false;
    if (settings_get(settings, "help") != NULL || settings_get(settings, "version") != NULL)
        return true;
    settings_from_environment(settings, environment);
    const char *file = settings_get(settings, "config-file");
    if (file == NULL || *file == '\0')
        return true;
    char *path = must_strdup(file);
    bool good = replace_by_file(settings, path, error);
    free(path);
    return good;
}

void settings_free(struct settings *settings) {
    for (size_t i = 0; i < FLAG_LIMIT; i++)
        free(settings->values[i]);
    memset(settings, 0, sizeof *settings);
}
