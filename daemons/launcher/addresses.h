/* addresses: the rules for URLs in flags, the cluster list, and whether the addresses to listen on are free.
 */
#ifndef QUORATE_LAUNCHER_ADDRESSES_H
#define QUORATE_LAUNCHER_ADDRESSES_H

#include "common/bytes.h"

enum { ADDRESSES_ERROR = 256 };

/* Every URL well-formed, plaintext, and (to listen on) an IP address, localhost or a unix path. */
bool addresses_check(const char *list, bool listen, char error[ADDRESSES_ERROR]);
/* "name=url,name=url2" of the advertised peer URLs, NUL-terminated. */
void addresses_cluster_of_one(const char *name, const char *peer_urls, struct buffer *out);
/* --initial-cluster names this member alone, with exactly its advertised peer URLs. */
bool addresses_check_cluster(const char *cluster, const char *name, const char *peer_urls,
                             char error[ADDRESSES_ERROR]);
/* Binds each address of the list and lets go again; false names the first that cannot be had. */
bool addresses_are_free(const char *list, char error[ADDRESSES_ERROR]);

#endif
