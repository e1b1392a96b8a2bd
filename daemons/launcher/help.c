/* help: see help.h. */
#include "launcher/help.h"

#include <stdio.h>

#include "common/bytes.h"
#include "common/config.h"
#include "launcher/flag_table.h"

static const char *type_name(enum flag_type type) {
    static const char *const names[] = {[FLAG_TEXT] = "text",
                                        [FLAG_BOOL] = "true|false",
                                        [FLAG_NUMBER] = "number",
                                        [FLAG_DURATION] = "duration",
                                        [FLAG_URLS] = "urls"};
    return names[type];
}

static void print_flag(const struct flag_row *row) {
    char left[96], variable[96];
    flag_environment_name(row, variable);
    snprintf(left, sizeof left, "--%s %s", row->name, type_name(row->type));
    printf("  %-52s %s", left, variable);
    if (row->action == FLAG_SPECIAL && *row->argument != '\0')
        printf("  (default %s)", row->argument);
    printf("\n");
}

static void print_group(const char *title, enum flag_action action, enum flag_action other) {
    printf("\n%s\n", title);
    for (size_t i = 0; i < flag_count; i++) {
        if (flag_rows[i].action == action || flag_rows[i].action == other)
            print_flag(&flag_rows[i]);
    }
}

void print_help(void) {
    printf("quorate - an etcd-compatible key-value store; this command runs one node.\n\n"
           "usage: quorate [--flag value]...   (etcd's flags, their ETCD_* variables, or --config-file)\n");
    print_group("Flags with an effect:", FLAG_CONFIG, FLAG_SPECIAL);
    print_group("quorate's own:", FLAG_OWN, FLAG_OWN);
    print_group("Refused unless left at their default (TLS and clusters come with later releases):", FLAG_TLS,
                FLAG_CLUSTER);
    print_group("Accepted without effect, so that an existing etcd unit or manifest starts:", FLAG_ACCEPTED,
                FLAG_ACCEPTED);
    printf("\nFormer names, taken for the new ones:\n");
    for (size_t i = 0; i < flag_count; i++) {
        if (flag_rows[i].action == FLAG_ALIAS)
            printf("  --%s\n", flag_rows[i].name);
    }
}

void print_version(void) {
    printf("quorate %s\netcd Version: 3.7.1\n", QUORATE_VERSION);
}
