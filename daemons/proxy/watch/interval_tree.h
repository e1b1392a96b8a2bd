/*
 * interval_tree: interests in ranges. A balanced (AVL) tree in the order of (key, range_end), where each node
 * also knows which range below it ends last: finding all ranges that hold a key skips what ends before it.
 */
#ifndef QUORATE_PROXY_WATCH_INTERVAL_TREE_H
#define QUORATE_PROXY_WATCH_INTERVAL_TREE_H

#include "proxy/watch/interest.h"

struct interest *interval_find(struct interest *root, struct bytes key, struct bytes range_end);
/* Both return the new root. The interest to add must not be there, the one to remove must. */
struct interest *interval_add(struct interest *root, struct interest *interest);
struct interest *interval_remove(struct interest *root, struct interest *interest);
/* Appends all that hold the key. */
void interval_match(struct interest *root, struct bytes key, struct interest_list *out);
void interval_all(struct interest *root, struct interest_list *out);

/* The order of ends: an open range ends behind every other. */
int range_end_compare(struct bytes a, struct bytes b);

#endif
