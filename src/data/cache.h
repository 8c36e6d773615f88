/* The cache of replies and of data that costs: memory first (Redis behind it is the next tier). Thread-safe.
 *
 * Entries carry tags ("product:ID", "products"); dropping a tag drops every entry that carries it. A fill
 * that raced a drop is thrown away: take a ticket before reading, hand it in with the fill. Bounded in bytes;
 * the least recently used go first. The cache never decides a price or a stock level at checkout. */
#pragma once

#include "base/arena.h"

struct cache;

struct cache_ticket {
    uint64_t generation; /* of the cache's drops when the read began */
};

struct cache *cache_new(size_t bytes_max);
void cache_free(struct cache *cache);

/* Before the read whose result may be put. */
struct cache_ticket cache_ticket(struct cache *cache);
/* Copies the value into `arena`. False when there is none. *age_s is how long it has been there. */
bool cache_get(struct cache *cache, struct slice key, struct arena *arena, struct slice *value,
               int64_t *age_s);
/* Keeps a copy for `seconds`; not when a tag of it was dropped since the ticket, when it is larger than
 * CACHE_ENTRY_BYTES_MAX, or carries more than CACHE_TAGS_MAX tags. */
void cache_put(struct cache *cache, struct cache_ticket ticket, struct slice key, struct slice value,
               const struct slice *tags, size_t tag_count, int64_t seconds);
void cache_drop_tag(struct cache *cache, struct slice tag);
/* For what changes all the time (a hot product's stock): entries that carry the tag are shown for at most a
 * second after they were made, so that they are made again at most once a second. */
void cache_fade_tag(struct cache *cache, struct slice tag);
void cache_flush(struct cache *cache);
