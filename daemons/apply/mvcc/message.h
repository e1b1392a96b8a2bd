/* message: etcd's response messages, written field by field in proto order. Field numbers: etcd-api.md 1.2.
 */
#ifndef QUORATE_APPLY_MVCC_MESSAGE_H
#define QUORATE_APPLY_MVCC_MESSAGE_H

#include "common/store_record.h"

/* mvccpb.KeyValue as field `number` of the message being written; without the value when keys_only. */
void message_put_key_value(struct buffer *out, uint32_t number, struct bytes key, const struct record *record,
                           bool keys_only);
/* How many bytes that takes, tag and length included; number < 16. */
size_t message_key_value_size(struct bytes key, const struct record *record, bool keys_only);

/* The header of an answer inside a transaction: revision alone. */
void message_put_inner_header(struct buffer *out, int64_t revision);

#endif
