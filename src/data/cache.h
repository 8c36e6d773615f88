/* The cache of replies and of data that costs: memory first, then, when there is one, Redis, which all
 * servers of the shop share. Thread-safe.
 *
 * Only cache_get_shared may wait for another machine. Everything else touches this server's memory alone and
 * may be called by threads that must not block: what Redis and the other servers have to be told goes through
 * a queue and a thread of the cache.
 *
 * Entries carry tags ("product:ID", "products"); dropping a tag drops every entry that carries it. A fill
 * that raced a drop is thrown away: take a ticket before reading, hand it in with the fill. Bounded in bytes;
 * the least recently used go first. The cache never decides a price or a stock level at checkout.
 *
 * What is put is fresh for a while. It may be put so that it can be given out for a while longer: what is
 * stale was right when it was made, its time is over, and nothing that it shows was dropped since. Beside a
 * value stand other forms of it (a compressed reply), which live as long as it does. */
#pragma once

#include "base/arena.h"
#include "base/ids.h"

struct cache;
struct cache_link;
struct redis;

/* What the cache knew when a read began. */
struct cache_ticket {
    uint64_t generation; /* of the drops in memory */
    /* of the drops in Redis; 0 in `epoch`: unknown, the fill stays in memory */
    uint64_t epoch, drops;
};

struct cache *cache_new(size_t bytes_max);
/* Tells the other servers first what they have to know, for at most CACHE_FAREWELL_MS. The caller closes the
 * link or Redis afterwards. */
void cache_free(struct cache *cache);

/* Before any other thread uses the cache, at most one of the two: from then on a drop reaches the memory of
 * every server that is connected likewise. With Redis, entries are kept there too. `redis` or what `link`
 * points to lives until the cache is freed; the struct itself is copied. */
void cache_share(struct cache *cache, struct redis *redis);
void cache_connect(struct cache *cache, const struct cache_link *link);

/* Before any other thread uses the cache, in place of both: nobody will tell this process of edits, and
 * entries live a second. */
void cache_isolate(struct cache *cache);

/* For /health/ready. DEGRADED: the cache works on with memory alone, where entries then live a second, since
 * nobody tells this server of edits. */
enum cache_tier { CACHE_TIER_NONE, CACHE_TIER_UP, CACHE_TIER_DEGRADED };
enum cache_tier cache_shared_tier(struct cache *cache);

/* The tag of one thing, also the key of what is kept for it alone: "product" and an id make "product:ID". */
struct slice cache_tag_of(struct arena *arena, const char *kind, struct uuid id);

/* Before the read whose result may be put. */
struct cache_ticket cache_ticket(struct cache *cache);
/* The same for threads that may wait: with what Redis knows, so that the fill may go there, too. Memory is
 * the arena's. */
struct cache_ticket cache_ticket_shared(struct cache *cache, struct arena *arena);
/* Whether a read with this ticket saw everything that was dropped until now. (A fade is no drop.) */
bool cache_ticket_is_current(struct cache *cache, struct cache_ticket ticket);
/* Copies the value into `arena`. False when there is none. *age_s is how long it has been there. */
bool cache_get(struct cache *cache, struct slice key, struct arena *arena, struct slice *value,
               int64_t *age_s);
/* The same for threads that may wait (at most the timeout of Redis, mostly a round trip or two): looks into
 * memory, then into Redis, and keeps in memory what it finds there. When there is none, *ticket is the one to
 * put with: take it from here, or the fill stays in this server's memory. */
bool cache_get_shared(struct cache *cache, struct slice key, struct arena *arena, struct slice *value,
                      int64_t *age_s, struct cache_ticket *ticket);
/* Keeps a copy for `seconds`; not when a tag of it was dropped since the ticket, when it is larger than
 * CACHE_ENTRY_BYTES_MAX, or carries more than CACHE_TAGS_MAX tags. With a ticket of cache_get_shared it goes
 * to Redis too, soon after (not for longer than CACHE_SHARED_SECONDS_MAX, and forgotten when too many wait).
 */
void cache_put(struct cache *cache, struct cache_ticket ticket, struct slice key, struct slice value,
               const struct slice *tags, size_t tag_count, int64_t seconds);
struct cache_life {
    int64_t fresh_s;
    int64_t stale_s; /* behind it; 0: never given out stale */
};
/* The same for what may be given out stale. */
void cache_put_for(struct cache *cache, struct cache_ticket ticket, struct slice key, struct slice value,
                   const struct slice *tags, size_t tag_count, struct cache_life life);

enum cache_freshness {
    CACHE_GONE,
    /* Stale, and in this server's deafness (CACHE_TIER_DEGRADED) it may have missed a drop: better than
     * nothing, and no more. */
    CACHE_LAST_RESORT,
    CACHE_STALE,
    CACHE_FRESH
};

/* Form 0 is the value as it was put; what the others are the callers know. */
#define CACHE_FORMS 3

struct cache_hit {
    enum cache_freshness freshness;
    struct slice value; /* in the arena */
    unsigned form;      /* of the value: the wanted one, or 0 */
    int64_t age_s;      /* since it was put */
    /* Told to one caller at a time, again a second later: it is stale, somebody should make it anew; it lacks
     * the wanted form, somebody should make and attach it. */
    bool is_refresh_due;
    bool is_form_due;
    uint64_t serial; /* of the entry, for cache_attach */
};
/* As cache_get and cache_get_shared, for what may also be stale: false when it is CACHE_GONE. */
bool cache_find(struct cache *cache, struct slice key, unsigned form, struct arena *arena,
                struct cache_hit *hit);
bool cache_find_shared(struct cache *cache, struct slice key, unsigned form, struct arena *arena,
                       struct cache_hit *hit, struct cache_ticket *ticket);
/* Keeps a copy of the form beside the value that was found with this serial, if it is still there and there
 * is room. `value` absent: the form is not worth having, nobody shall be told again that it is due. */
void cache_attach(struct cache *cache, struct slice key, uint64_t serial, unsigned form, struct slice value);

/* After the commit. Here at once, on the other servers within milliseconds while the link is up; one that
 * cannot be delivered now is when the link is back. Tags hold no line break and at most CACHE_TAG_BYTES_MAX
 * bytes. */
void cache_drop_tag(struct cache *cache, struct slice tag);
/* For what changes all the time (a hot product's stock): entries that carry the tag are shown for at most a
 * second after they were made, so that they are made again at most once a second. The other servers are told
 * at most once a second of each tag. */
void cache_fade_tag(struct cache *cache, struct slice tag);
/* Everything, everywhere. */
void cache_flush(struct cache *cache);
