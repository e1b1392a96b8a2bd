/* lease_keepalive: the pool of questions under way that all LeaseKeepAlive streams of a server share. */
#ifndef QUORATE_PROXY_LEASE_KEEPALIVE_H
#define QUORATE_PROXY_LEASE_KEEPALIVE_H

struct keepalive;
struct keepalive_pool {
    struct keepalive *free;
    unsigned count;
};
void keepalive_pool_free(struct keepalive_pool *pool);

#endif
