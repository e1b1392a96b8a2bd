/* process_usage: see process_usage.h. */
#include "common/process_usage.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t count_files(uint64_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/fd", pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    uint64_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

void process_usage_add(uint64_t pid, struct process_usage *usage) {
    char path[64];
    uint64_t total = 0, resident = 0;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/statm", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) == 2) {
        usage->processes++;
        usage->virtual_memory += total * page;
        usage->resident += resident * page;
        usage->files += count_files(pid);
    }
    fclose(file);
}

/* /proc/net/netstat pairs a line of names with a line of numbers; we want InOctets and OutOctets of IpExt. */
void process_usage_network(struct process_usage *usage) {
    char names[4096], numbers[4096];
    FILE *file = fopen("/proc/self/net/netstat", "re");
    if (file == NULL)
        return;
    while (fgets(names, sizeof names, file) != NULL && fgets(numbers, sizeof numbers, file) != NULL) {
        if (strncmp(names, "IpExt:", 6) != 0)
            continue;
        char *name_rest = names, *number_rest = numbers;
        for (;;) {
            char *name = strsep(&name_rest, " \n");
            char *number = strsep(&number_rest, " \n");
            if (name == NULL || number == NULL)
                break;
            if (strcmp(name, "InOctets") == 0)
                sscanf(number, "%" SCNu64, &usage->network_received);
            else if (strcmp(name, "OutOctets") == 0)
                sscanf(number, "%" SCNu64, &usage->network_sent);
        }
    }
    fclose(file);
}
