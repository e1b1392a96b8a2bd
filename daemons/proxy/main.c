/*
 * quorate-proxy: serves etcd's clients: gRPC over HTTP/2 and the health and metrics pages over HTTP/1.1.
 *
 * SYNOPSIS   quorate-proxy --config FILE [--slot N]
 *
 * It checks requests, sends writes and linearizable reads to raft and serializable reads to apply, and puts
 * their results into responses. Several proxies may serve one node: each has its slot and all share the
 * client ports.
 *
 * SECURITY   Touches its client sockets, the links to raft, apply and maint in the runtime directory, and its
 * metrics file there. Never the data directory. Every byte of a client is taken for hostile. BUGS Killed, it
 * takes its clients' connections along; a write of theirs that was under way may or may not happen, as with
 * any lost connection. TLS, the JSON gateway and Auth are not served yet.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/bus/nng_transport.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/service.h"
#include "proxy/server.h"

enum {
    PENDING_LIMIT = 65536,
    WAITING_BYTES = 64 << 20,
    TICK_MS = 50,
    LINKS = 3,
};

struct proxy {
    struct service service;
    struct server *server;
    struct proxy_role *role;
    struct nng_transport *links[LINKS];
    bool ready;
};

/* Ready means what etcd means by it: a client's request would be served, which takes a leader and apply. */
static void look_whether_ready(struct proxy *proxy) {
    combiner_enter(&proxy->server->combiner);
    struct proxy_view view = proxy_role_view(proxy->role);
    combiner_leave(&proxy->server->combiner);
    proxy->ready = view.raft_up && view.apply_up && view.leader != 0;
    if (proxy->ready)
        service_ready(&proxy->service);
}

static void tick(void *context, uint64_t now_ms) {
    struct proxy *proxy = context;
    for (unsigned i = 0; i < LINKS; i++)
        nng_transport_tick(proxy->links[i], now_ms);
    if (!proxy->ready)
        look_whether_ready(proxy);
}

static struct nng_transport *dial(struct proxy *proxy, enum bus_role peer) {
    char name[32];
    bus_socket_name(name, peer, BUS_ROLE_PROXY, proxy->service.slot);
    struct nng_transport *link =
        nng_transport_open(name, false, &proxy->server->combiner, BUS_ROLE_PROXY, proxy->service.slot, peer,
                           0, proxy->service.incarnation, proxy_role_handler(proxy->role, peer));
    if (link == NULL)
        LOG_FATAL("cannot open a link of the bus", F_STR("socket", name));
    return link;
}

/* The combiner is held meanwhile: a link that comes up at once has to find the role complete. */
static void open_links(struct proxy *proxy) {
    static const enum bus_role peers[LINKS] = {BUS_ROLE_RAFT, BUS_ROLE_APPLY, BUS_ROLE_MAINT};
    combiner_enter(&proxy->server->combiner);
    for (unsigned i = 0; i < LINKS; i++)
        proxy->links[i] = dial(proxy, peers[i]);
    proxy_role_attach(proxy->role, nng_transport_link(proxy->links[0]), nng_transport_link(proxy->links[1]),
                      nng_transport_link(proxy->links[2]));
    combiner_leave(&proxy->server->combiner);
}

static void *serve(void *context) {
    server_run(context);
    return NULL;
}

int main(int argc, char **argv) {
    static struct proxy proxy;
    service_start(&proxy.service, argc, argv, "proxy");
    const struct config *config = &proxy.service.config;
    proxy.server = server_new(config);
    proxy.role = proxy_role_new(&(struct proxy_role_config){
        .slot = proxy.service.slot,
        .id_seed = clock_wall_us(),
        .timeout_us = UINT64_C(5000000) + 2000 * (uint64_t)config->election_timeout,
        .pending_limit = PENDING_LIMIT,
        .waiting_bytes = WAITING_BYTES,
        .max_request_bytes = config->max_request_bytes,
        .election_us = 1000 * (uint64_t)config->election_timeout,
        .watch_progress_us = 1000 * (uint64_t)config->watch_progress_interval,
        .seed = proxy.service.incarnation,
    });
    proxy.server->role = proxy.role;
    char error[256];
    if (!server_listen(proxy.server, proxy.service.slot, error))
        LOG_FATAL("cannot serve clients", F_STR("error", error));
    open_links(&proxy);

    pthread_t thread;
    int failure = pthread_create(&thread, NULL, serve, proxy.server);
    if (failure != 0)
        LOG_FATAL("cannot start a thread", F_ERRNO(failure));
    service_run(&proxy.service, TICK_MS, tick, &proxy);
    server_stop(proxy.server);
    pthread_join(thread, NULL);
    LOG_INFO("stopped");
    _exit(0);
}
