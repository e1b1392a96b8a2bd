/* checkpoint: see checkpoint.h. */
#include "maint/checkpoint.h"

#include "common/store_format.h"

uint64_t checkpoint_index(struct checkpoint *checkpoint) {
    struct buffer value = {0};
    bool found = checkpoint->operations->get(checkpoint, bytes_from_text(STORE_APPLIED_KEY), &value);
    uint64_t index = found ? store_applied_index(buffer_bytes(&value)) : 0;
    buffer_free(&value);
    return index;
}
