/* role_state: what the files of the role share. Private to daemons/raft. */
#ifndef QUORATE_RAFT_ROLE_STATE_H
#define QUORATE_RAFT_ROLE_STATE_H

#include "common/bus/contract.h"
#include "raft/core/raft_core.h"
#include "raft/raft_role.h"
#include "raft/read_queue.h"

enum {
    LAG_SAMPLES = 32,
    LAG_SPACING_US = 50 * 1000,
    LAG_AGE_US = 1000 * 1000,
    LOG_MARKS = 64,
    READ_WAIT_DEFAULT_MS = 60 * 1000, /* for a read without a deadline */
};

/* One end of a link to a proxy. */
struct proxy_end {
    struct raft_role *role;
    unsigned slot;
    struct bus_link *link; /* NULL: not attached */
    bool held;
};

/* A membership change in the log that commit has not passed yet. Its data outlives the cache. */
struct pending_change {
    uint64_t index;
    uint8_t *data;
    size_t length;
};

/* Where the log stood at a moment: when (lag), or how many bytes had been appended (release). */
struct lag_sample {
    uint64_t time_us, commit;
};
struct log_mark {
    uint64_t index, bytes;
};

struct raft_role {
    struct raft_role_options options;
    char *client_urls;
    struct raft_core *core;
    const struct raft_log *log; /* the core's */
    struct membership membership, bootstrap;
    uint64_t now_us, next_core_tick_us;
    char failure[512];

    /* loading */
    bool loaded_state;
    uint64_t members_index; /* of the members file; 0: there is none */
    bool members_loaded;
    struct raft_hard_state loading_state;
    uint64_t loading_base, loading_base_term;

    struct pending_change *changes; /* ascending by index */
    size_t change_count, change_capacity;
    uint64_t last_change; /* index of the newest membership change applied */

    uint64_t largest_id[BUS_PROXY_SLOTS];

    struct proxy_end proxies[BUS_PROXY_SLOTS];
    struct bus_link *apply, *maint;

    /* the stream to apply */
    bool apply_up;
    uint64_t stream_next; /* next entry to put */
    uint64_t applied, apply_durable;
    struct raft_fetch fetch;
    enum { FETCH_IDLE, FETCH_WANTED, FETCH_RUNNING, FETCH_DONE } fetch_state;

    struct read_queue reads;

    /* durable work */
    enum { PERSIST_IDLE, PERSIST_APPEND, PERSIST_RELEASE } persist;
    bool released_last; /* a release never follows a release: appends wait behind it */
    struct wal_entry *batch;
    size_t batch_capacity;
    uint64_t taken_bytes, durable_bytes; /* of log data */
    uint64_t release_index;              /* 0: nothing to release */
    struct raft_members members;         /* what the release under way writes */
    struct buffer conf_state;
    struct log_mark marks[LOG_MARKS]; /* ascending */
    size_t mark_count;
    uint64_t released_bytes; /* bytes mark of the log's base */

    struct lag_sample lag[LAG_SAMPLES]; /* ring */
    size_t lag_next;

    struct bus_raft_state announced;
    uint64_t apply_losses;
    uint64_t leader_changes, proposals, proposals_refused, proposals_dropped;
};

/* raft_role.c */
void role_fail(struct raft_role *role, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Notes an appended or loaded entry: membership changes, request ids. */
void role_note_entry(struct raft_role *role, uint64_t index, uint16_t type, struct bytes data);
void role_note_id(struct raft_role *role, uint64_t id);
struct bus_raft_state role_raft_state(const struct raft_role *role);

/* role_members.c */
void role_remember_change(struct raft_role *role, uint64_t index, struct bytes data);
void role_forget_changes(struct raft_role *role, uint64_t from);
void role_apply_changes(struct raft_role *role);
void role_set_peers(struct raft_role *role);

/* role_proxy.c */
/*
 * A proposal of apply or maint: dropped unless this member leads in its term (nobody waits for it; the sender
 * proposes again), or when apply is more than `gap` entries behind. False: the record is malformed.
 */
bool role_propose_own(struct raft_role *role, const struct bus_record *received, uint64_t gap);

/* role_stream.c */
void role_stream(struct raft_role *role);
/* Puts the read on the apply link if the stream has passed index and there is room. */
bool role_put_read(struct raft_role *role, const struct bus_request *request, uint64_t index);

/* role_reads.c */
void role_read(struct raft_role *role, unsigned slot, const struct bus_request *request);
void role_advance_reads(struct raft_role *role);
void role_ask_again(struct raft_role *role);

/* role_persist.c */
void role_mark_log(struct raft_role *role);
void role_want_release(struct raft_role *role);
uint64_t role_unpersisted_bytes(const struct raft_role *role);

#endif
