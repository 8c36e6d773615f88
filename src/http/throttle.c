/* Token buckets as one timestamp each, in a fixed table of small sets. What other servers let through comes
 * in from the side (throttle_share.c): deciding never waits for it. */
#include "http/throttle_private.h"

#include "base/check.h"
#include "base/crypto.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CLASS_COUNT (RATE_CHECKOUT + 1)
#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define WHOLE_INTERVAL_US (SECOND_US / THROTTLE_WHOLE_PER_SECOND)
#define SETS 8192 /* a power of two */
#define WAYS 8
#define STRIPES THROTTLE_STRIPES

/* A bucket: `full_at_us` moves forward by `interval` with each request and lets one through while it is less
 * than `burst` intervals ahead of now. Empty slot: key 0. */
struct bucket {
    uint64_t key;
    int64_t full_at_us;
    uint32_t taken; /* since they were last told to the other servers */
    enum rate_class rate_class;
};

struct rate {
    int64_t per_minute;
    int64_t burst;
    int64_t interval_us;
};

struct stripe {
    pthread_mutex_t lock;
    unsigned busy_count;
    uint64_t busy[THROTTLE_STRIPE_BUSY_MAX]; /* keys of buckets with `taken`; also keeps the locks apart */
};

struct throttle {
    uint64_t seed; /* unknown outside, so that nobody aims at one set */
    struct rate rates[CLASS_COUNT];
    _Atomic int64_t whole_full_at_us;
    _Atomic int64_t whole_taken;
    struct throttle_share *share; /* NULL: this server counts alone */
    struct stripe stripes[STRIPES];
    struct bucket buckets[SETS][WAYS];
};

static struct rate rate_make(int64_t per_minute, int64_t burst)
{
    if (per_minute < 1)
        per_minute = 1;
    return (struct rate){.per_minute = per_minute,
                         .burst = burst > 0 ? burst : 1,
                         .interval_us = MINUTE_US / per_minute > 0 ? MINUTE_US / per_minute : 1};
}

struct throttle *throttle_new(int64_t rate_per_minute)
{
    struct throttle *throttle = calloc(1, sizeof(*throttle));
    CHECK(throttle != NULL);
    random_fill(&throttle->seed, sizeof(throttle->seed));
    throttle->rates[RATE_READ] = rate_make(rate_per_minute, rate_per_minute);
    throttle->rates[RATE_WRITE] = rate_make(rate_per_minute / 2, rate_per_minute / 2);
    throttle->rates[RATE_LOGIN] = rate_make(THROTTLE_LOGIN_PER_MINUTE, THROTTLE_LOGIN_PER_MINUTE / 2);
    throttle->rates[RATE_CHECKOUT] =
        rate_make(THROTTLE_CHECKOUT_PER_MINUTE, THROTTLE_CHECKOUT_PER_MINUTE / 2);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&throttle->stripes[i].lock, NULL);
    return throttle;
}

void throttle_free(struct throttle *throttle)
{
    if (throttle == NULL)
        return;
    if (throttle->share != NULL)
        throttle_share_end(throttle->share);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&throttle->stripes[i].lock);
    free(throttle);
}

bool throttle_take_whole(struct throttle *throttle, int64_t now_us)
{
    const int64_t interval_us = WHOLE_INTERVAL_US;
    int64_t full_at = atomic_load_explicit(&throttle->whole_full_at_us, memory_order_relaxed);
    for (;;) {
        int64_t next = (full_at > now_us ? full_at : now_us) + interval_us;
        if (next - now_us > interval_us * THROTTLE_WHOLE_BURST)
            return false;
        if (atomic_compare_exchange_weak_explicit(&throttle->whole_full_at_us, &full_at, next,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            if (throttle->share != NULL)
                atomic_fetch_add_explicit(&throttle->whole_taken, 1, memory_order_relaxed);
            return true;
        }
    }
}

/* The caller's bucket, or the slot that is given to it: an empty one, else the one nearest to full. Taking a
 * bucket that is not full forgives its owner; it happens only when eight busy callers fall into one set. */
static struct bucket *bucket_find(struct bucket *set, uint64_t key)
{
    struct bucket *chosen = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].full_at_us < chosen->full_at_us)
            chosen = &set[i];
    }
    *chosen = (struct bucket){.key = key, .full_at_us = 0};
    return chosen;
}

static size_t set_of(uint64_t key)
{
    return (size_t)(key >> 8) & (SETS - 1);
}

/* For the other servers to know. More busy buckets than the list holds count here alone for a moment. */
static void note_taken(struct stripe *stripe, struct bucket *bucket)
{
    if (bucket->taken == 0 && stripe->busy_count == THROTTLE_STRIPE_BUSY_MAX)
        return;
    if (bucket->taken++ == 0)
        stripe->busy[stripe->busy_count++] = bucket->key;
}

static int64_t seconds_up(int64_t us)
{
    return us <= 0 ? 0 : (us + SECOND_US - 1) / SECOND_US;
}

void throttle_take(struct throttle *throttle, uint64_t caller, enum rate_class rate_class, int64_t now_us,
                   struct throttle_verdict *verdict)
{
    const struct rate *rate = &throttle->rates[rate_class];
    const int64_t capacity_us = rate->interval_us * rate->burst;
    uint64_t words[2] = {caller, (uint64_t)rate_class};
    uint64_t key = hash64((struct slice){(const char *)words, sizeof(words)}) | 1; /* 0 marks an empty slot */
    size_t set = set_of(key);
    struct stripe *stripe = &throttle->stripes[set % STRIPES];

    pthread_mutex_lock(&stripe->lock);
    struct bucket *bucket = bucket_find(throttle->buckets[set], key);
    int64_t full_at = bucket->full_at_us > now_us ? bucket->full_at_us : now_us;
    verdict->is_allowed = full_at + rate->interval_us - now_us <= capacity_us;
    if (verdict->is_allowed) {
        full_at += rate->interval_us;
        bucket->full_at_us = full_at;
        bucket->rate_class = rate_class;
        if (throttle->share != NULL)
            note_taken(stripe, bucket);
    }
    pthread_mutex_unlock(&stripe->lock);

    int64_t used_us = full_at - now_us;
    verdict->limit = rate->burst;
    /* All servers together may have let through a little more than there was. */
    verdict->remaining = used_us < capacity_us ? (capacity_us - used_us) / rate->interval_us : 0;
    verdict->reset_s = seconds_up(used_us);
    verdict->retry_after_s = verdict->is_allowed ? 0 : seconds_up(used_us + rate->interval_us - capacity_us);
}

static uint64_t caller_hash(const struct throttle *throttle, char kind, const void *bytes, size_t len)
{
    char text[sizeof(throttle->seed) + 1 + 64];
    CHECK(len <= 64);
    memcpy(text, &throttle->seed, sizeof(throttle->seed));
    text[sizeof(throttle->seed)] = kind;
    memcpy(text + sizeof(throttle->seed) + 1, bytes, len);
    return hash64((struct slice){text, sizeof(throttle->seed) + 1 + len});
}

uint64_t throttle_address(const struct throttle *throttle, struct slice address)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    size_t len = address.len < sizeof(text) - 1 ? address.len : sizeof(text) - 1;
    /* Most are IPv4: its text is as good a key as its bytes. */
    if (len == 0 || memchr(address.ptr, ':', len) == NULL)
        return caller_hash(throttle, '4', len > 0 ? address.ptr : "", len);
    memcpy(text, address.ptr, len);
    text[len] = '\0';
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return caller_hash(throttle, '?', text, len);
    return caller_hash(throttle, '6', &v6, 8); /* one household has the whole /64 */
}

uint64_t throttle_user(const struct throttle *throttle, struct uuid user_id)
{
    return caller_hash(throttle, 'u', user_id.bytes, sizeof(user_id.bytes));
}

/* ---- together with other servers ---- */

bool throttle_share(struct throttle *throttle, struct redis *redis, const uint8_t key[32])
{
    CHECK(throttle->share == NULL);
    memcpy(&throttle->seed, key, sizeof(throttle->seed));
    throttle->share = throttle_share_begin(throttle, redis);
    return throttle->share != NULL;
}

static void collect_bucket(struct throttle *throttle, uint64_t key, struct throttle_taking *taking)
{
    struct bucket *set = throttle->buckets[set_of(key)];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key != key)
            continue;
        const struct rate *rate = &throttle->rates[set[i].rate_class];
        *taking = (struct throttle_taking){.key = key,
                                           .taken_us = set[i].taken * rate->interval_us,
                                           .capacity_us = rate->burst * rate->interval_us};
        set[i].taken = 0;
    }
}

size_t throttle_collect(struct throttle *throttle, struct throttle_taking *takings)
{
    size_t count = 0;
    int64_t whole = atomic_exchange_explicit(&throttle->whole_taken, 0, memory_order_relaxed);
    if (whole > 0)
        takings[count++] = (struct throttle_taking){.key = THROTTLE_WHOLE,
                                                    .taken_us = whole * WHOLE_INTERVAL_US,
                                                    .capacity_us = THROTTLE_WHOLE_BURST * WHOLE_INTERVAL_US};
    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &throttle->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        for (unsigned j = 0; j < stripe->busy_count; j++) {
            takings[count] = (struct throttle_taking){.key = 0};
            collect_bucket(throttle, stripe->busy[j], &takings[count]);
            if (takings[count].taken_us > 0) /* else its bucket was given to another */
                count++;
        }
        stripe->busy_count = 0;
        pthread_mutex_unlock(&stripe->lock);
    }
    return count;
}

static void advance_whole(struct throttle *throttle, int64_t full_at_us)
{
    full_at_us += atomic_load_explicit(&throttle->whole_taken, memory_order_relaxed) * WHOLE_INTERVAL_US;
    int64_t known = atomic_load_explicit(&throttle->whole_full_at_us, memory_order_relaxed);
    while (known < full_at_us &&
           !atomic_compare_exchange_weak_explicit(&throttle->whole_full_at_us, &known, full_at_us,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void throttle_advance(struct throttle *throttle, uint64_t key, int64_t full_at_us)
{
    if (key == THROTTLE_WHOLE) {
        advance_whole(throttle, full_at_us);
        return;
    }
    struct bucket *set = throttle->buckets[set_of(key)];
    pthread_mutex_t *lock = &throttle->stripes[set_of(key) % STRIPES].lock;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key != key)
            continue;
        /* What was let through here since is not in the answer. */
        int64_t with_newest_us = full_at_us + set[i].taken * throttle->rates[set[i].rate_class].interval_us;
        if (set[i].full_at_us < with_newest_us)
            set[i].full_at_us = with_newest_us;
    }
    pthread_mutex_unlock(lock);
}

const char *throttle_class_name(enum rate_class rate_class)
{
    switch (rate_class) {
    case RATE_READ:
        return "read";
    case RATE_WRITE:
        return "write";
    case RATE_LOGIN:
        return "login";
    case RATE_CHECKOUT:
        return "checkout";
    case RATE_NONE:
        break;
    }
    return "read";
}
