/* crc32c: CRC-32C (Castagnoli), the checksum of the WAL and of HashKV. */
#ifndef QUORATE_COMMON_CRC32C_H
#define QUORATE_COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over the bytes; the same chaining as Go's crc32.Update with Castagnoli. */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t length);

#endif
