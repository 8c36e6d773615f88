/* How often somebody may ask. Token buckets in memory: one for the whole API, one for each caller (address,
 * user, key) and what it is counted by: a rate class of the server's, or the rate of a key's plan.
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

/* How often the servers of a shop tell each other. */
#define THROTTLE_SHARE_MS 50

struct throttle;
struct redis;

/* Requests, at least 1 each. A caller may make a minute's requests to read or to write at once, half a
 * minute's to log in or to check out. */
struct throttle_limits {
    int64_t whole_per_second;
    int64_t whole_burst;
    int64_t read_per_minute; /* of one caller, as all that follow */
    int64_t write_per_minute;
    int64_t login_per_minute;
    int64_t checkout_per_minute;
};

/* How fast a bucket fills, and how much it holds. */
struct throttle_rate {
    int64_t interval_us; /* until one more request is there */
    int64_t burst;       /* requests */
};

struct throttle_verdict {
    bool is_allowed;
    int64_t limit;         /* requests a window */
    int64_t window_s;      /* in which an empty bucket is full again */
    int64_t remaining;     /* that would be let through now */
    int64_t reset_s;       /* until all of them are back */
    int64_t retry_after_s; /* when refused: until one is back */
};

struct throttle *throttle_new(const struct throttle_limits *limits);
void throttle_free(struct throttle *throttle);
/* Before anything is taken: from now on a thread exchanges what is taken with the servers that were given the
 * same key (derived from SOUK_SECRET: callers are hashed under it, so that Redis holds nobody's address);
 * without `has_thread` whoever calls throttle_exchange. `redis` outlives the throttle. False when the system
 * refuses the thread. */
__attribute__((warn_unused_result)) bool throttle_share(struct throttle *throttle, struct redis *redis,
                                                        const uint8_t key[32], bool has_thread);
/* Tells the others what was let through since the last time, and hears what they did; at once when that is
 * nothing, or the throttle is not shared. For a share without a thread. */
void throttle_exchange(struct throttle *throttle);

/* Of so many requests a minute; both are taken as 1 when they are less. */
struct throttle_rate throttle_rate_make(int64_t per_minute, int64_t burst);

/* Takes from the bucket of the whole API. */
bool throttle_take_whole(struct throttle *throttle, int64_t now_us);
/* Takes from the bucket that a caller has for this class. `now_us` is monotonic. */
void throttle_take(struct throttle *throttle, uint64_t caller, enum rate_class rate_class, int64_t now_us,
                   struct throttle_verdict *verdict);
/* Takes from the one that it has for all it does together, which fills at a rate of its own (a plan's). */
void throttle_take_at_rate(struct throttle *throttle, uint64_t caller, struct throttle_rate rate,
                           int64_t now_us, struct throttle_verdict *verdict);
/* Callers: an IPv4 address (also when it is written as IPv4-mapped IPv6), the /64 of an IPv6 address, a user,
 * a key. */
uint64_t throttle_address(const struct throttle *throttle, struct slice address);
uint64_t throttle_user(const struct throttle *throttle, struct uuid user_id);
uint64_t throttle_key(const struct throttle *throttle, struct uuid key_id);
/* A key as it is used from one address. */
uint64_t throttle_key_from(const struct throttle *throttle, struct uuid key_id, struct slice address);
const char *throttle_class_name(enum rate_class rate_class);
