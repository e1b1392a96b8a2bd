/* checkpoints: see checkpoints.h. What maint asks for is checked as if maint were not to be trusted. */
#include "apply/checkpoints.h"

#include <errno.h>

#include "apply/mvcc/mvcc.h"

enum { PATH_LIMIT = 4000 };

/* Below the member directory, without a step upward, without a NUL. */
static bool directory_allowed(const struct checkpoints *checkpoints, struct bytes directory) {
    if (checkpoints->member_directory == NULL || directory.length > PATH_LIMIT)
        return false;
    size_t length = strlen(checkpoints->member_directory);
    if (directory.length < length + 2 || memcmp(directory.data, checkpoints->member_directory, length) != 0 ||
        directory.data[length] != '/' || memchr(directory.data, 0, directory.length) != NULL)
        return false;
    return memmem(directory.data, directory.length, "/../", 4) == NULL &&
           memcmp(directory.data + directory.length - 2, "..", 2) != 0;
}

static void answer(struct bus_link *link, const struct bus_checkpoint *done) {
    struct bus_checkpoint record = *done;
    record.directory = done->status == 0 ? (struct bytes){0} : bytes_from_text(strerror(done->status));
    bus_put_checkpoint(link, BUS_APPLY_CHECKPOINT, &record);
}

struct apply_job *checkpoint_begin(struct checkpoints *checkpoints, struct bus_link *link,
                                   struct store *store, const struct bus_checkpoint *request) {
    int error = 0;
    if (checkpoints->busy)
        error = EBUSY;
    else if (!directory_allowed(checkpoints, request->directory))
        error = EACCES;
    if (error != 0) {
        answer(link, &(struct bus_checkpoint){.id = request->id, .status = (uint16_t)error});
        return NULL;
    }
    struct apply_job *job = job_new(JOB_CHECKPOINT, request->id, 0);
    job->store = store;
    buffer_append_bytes(&job->body, request->directory);
    checkpoints->busy = true;
    checkpoints->connection = bus_link_peer(link)->connection;
    checkpoints->compact_revision = request->compact_revision;
    return job;
}

void checkpoint_end(struct checkpoints *checkpoints, struct bus_link *link, struct apply_job *job) {
    const struct bus_hello *peer = bus_link_peer(link);
    if (peer != NULL && peer->connection == checkpoints->connection)
        answer(link, &(struct bus_checkpoint){
                         .id = job->id,
                         .index = job->result == 0 ? mvcc_applied_index(buffer_bytes(&job->answer)) : 0,
                         .compact_revision = checkpoints->compact_revision,
                         .status = (uint16_t)-job->result});
    checkpoints->busy = false;
    job_free(job);
}
