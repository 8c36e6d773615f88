/* The exchange of what servers let through. For each bucket Redis keeps the time at which it would be full
 * again, by its own clock, since those of the servers differ; a server moves it by what it let through, and
 * is answered how far ahead it is now, others' requests included. The buckets in Redis are those of
 * throttle.c and add up the same way, so nothing is lost or counted twice; they vanish by themselves once
 * they are full. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "data/redis.h"
#include "http/throttle_private.h"

#include <pthread.h>
#include <stdlib.h>

#define PIPELINE 256
#define ARENA_BYTES ((size_t)4 << 20)

/* Moves the bucket KEYS[1] by ARGV[1] microseconds and answers how far ahead of now it is. What servers let
 * through at the same time can move it past its capacity ARGV[2]; such a debt is kept, up to as much again.
 */
#define MOVE                                                                                                 \
    "local time = redis.call('TIME') "                                                                       \
    "local now = time[1] * 1000000 + time[2] "                                                               \
    "local full = tonumber(redis.call('GET', KEYS[1]) or '0') "                                              \
    "if full < now then full = now end "                                                                     \
    "full = math.min(full + ARGV[1], now + 2 * ARGV[2]) "                                                    \
    "redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1) "     \
    "return full - now"

#define MOVE_WORDS 6

struct throttle_share {
    struct throttle *throttle;
    struct redis *redis;
    struct arena arena;
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool is_ending;
    bool was_refused;
    struct throttle_taking takings[THROTTLE_TAKINGS_MAX];
};

METRIC_DEFINE(EXCHANGES, "souk_throttle_exchanges_total",
              "Exchanges with other servers of what was let through", "result=\"ok\"", METRIC_COUNTER);
METRIC_DEFINE(FAILURES, "souk_throttle_exchanges_total", "", "result=\"failed\"", METRIC_COUNTER);

/* The words of one EVAL, in the arena. */
static struct redis_command move_command(struct arena *arena, const struct throttle_taking *taking)
{
    struct slice *words = ARENA_ARRAY(arena, struct slice, MOVE_WORDS);
    words[0] = SLICE("EVAL");
    words[1] = SLICE(MOVE);
    words[2] = SLICE("1");
    words[3] = arena_format(arena, "rate:%016llx", (unsigned long long)taking->key);
    words[4] = arena_format(arena, "%lld", (long long)taking->taken_us);
    words[5] = arena_format(arena, "%lld", (long long)taking->capacity_us);
    return (struct redis_command){.words = words, .word_count = MOVE_WORDS, .key = 3};
}

/* Once is enough: it is how Redis is set up, and every exchange meets it. */
static void note_refusal(struct throttle_share *share, struct slice why)
{
    if (!share->was_refused)
        log_message(LOG_WARN, "Redis counts no rate limits, each server counts alone: %.*s", SLICE_ARG(why));
    share->was_refused = true;
}

static void exchange_some(struct throttle_share *share, const struct throttle_taking *takings, size_t count)
{
    struct redis_command commands[PIPELINE];
    struct redis_reply replies[PIPELINE];
    arena_reset(&share->arena);
    for (size_t i = 0; i < count; i++)
        commands[i] = move_command(&share->arena, &takings[i]);
    int64_t asked_us = clock_monotonic_us();
    bool is_answered = redis_pipeline(share->redis, &share->arena, commands, count, replies);
    /* What is not answered is forgotten, for it may have been counted. */
    for (size_t i = 0; i < count; i++) {
        if (replies[i].kind == REDIS_INTEGER)
            throttle_advance(share->throttle, takings[i].key, asked_us + replies[i].integer);
        else if (replies[i].kind == REDIS_ERROR)
            note_refusal(share, replies[i].text);
    }
    metric_add(is_answered ? &EXCHANGES : &FAILURES, 1);
}

void throttle_share_exchange(struct throttle_share *share)
{
    size_t count = throttle_collect(share->throttle, share->takings);
    for (size_t i = 0; i < count; i += PIPELINE)
        exchange_some(share, share->takings + i, count - i < PIPELINE ? count - i : PIPELINE);
}

static void *share_main(void *arg)
{
    struct throttle_share *share = arg;
    while (clock_pause(&share->ends, &share->lock, &share->is_ending, THROTTLE_SHARE_MS * INT64_C(1000)))
        throttle_share_exchange(share);
    return NULL;
}

struct throttle_share *throttle_share_begin(struct throttle *throttle, struct redis *redis, bool has_thread)
{
    struct throttle_share *share = calloc(1, sizeof(*share));
    CHECK(share != NULL);
    share->throttle = throttle;
    share->redis = redis;
    share->has_thread = has_thread;
    pthread_mutex_init(&share->lock, NULL);
    clock_cond_init(&share->ends);
    bool has_arena = arena_init(&share->arena, ARENA_BYTES);
    if (has_arena && !has_thread)
        return share;
    if (has_arena && pthread_create(&share->thread, NULL, share_main, share) == 0) {
        (void)pthread_setname_np(share->thread, "throttle");
        return share;
    }
    if (has_arena)
        arena_release(&share->arena);
    pthread_cond_destroy(&share->ends);
    pthread_mutex_destroy(&share->lock);
    free(share);
    return NULL;
}

void throttle_share_end(struct throttle_share *share)
{
    pthread_mutex_lock(&share->lock);
    share->is_ending = true;
    pthread_cond_signal(&share->ends);
    pthread_mutex_unlock(&share->lock);
    if (share->has_thread)
        pthread_join(share->thread, NULL);
    arena_release(&share->arena);
    pthread_cond_destroy(&share->ends);
    pthread_mutex_destroy(&share->lock);
    free(share);
}
