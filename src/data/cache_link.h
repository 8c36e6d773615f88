/* What carries drops from server to server: Redis' pub/sub (cache_share), or PostgreSQL's LISTEN and NOTIFY.
 *
 * A link may lose messages in silence, may show a server its own, and may deliver twice; the cache numbers
 * its messages and sends a heartbeat, so that a loss is noticed within CACHE_HEARTBEAT_MS and memory is
 * flushed. */
#pragma once

#include "data/cache.h"

#define CACHE_HEARTBEAT_MS 1000

/* What the cache does with what a link hears; called from one thread of the link's at a time. */
struct cache_link_events {
    void (*on_message)(void *arg, struct slice message);
    /* True: from now on messages arrive. False: some may be missed. Not called yet means false. */
    void (*on_state)(void *arg, bool is_up);
    void *arg;
};

struct cache_link {
    /* Starts listening, in a thread of its own, and keeps at it until unlisten: reconnects by itself. */
    void (*listen)(void *arg, const struct cache_link_events *events);
    /* Returns when no event comes any more. */
    void (*unlisten)(void *arg);
    /* To every server that listens. Blocks for a bounded time; only the cache's own thread calls it, never
     * between requests of the database. False: it may not have arrived; it is sent again later. The text is
     * printable ASCII or UTF-8 with line breaks, no NUL. */
    bool (*publish)(void *arg, struct slice message);
    void *arg;
    size_t message_bytes_max; /* at least 512; a NOTIFY carries 7,999 */
};
