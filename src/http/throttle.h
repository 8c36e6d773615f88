/* How often somebody may ask. Token buckets in memory: one for the whole API, one for each caller (address or
 * user) and rate class.
 *
 * With Redis all servers of a shop count together: each decides at once by what it knows, and tells the
 * others every THROTTLE_SHARE_MS what it let through, so that together they let through the limit and what
 * one of them can let through in that time. While Redis is away each counts alone.
 *
 * A bucket is one number, the time at which it would be full again (the "generic cell rate algorithm"): a
 * bucket that is full needs no memory at all, and the table forgets full ones first. Thread-safe. */
#pragma once

#include "base/ids.h"
#include "http/operation.h"

#define THROTTLE_WHOLE_PER_SECOND 10000
#define THROTTLE_WHOLE_BURST 20000
#define THROTTLE_LOGIN_PER_MINUTE 20
#define THROTTLE_CHECKOUT_PER_MINUTE 60

/* How often the servers of a shop tell each other. */
#define THROTTLE_SHARE_MS 50

struct throttle;
struct redis;

struct throttle_verdict {
    bool is_allowed;
    int64_t limit;         /* requests a window */
    int64_t remaining;     /* that would be let through now */
    int64_t reset_s;       /* until all of them are back */
    int64_t retry_after_s; /* when refused: until one is back */
};

/* `rate_per_minute` is for reading; writing has half of it; log-in and checkout have their own. */
struct throttle *throttle_new(int64_t rate_per_minute);
void throttle_free(struct throttle *throttle);
/* Before anything is taken: from now on a thread exchanges what is taken with the servers that were given the
 * same key (derived from SOUK_SECRET: callers are hashed under it, so that Redis holds nobody's address).
 * `redis` outlives the throttle. False when the system refuses the thread. */
__attribute__((warn_unused_result)) bool throttle_share(struct throttle *throttle, struct redis *redis,
                                                        const uint8_t key[32]);

/* Takes from the bucket of the whole API. */
bool throttle_take_whole(struct throttle *throttle, int64_t now_us);
/* Takes from the bucket of a caller. `now_us` is monotonic. */
void throttle_take(struct throttle *throttle, uint64_t caller, enum rate_class rate_class, int64_t now_us,
                   struct throttle_verdict *verdict);
/* Callers: an IPv4 address, the /64 of an IPv6 address, a user. */
uint64_t throttle_address(const struct throttle *throttle, struct slice address);
uint64_t throttle_user(const struct throttle *throttle, struct uuid user_id);
const char *throttle_class_name(enum rate_class rate_class);
