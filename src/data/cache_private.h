/* What the files of the cache share: cache.c (memory), cache_sharing.c (the thread that tells the other
 * servers, and what they tell), cache_messages.c (the texts that go between them), cache_store.c (entries in
 * Redis), cache_link_redis.c (pub/sub). Nobody else includes this. */
#pragma once

#include "base/buf.h"
#include "base/ids.h"
#include "base/limits.h"
#include "data/cache.h"
#include "data/cache_link.h"
#include "data/redis.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- memory ---- */

struct memory_life {
    int64_t age_us;   /* already */
    int64_t left_us;  /* to be fresh; negative: it is stale for so long already */
    int64_t stale_us; /* behind that */
};
/* `generation` was taken before the read. */
void memory_put(struct cache *cache, uint64_t generation, struct slice key, struct slice value,
                const struct slice *tags, size_t tag_count, struct memory_life life);
void memory_drop_tag(struct cache *cache, struct slice tag);
void memory_fade_tag(struct cache *cache, struct slice tag);
/* As if every tag faded. */
void memory_fade_all(struct cache *cache);
void memory_flush(struct cache *cache);
/* While it is deaf all entries live a second. */
void memory_set_deaf(struct cache *cache, bool is_deaf);

/* ---- the other servers ---- */

struct cache_sharing;

void cache_set_sharing(struct cache *cache, struct cache_sharing *sharing);
/* None of these blocks but cache_sharing_get, cache_sharing_ticket and cache_sharing_close. */
void cache_sharing_close(struct cache_sharing *sharing);
void cache_sharing_drop(struct cache_sharing *sharing, struct slice tag);
void cache_sharing_fade(struct cache_sharing *sharing, struct slice tag);
void cache_sharing_flush(struct cache_sharing *sharing);
void cache_sharing_fill(struct cache_sharing *sharing, struct cache_ticket ticket, struct slice key,
                        struct slice value, const struct slice *tags, size_t tag_count,
                        struct cache_life life);
/* Looks into Redis; on a hit, fresh or stale, memory has it too. ticket->generation was taken before. */
bool cache_sharing_get(struct cache_sharing *sharing, struct slice key, struct arena *arena,
                       struct cache_hit *hit, struct cache_ticket *ticket);
/* Adds what Redis knows. */
void cache_sharing_ticket(struct cache_sharing *sharing, struct arena *arena, struct cache_ticket *ticket);
bool cache_sharing_is_up(struct cache_sharing *sharing);

/* Redis' pub/sub as a link; its `arg` is freed by unlisten. */
struct cache_link cache_link_redis(struct redis *redis);

/* ---- tags that wait ---- */

struct waiting_tag {
    struct waiting_tag *bucket_next, *next;
    uint64_t hash;
    int64_t told_us; /* of a fade: when the others were told */
    bool is_due;     /* of a fade: they have to be told again */
    size_t len;
    char text[];
};

#define TAG_BUCKETS 4096

/* Each tag once, in the order of their coming. */
struct tag_queue {
    struct waiting_tag *buckets[TAG_BUCKETS];
    struct waiting_tag *first, *last;
    size_t count;
};

struct waiting_tag *tag_queue_find(struct tag_queue *queue, struct slice tag);
/* The new one; the tag must not be there. */
struct waiting_tag *tag_queue_add(struct tag_queue *queue, struct slice tag);
/* The oldest, which the caller frees; NULL: none. */
struct waiting_tag *tag_queue_take(struct tag_queue *queue);
void tag_queue_clear(struct tag_queue *queue);
static inline struct slice waiting_tag_text(const struct waiting_tag *tag)
{
    return (struct slice){tag->text, tag->len};
}
/* No line break, no other control character, not too long. */
bool tag_is_sendable(struct slice tag);

/* ---- messages ---- */

struct cache_batch {
    bool is_flush, is_fade_all, is_farewell;
    bool is_vouch; /* the sender heard who ended: entries in Redis are as good as they say */
    struct slice *drops, *fades;
    size_t drop_count, fade_count;
};

struct cache_sender {
    struct uuid id;
    uint64_t number; /* of the last message that was sent */
};

/* Hands the batch to `send` in as many messages as it takes (one when it is empty); false when one could not
 * be sent. Each that is sent raises sender->number. */
bool cache_messages_send(const struct cache_batch *batch, struct cache_sender *sender, size_t bytes_max,
                         struct arena *arena, bool (*send)(void *arg, struct slice message), void *arg);

struct cache_message {
    struct uuid sender;
    uint64_t number;
    struct slice lines; /* for cache_message_next */
};
/* False when it is none of ours. */
bool cache_message_parse(struct slice text, struct cache_message *message);
enum cache_order {
    CACHE_ORDER_DROP,
    CACHE_ORDER_FADE,
    CACHE_ORDER_FLUSH,
    CACHE_ORDER_FADE_ALL,
    CACHE_ORDER_FAREWELL,
    CACHE_ORDER_VOUCH
};
/* Orders that are not known are passed over: a newer server may send them. */
bool cache_message_next(struct cache_message *message, enum cache_order *order, struct slice *tag);

/* ---- entries in Redis: every function may block for the timeout of Redis ---- */

/* What Redis counts: an epoch is a life of its data, a drop raises `drops`. */
struct cache_version {
    uint64_t epoch, drops;
};

struct store_entry {
    struct cache_version version; /* the ticket's */
    struct slice value;
    struct slice tags[CACHE_TAGS_MAX];
    size_t tag_count;
    struct cache_life life; /* when it was put */
    int64_t left_ms;        /* of both */
};

enum store_found { STORE_HIT, STORE_MISS, STORE_UNKNOWN };
/* STORE_MISS tells the present version, STORE_UNKNOWN nothing: Redis did not answer. */
enum store_found store_get(struct redis *redis, struct arena *arena, struct slice key,
                           struct store_entry *entry, struct cache_version *now);
/* False: Redis did not answer, or has no epoch yet. */
bool store_version(struct redis *redis, struct arena *arena, struct cache_version *now);
/* Tags are dropped with a number of their own. False: perhaps not all of them were. */
bool store_drop(struct redis *redis, struct arena *arena, const struct slice *tags, size_t count);
/* A new epoch: no entry is good any more. */
bool store_flush(struct redis *redis, struct arena *arena);

/* An entry on its way to Redis: one block. */
struct store_fill {
    struct store_fill *next;
    struct cache_version version;
    int64_t seconds;  /* until it is gone */
    struct slice key; /* hashed */
    struct slice text;
    size_t tag_count;
    size_t bytes; /* of the block */
    struct slice tags[];
};

/* NULL when it is not for Redis: a tag that is not sendable. */
struct store_fill *store_fill_new(struct cache_version version, struct slice key, struct slice value,
                                  const struct slice *tags, size_t tag_count, struct cache_life life);
/* Puts the list; whether that went well is nobody's concern. Takes over and frees the fills. */
void store_put(struct redis *redis, struct arena *arena, struct store_fill *first);
/* For the fuzzer: reads an entry as it lies in Redis. */
bool store_entry_parse(struct slice text, struct store_entry *entry);
