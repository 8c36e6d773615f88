/* What every request may use: made once at start by cli/serve, constant afterwards. */
#pragma once

#include "auth/keys.h"
#include "base/config.h"
#include "data/cache.h"
#include "data/db.h"
#include "http/operation.h"

#include <stdatomic.h>

struct issued_token;
struct issuer;
struct redis;
struct key_usage;
struct services;

struct services {
    const struct config *config;
    struct store *store;
    struct cache *cache; /* NULL: no memory cache */
    struct redis *redis; /* shared with the other servers of the shop; NULL: there are none */
    /* One request at a time and no threads behind it: whoever asks runs it, and what threads do beside
     * requests elsewhere waits for gateway_settle (Lambda, where the process is frozen between two requests).
     */
    bool is_single;
    struct key_ring *keys;
    struct key_usage *key_usage; /* NULL: the use of keys is not counted, and no quota binds */
    /* With another identity provider than this shop itself, else NULL: who it is, and what makes its tokens
     * accounts of ours (shop/identities.h, which stands above http/). */
    struct issuer *issuer;
    enum db_result (*admit)(const struct services *services, struct db *db, struct arena *arena,
                            struct issued_token *issued, int64_t now_ms, struct principal *principal);
    struct operation_table operations;
    uint8_t cursor_key[32]; /* signs cursors */
    uint8_t seal_key[32];   /* hides what is stored but must be read again */
    int64_t started_at_ms;
    /* The database could not be reached when this process started, and not everything above stands yet:
     * `keys` may only be looked at after this was seen to be false. Once false it stays so. */
    _Atomic bool is_closed;
};

/* The cache for what is somebody's own (a session, a cart), which is checked to be theirs at each use: where
 * the database is on another machine, and the other servers tell this one of changes. Else NULL: the database
 * itself is as near, or nobody would say when an entry is stale. For threads that may wait. */
static inline struct cache *services_private_cache(const struct services *services)
{
    bool is_useful = services->cache != NULL && !store_reads_inline(services->store) &&
                     cache_shared_tier(services->cache) != CACHE_TIER_NONE;
    return is_useful ? services->cache : NULL;
}
