/* A cart as it was shown before, remembered for an hour where the database is on another machine: showing it
 * again costs the read of its row, which says whose it is and which version it has, and nothing else. What is
 * remembered is sealed and lies under a hash, because a guest's cart id is its key. */
#pragma once

#include "http/request.h"
#include "shop/cart.h"

struct cart_memory {
    struct cache *cache; /* NULL: nothing is remembered here */
    struct slice key;    /* and the tag of its entry */
    bool is_known;       /* then there is something, else a ticket */
    struct cache_ticket ticket;
    struct slice plain; /* "version status time JSON" */
};

/* Before anything of the cart is read. May wait for Redis. */
void cart_recall(struct request *request, struct uuid cart_id, struct cart_memory *memory);
/* The contract's Cart as it was shown at just this version, or absent; then what is known of another is
 * forgotten. The caller may see the cart. */
struct slice cart_recalled(const struct cart_memory *memory, struct arena *arena, const struct cart *cart);
/* Keeps what is shown of the cart, until one of its products or the settings change, or it is found changed.
 */
void cart_remember(const struct cart_memory *memory, struct request *request, const struct cart *cart,
                   const struct cart_line *lines, size_t count, struct slice shown);
