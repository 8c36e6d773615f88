/* Token buckets as one timestamp each, in a fixed table of small sets. What other servers let through comes
 * in from the side (throttle_share.c): deciding never waits for it. */
#include "http/throttle_private.h"

#include "base/address.h"
#include "base/check.h"
#include "base/crypto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CLASS_COUNT (RATE_CHECKOUT + 1)
#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define SECOND_NS INT64_C(1000000000)
#define SETS 8192 /* a power of two */
#define WAYS 8
#define STRIPES THROTTLE_STRIPES

/* A bucket: `full_at_us` moves forward by `interval` with each request and lets one through while it is less
 * than `burst` intervals ahead of now. Empty slot: key 0. */
struct bucket {
    uint64_t key;
    int64_t full_at_us;
    int64_t taken_us; /* by so much it moved since the other servers were last told */
    int64_t capacity_us;
};

struct stripe {
    pthread_mutex_t lock;
    unsigned busy_count;
    uint64_t busy[THROTTLE_STRIPE_BUSY_MAX]; /* keys of buckets with `taken`; also keeps the locks apart */
};

struct throttle {
    uint64_t seed; /* unknown outside, so that nobody aims at one set */
    struct throttle_rate rates[CLASS_COUNT];
    int64_t whole_interval_ns; /* at its rates microseconds are too coarse */
    int64_t whole_capacity_ns;
    _Atomic int64_t whole_full_at_ns;
    _Atomic int64_t whole_taken;
    struct throttle_share *share; /* NULL: this server counts alone */
    struct stripe stripes[STRIPES];
    struct bucket buckets[SETS][WAYS];
};

static int64_t at_least_one(int64_t value)
{
    return value > 1 ? value : 1;
}

struct throttle_rate throttle_rate_make(int64_t per_minute, int64_t burst)
{
    return (struct throttle_rate){.interval_us = at_least_one(MINUTE_US / at_least_one(per_minute)),
                                  .burst = at_least_one(burst)};
}

struct throttle *throttle_new(const struct throttle_limits *limits)
{
    struct throttle *throttle = calloc(1, sizeof(*throttle));
    CHECK(throttle != NULL);
    random_fill(&throttle->seed, sizeof(throttle->seed));
    throttle->whole_interval_ns = at_least_one(SECOND_NS / at_least_one(limits->whole_per_second));
    throttle->whole_capacity_ns = throttle->whole_interval_ns * at_least_one(limits->whole_burst);
    throttle->rates[RATE_READ] = throttle_rate_make(limits->read_per_minute, limits->read_per_minute);
    throttle->rates[RATE_WRITE] = throttle_rate_make(limits->write_per_minute, limits->write_per_minute);
    throttle->rates[RATE_LOGIN] = throttle_rate_make(limits->login_per_minute, limits->login_per_minute / 2);
    throttle->rates[RATE_CHECKOUT] =
        throttle_rate_make(limits->checkout_per_minute, limits->checkout_per_minute / 2);
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
    const int64_t now_ns = now_us * 1000;
    int64_t full_at = atomic_load_explicit(&throttle->whole_full_at_ns, memory_order_relaxed);
    for (;;) {
        int64_t next = (full_at > now_ns ? full_at : now_ns) + throttle->whole_interval_ns;
        if (next - now_ns > throttle->whole_capacity_ns)
            return false;
        if (atomic_compare_exchange_weak_explicit(&throttle->whole_full_at_ns, &full_at, next,
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
static void note_taken(struct stripe *stripe, struct bucket *bucket, int64_t taken_us)
{
    if (bucket->taken_us == 0 && stripe->busy_count == THROTTLE_STRIPE_BUSY_MAX)
        return;
    if (bucket->taken_us == 0)
        stripe->busy[stripe->busy_count++] = bucket->key;
    bucket->taken_us += taken_us;
}

static int64_t seconds_up(int64_t us)
{
    return us <= 0 ? 0 : (us + SECOND_US - 1) / SECOND_US;
}

/* `kind` keeps the buckets of one caller apart. */
static void take(struct throttle *throttle, uint64_t caller, uint64_t kind, struct throttle_rate rate,
                 int64_t now_us, struct throttle_verdict *verdict)
{
    const int64_t capacity_us = rate.interval_us * rate.burst;
    uint64_t words[2] = {caller, kind};
    uint64_t key = hash64((struct slice){(const char *)words, sizeof(words)}) | 1; /* 0 marks an empty slot */
    size_t set = set_of(key);
    struct stripe *stripe = &throttle->stripes[set % STRIPES];

    pthread_mutex_lock(&stripe->lock);
    struct bucket *bucket = bucket_find(throttle->buckets[set], key);
    int64_t full_at = bucket->full_at_us > now_us ? bucket->full_at_us : now_us;
    if (bucket->capacity_us != capacity_us) { /* it is new, or its rate was changed */
        if (full_at > now_us + capacity_us)
            full_at = now_us + capacity_us; /* empty, and in no old debt */
        bucket->full_at_us = full_at;
        bucket->capacity_us = capacity_us;
    }
    verdict->is_allowed = full_at + rate.interval_us - now_us <= capacity_us;
    if (verdict->is_allowed) {
        full_at += rate.interval_us;
        bucket->full_at_us = full_at;
        if (throttle->share != NULL)
            note_taken(stripe, bucket, rate.interval_us);
    }
    pthread_mutex_unlock(&stripe->lock);

    int64_t used_us = full_at - now_us;
    verdict->limit = rate.burst;
    verdict->window_s = seconds_up(capacity_us);
    /* All servers together may have let through a little more than there was. */
    verdict->remaining = used_us < capacity_us ? (capacity_us - used_us) / rate.interval_us : 0;
    verdict->reset_s = seconds_up(used_us);
    verdict->retry_after_s = verdict->is_allowed ? 0 : seconds_up(used_us + rate.interval_us - capacity_us);
}

void throttle_take(struct throttle *throttle, uint64_t caller, enum rate_class rate_class, int64_t now_us,
                   struct throttle_verdict *verdict)
{
    take(throttle, caller, (uint64_t)rate_class, throttle->rates[rate_class], now_us, verdict);
}

void throttle_take_at_rate(struct throttle *throttle, uint64_t caller, struct throttle_rate rate,
                           int64_t now_us, struct throttle_verdict *verdict)
{
    take(throttle, caller, CLASS_COUNT, rate, now_us, verdict);
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

uint64_t throttle_address(const struct throttle *throttle, struct slice text)
{
    struct address address;
    if (!address_parse(text, &address)) /* a name that a proxy gave: whoever has it */
        return caller_hash(throttle, '?', text.ptr,
                           text.len < ADDRESS_TEXT_MAX ? text.len : ADDRESS_TEXT_MAX);
    address = address_household(&address);
    return caller_hash(throttle, 'a', address.bytes, sizeof(address.bytes));
}

uint64_t throttle_user(const struct throttle *throttle, struct uuid user_id)
{
    return caller_hash(throttle, 'u', user_id.bytes, sizeof(user_id.bytes));
}

uint64_t throttle_key(const struct throttle *throttle, struct uuid key_id)
{
    return caller_hash(throttle, 'k', key_id.bytes, sizeof(key_id.bytes));
}

uint64_t throttle_key_from(const struct throttle *throttle, struct uuid key_id, struct slice address)
{
    uint64_t words[2] = {throttle_key(throttle, key_id), throttle_address(throttle, address)};
    return caller_hash(throttle, 'p', words, sizeof(words));
}

/* ---- together with other servers ---- */

bool throttle_share(struct throttle *throttle, struct redis *redis, const uint8_t key[32], bool has_thread)
{
    CHECK(throttle->share == NULL);
    memcpy(&throttle->seed, key, sizeof(throttle->seed));
    throttle->share = throttle_share_begin(throttle, redis, has_thread);
    return throttle->share != NULL;
}

void throttle_exchange(struct throttle *throttle)
{
    if (throttle->share != NULL)
        throttle_share_exchange(throttle->share);
}

static void collect_bucket(struct throttle *throttle, uint64_t key, struct throttle_taking *taking)
{
    struct bucket *set = throttle->buckets[set_of(key)];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key != key)
            continue;
        *taking = (struct throttle_taking){
            .key = key, .taken_us = set[i].taken_us, .capacity_us = set[i].capacity_us};
        set[i].taken_us = 0;
    }
}

size_t throttle_collect(struct throttle *throttle, struct throttle_taking *takings)
{
    size_t count = 0;
    int64_t whole = atomic_exchange_explicit(&throttle->whole_taken, 0, memory_order_relaxed);
    if (whole > 0)
        takings[count++] = (struct throttle_taking){.key = THROTTLE_WHOLE,
                                                    .taken_us = whole * throttle->whole_interval_ns / 1000,
                                                    .capacity_us = throttle->whole_capacity_ns / 1000};
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
    int64_t full_at_ns =
        full_at_us * 1000 +
        atomic_load_explicit(&throttle->whole_taken, memory_order_relaxed) * throttle->whole_interval_ns;
    int64_t known = atomic_load_explicit(&throttle->whole_full_at_ns, memory_order_relaxed);
    while (known < full_at_ns &&
           !atomic_compare_exchange_weak_explicit(&throttle->whole_full_at_ns, &known, full_at_ns,
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
        int64_t with_newest_us = full_at_us + set[i].taken_us;
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
