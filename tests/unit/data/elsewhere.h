/* A store as if its database were on another machine, whatever its engine: reads may not run on the threads
 * of transports, and writes have no lane. */
#pragma once

#include "data/db_private.h"

struct elsewhere {
    struct db_driver driver;     /* in place of the store's own; a test may change it further */
    const struct db_driver *own; /* of the store */
};

static inline void elsewhere_begin(struct elsewhere *elsewhere, struct store *store)
{
    elsewhere->own = store->driver;
    elsewhere->driver = *store->driver;
    elsewhere->driver.reads_inline = false;
    elsewhere->driver.has_lane = false;
    store->driver = &elsewhere->driver;
}

/* Before the store is closed or used otherwise. */
static inline void elsewhere_end(struct elsewhere *elsewhere, struct store *store)
{
    store->driver = elsewhere->own;
}
