/* What every request may use: made once at start by cli/serve, constant afterwards. */
#pragma once

#include "auth/keys.h"
#include "base/config.h"
#include "data/cache.h"
#include "data/db.h"
#include "http/operation.h"

struct redis;

struct services {
    const struct config *config;
    struct store *store;
    struct cache *cache; /* NULL: no memory cache */
    struct redis *redis; /* shared with the other servers of the shop; NULL: there are none */
    struct key_ring *keys;
    struct operation_table operations;
    uint8_t cursor_key[32]; /* signs cursors */
    uint8_t seal_key[32];   /* hides what is stored but must be read again */
    int64_t started_at_ms;
};
