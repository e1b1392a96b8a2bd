/* help: what --help and --version print, on standard output. */
#ifndef QUORATE_LAUNCHER_HELP_H
#define QUORATE_LAUNCHER_HELP_H

void print_help(void);
/* quorate's version, and in etcd's own format the version of the API it speaks. */
void print_version(void);

#endif
