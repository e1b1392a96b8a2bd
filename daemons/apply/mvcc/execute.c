/*
 * execute: one log entry, whatever it holds.
 *
 * A normal entry is etcd's InternalRaftRequest. Kinds that this release does not serve (alarms, auth) are
 * answered "not implemented" by every member alike. An entry of a type that raftpb does not know comes
 * from a newer release: executing it as nothing would make members differ, so the daemon stops.
 */
#include "common/log.h"
#include "common/request.h"

#include "apply/mvcc/lease_entries.h"
#include "apply/mvcc/mvcc.h"
#include "apply/mvcc/txn.h"
#include "apply/mvcc/write.h"

enum { ENTRY_NORMAL = 0, ENTRY_CONF_CHANGE = 1, ENTRY_CONF_CHANGE_V2 = 2, RESULT_KEEP_BYTES = 1 << 20 };

static uint16_t execute_put(struct mvcc *mvcc, struct bytes body) {
    struct put_request request;
    if (!put_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    uint16_t status = put_check(mvcc, &request);
    if (status == STATUS_OK)
        put_run(mvcc, &request);
    return status;
}

static uint16_t execute_delete(struct mvcc *mvcc, struct bytes body) {
    struct delete_range_request request;
    if (!delete_range_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    delete_range_run(mvcc, &request, true);
    return STATUS_OK;
}

static uint16_t execute_txn(struct mvcc *mvcc, struct bytes body) {
    struct txn_shape shape;
    uint16_t status = txn_inspect(body, &shape);
    if (status != STATUS_OK)
        return status;
    return txn_run(mvcc, body);
}

static uint16_t execute_compaction(struct mvcc *mvcc, struct bytes body) {
    struct compaction_request request;
    if (!compaction_request_decode(body, &request))
        return STATUS_UNDECODABLE;
    if (request.revision > mvcc->revision)
        return STATUS_FUTURE_REVISION;
    bool compacted = request.revision <= mvcc->compacted;
    if (!compacted) {
        mvcc->compacted = request.revision;
        mvcc_put_compacted(mvcc);
    }
    if (request.physical)
        mvcc->awaits = mvcc->compacted;
    return compacted ? STATUS_COMPACTED : STATUS_OK;
}

static uint16_t execute_request(struct mvcc *mvcc, const struct internal_request *request) {
    switch (request->number) {
    case 0:
        return STATUS_UNDECODABLE;
    case INTERNAL_PUT:
        return execute_put(mvcc, request->body);
    case INTERNAL_DELETE_RANGE:
        return execute_delete(mvcc, request->body);
    case INTERNAL_TXN:
        return execute_txn(mvcc, request->body);
    case INTERNAL_COMPACTION:
        return execute_compaction(mvcc, request->body);
    case INTERNAL_LEASE_GRANT:
        return lease_grant_run(mvcc, request->body);
    case INTERNAL_LEASE_REVOKE:
        return lease_revoke_run(mvcc, request->body);
    case INTERNAL_LEASE_CHECKPOINT:
        return lease_checkpoint_run(mvcc, request->body);
    default:
        return STATUS_UNIMPLEMENTED;
    }
}

static void execute_normal(struct mvcc *mvcc, struct bytes data, struct outcome *outcome) {
    struct internal_request request;
    if (data.length == 0)
        return; /* a new leader's first entry */
    if (internal_request_decode(data, &request))
        outcome->status = execute_request(mvcc, &request);
    else
        outcome->status = STATUS_UNDECODABLE;
    outcome->id = request.id;
}

void mvcc_execute(struct mvcc *mvcc, uint64_t index, uint64_t term, uint16_t type, struct bytes data,
                  struct outcome *outcome) {
    REQUIRE(index == mvcc->index + 1);
    *outcome = (struct outcome){.status = STATUS_OK};
    buffer_reset(&mvcc->result, RESULT_KEEP_BYTES);
    mvcc->changed = false;
    mvcc->next_sub = 0;
    mvcc->awaits = -1;
    if (type == ENTRY_NORMAL)
        execute_normal(mvcc, data, outcome);
    else if (type == ENTRY_CONF_CHANGE && conf_state_apply(&mvcc->conf_state, data))
        mvcc_put_conf_state(mvcc);
    else if (type > ENTRY_CONF_CHANGE_V2)
        LOG_FATAL("the log holds an entry of a type that this release does not know: upgrade quorate",
                  F_U64("index", index), F_U64("type", type));
    lease_book_settle(&mvcc->leases);
    mvcc->revision = mvcc_inner_revision(mvcc);
    mvcc->changed = mvcc->interrupted = false;
    mvcc->index = index;
    mvcc->term = term;
    mvcc->dirty = true;
    outcome->revision = mvcc->revision;
    outcome->awaits = mvcc->awaits;
    if (outcome->status == STATUS_OK && mvcc->result.length > MVCC_ANSWER_LIMIT)
        outcome->status = STATUS_TOO_MANY_REQUESTS;
    if (outcome->status == STATUS_OK)
        outcome->body = buffer_bytes(&mvcc->result);
}
