/* throttle: see throttle.h. */
#include "launcher/throttle.h"

uint64_t throttle_died(struct throttle *throttle, uint64_t lived_us, bool was_ready) {
    static const uint64_t waits[] = {0, 100000, 400000, 1600000, 5000000};
    enum { LAST = sizeof waits / sizeof *waits - 1 };
    if (lived_us >= (was_ready ? 250000 : 1000000)) {
        throttle->early_deaths = 0;
        return 0;
    }
    uint64_t wait = waits[throttle->early_deaths];
    if (throttle->early_deaths < LAST)
        throttle->early_deaths++;
    return wait;
}
