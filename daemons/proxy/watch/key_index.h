/* key_index: interests in single keys, by hash. */
#ifndef QUORATE_PROXY_WATCH_KEY_INDEX_H
#define QUORATE_PROXY_WATCH_KEY_INDEX_H

#include "proxy/watch/interest.h"

struct interest *key_index_find(const struct key_index *index, struct bytes key);
void key_index_add(struct key_index *index, struct interest *interest);
void key_index_remove(struct key_index *index, struct interest *interest);
void key_index_all(const struct key_index *index, struct interest_list *out);
void key_index_free(struct key_index *index);

#endif
