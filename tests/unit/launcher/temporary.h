/* temporary: files for one test, in a directory that is removed with them. */
#ifndef QUORATE_TESTS_UNIT_LAUNCHER_TEMPORARY_H
#define QUORATE_TESTS_UNIT_LAUNCHER_TEMPORARY_H

/* A file with this text; returns its path, valid until the next call. */
const char *temporary_file(const char *text);
/* A fresh directory; the path is valid until the next call. */
const char *temporary_directory(void);

#endif
