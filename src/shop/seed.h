/* Sample shops: a small one that looks real (db/seeds), and a large deterministic one to measure with. Both
 * fill an empty shop - no categories, products or orders - and no other; accounts may be there. */
#pragma once

#include "data/db.h"

/* What is in a shop, or shall be put there. */
struct seed_counts {
    int64_t products;
    int64_t users;
    int64_t orders;
};

/* How many there are now, deleted ones too. False when the database cannot be read. */
bool seed_counts_read(struct store *store, struct seed_counts *counts, bool *is_empty);

/* Fills an empty shop from db/seeds, whole or not at all, in one transaction. Its times are relative to now.
 * False with one clear line in *complaint. */
bool seed_sample(struct store *store, struct arena *arena, struct slice *complaint);

#define SEED_PRODUCTS_MAX 1000000
#define SEED_USERS_MAX 10000000
#define SEED_ORDERS_MAX 10000000

/* Fills an empty shop with so many; the same counts give the same shop, whenever and wherever. Orders need
 * products. Works beside a running server: it writes in many transactions, each of which keeps other writers
 * waiting for some 50 ms. When it fails half-way, what it wrote until then stays. `progress` (may be NULL) is
 * told after each of them. False with one clear line in *complaint. */
bool seed_large(struct store *store, const struct seed_counts *counts,
                void (*progress)(const char *what, int64_t done, int64_t total, void *arg), void *arg,
                struct arena *arena, struct slice *complaint);
