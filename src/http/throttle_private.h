/* What throttle.c (the buckets) and throttle_share.c (the exchange with other servers) share. */
#pragma once

#include "http/throttle.h"

#define THROTTLE_STRIPES 64
/* Callers that were let through since the last exchange and can be told of; more count here alone. */
#define THROTTLE_STRIPE_BUSY_MAX 32
#define THROTTLE_TAKINGS_MAX (THROTTLE_STRIPES * THROTTLE_STRIPE_BUSY_MAX + 1)

#define THROTTLE_WHOLE UINT64_C(0) /* the bucket of the whole API; no other has an even key */

/* What this server let through of one bucket since it was asked before. */
struct throttle_taking {
    uint64_t key;
    int64_t taken_us; /* by so much the bucket's time of being full moved */
    int64_t capacity_us;
};

/* Fills `takings` (room for THROTTLE_TAKINGS_MAX) and forgets them. */
size_t throttle_collect(struct throttle *throttle, struct throttle_taking *takings);
/* All servers together have moved the bucket to be full then (monotonic time of this machine), without what
 * was let through here since the last throttle_collect. Never moves it back. */
void throttle_advance(struct throttle *throttle, uint64_t key, int64_t full_at_us);

/* What exchanges, with a thread or by throttle_share_exchange. NULL when the system refuses it. */
struct throttle_share *throttle_share_begin(struct throttle *throttle, struct redis *redis, bool has_thread);
void throttle_share_exchange(struct throttle_share *share);
void throttle_share_end(struct throttle_share *share);
