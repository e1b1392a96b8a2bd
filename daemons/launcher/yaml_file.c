/*
 * yaml_file: etcd's --config-file. The file is a map of flag names to scalars, lists of scalars (joined by
 * commas) or, for client-transport-security and peer-transport-security, maps of TLS settings.
 *
 * Failure modes: unreadable file, bad YAML, a key that is no flag, a value of an unexpected shape: an error
 * that names file, line and key. etcd passes over unknown keys in silence; a typing error is worse.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/bytes.h"
#include "launcher/settings.h"

struct reading {
    struct settings *settings;
    yaml_document_t document;
    const char *path;
    char *error;
};

static bool fail(const struct reading *reading, const yaml_node_t *node, const char *what, const char *name) {
    snprintf(reading->error, SETTINGS_ERROR, "%.200s line %zu: %s%s%.100s", reading->path,
             node->start_mark.line + 1, what, *name == '\0' ? "" : ": ", name);
    return false;
}

static const char *scalar_text(const yaml_node_t *node) {
    return (const char *)node->data.scalar.value;
}

/* null in YAML's notations counts as not given. */
static bool is_null(const yaml_node_t *node) {
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (strcmp(scalar_text(node), "") == 0 || strcmp(scalar_text(node), "~") == 0 ||
            strcmp(scalar_text(node), "null") == 0);
}

static bool join_list(struct reading *reading, const yaml_node_t *node, struct buffer *out) {
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         item++) {
        const yaml_node_t *element = yaml_document_get_node(&reading->document, *item);
        if (element->type != YAML_SCALAR_NODE)
            return false;
        if (out->length > 0)
            buffer_append_byte(out, ',');
        buffer_append(out, scalar_text(element), element->data.scalar.length);
    }
    return true;
}

/* A bare number where a duration is expected is nanoseconds, as Go decodes it. */
static void put_value(struct reading *reading, int flag, const char *value) {
    char with_unit[64];
    if (flag_rows[flag].type == FLAG_DURATION && strlen(value) < 20 && *value != '\0' &&
        strspn(value, "0123456789") == strlen(value)) {
        snprintf(with_unit, sizeof with_unit, "%sns", value);
        value = with_unit;
    }
    settings_put(reading->settings, flag, value, SOURCE_FILE);
}

static bool read_flag(struct reading *reading, const yaml_node_t *key, const char *name,
                      const yaml_node_t *value) {
    int flag = flag_find(name, strlen(name));
    if (flag < 0) {
        const char *nearest = flag_nearest(name, strlen(name));
        char hint[256];
        snprintf(hint, sizeof hint, "%.100s%s%s%s", name, nearest == NULL ? "" : " (did you mean ",
                 nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?)");
        return fail(reading, key, "unknown key", hint);
    }
    if (value->type == YAML_SCALAR_NODE) {
        if (!is_null(value))
            put_value(reading, flag, scalar_text(value));
        return true;
    }
    struct buffer list = {0};
    bool good = value->type == YAML_SEQUENCE_NODE && join_list(reading, value, &list);
    buffer_append_byte(&list, '\0');
    if (good)
        put_value(reading, flag, (const char *)list.data);
    buffer_free(&list);
    return good || fail(reading, value, "expected a value or a list of values for", name);
}

static bool read_map(struct reading *reading, const yaml_node_t *map, const char *prefix);

static bool read_pair(struct reading *reading, const yaml_node_pair_t *pair, const char *prefix) {
    const yaml_node_t *key = yaml_document_get_node(&reading->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(&reading->document, pair->value);
    if (key->type != YAML_SCALAR_NODE)
        return fail(reading, key, "a key must be a name", "");
    const char *name = scalar_text(key);
    bool client = strcmp(name, "client-transport-security") == 0;
    if (prefix == NULL && (client || strcmp(name, "peer-transport-security") == 0)) {
        if (value->type == YAML_MAPPING_NODE)
            return read_map(reading, value, client ? "" : "peer-");
        if (value->type == YAML_SCALAR_NODE && is_null(value))
            return true;
        return fail(reading, value, "expected a map for", name);
    }
    char flag[256];
    snprintf(flag, sizeof flag, "%s%.200s", prefix == NULL ? "" : prefix, name);
    return read_flag(reading, key, flag, value);
}

static bool read_map(struct reading *reading, const yaml_node_t *map, const char *prefix) {
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < map->data.mapping.pairs.top;
         pair++) {
        if (!read_pair(reading, pair, prefix))
            return false;
    }
    return true;
}

bool settings_from_file(struct settings *settings, const char *path, char error[SETTINGS_ERROR]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(error, SETTINGS_ERROR, "cannot read the config file %.200s: %s", path, strerror(errno));
        return false;
    }
    struct reading reading = {.settings = settings, .path = path, .error = error};
    yaml_parser_t parser;
    REQUIRE(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, file);
    bool good = yaml_parser_load(&parser, &reading.document) == 1;
    if (!good) {
        snprintf(error, SETTINGS_ERROR, "%.200s line %zu: not YAML: %.100s", path,
                 parser.problem_mark.line + 1, parser.problem == NULL ? "unreadable" : parser.problem);
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&reading.document);
        if (root != NULL && root->type != YAML_MAPPING_NODE)
            good = fail(&reading, root, "expected a map of flags", "");
        else if (root != NULL)
            good = read_map(&reading, root, NULL);
        yaml_document_delete(&reading.document);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return good;
}
