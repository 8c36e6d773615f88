/* What the tests of shop/ share: a migrated shop on either engine (data/store.h), and products in stock. */
#pragma once

#include "data/store.h"

struct shop {
    struct arena arena;
    struct test_store at;
    const char *folder;
    struct store *store;
    struct db *db;
};

static inline int shop_open(void **state)
{
    struct shop *shop = calloc(1, sizeof(*shop));
    assert_non_null(shop);
    *state = shop;
    assert_true(arena_init(&shop->arena, (size_t)64 << 20));
    test_store_make(&shop->at, "shop", true);
    shop->folder = shop->at.folder;
    shop->store = test_store_open(&shop->at, &shop->arena);
    shop->db = store_connect(shop->store);
    assert_non_null(shop->db);
    return 0;
}

static inline int shop_close(void **state)
{
    struct shop *shop = *state;
    store_disconnect(shop->db);
    store_close(shop->store);
    test_store_remove(&shop->at);
    arena_release(&shop->arena);
    free(shop);
    return 0;
}

/* A statement without rows, in a transaction of its own. */
static inline void shop_write(struct shop *shop, const struct db_statement *statement, struct db_args args)
{
    test_write(shop->db, statement, args);
}

DB_STATEMENT(FIXTURE_STOCK) = {
    .sql = "INSERT INTO variant_stock (product_id, variant_id, on_hand, is_tracked, allows_backorder)"
           " VALUES ($1, $2, $3, $4, $5)",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_BOOL, DB_BOOL},
};

/* Stock of a variant of its own, without the product around it. */
static inline void shop_stock(struct shop *shop, struct uuid product_id, struct uuid variant_id,
                              int64_t on_hand, bool is_tracked, bool allows_backorder)
{
    shop_write(shop, &FIXTURE_STOCK,
               DB_ARGS(db_uuid(product_id), db_uuid(variant_id), db_int(on_hand), db_bool(is_tracked),
                       db_bool(allows_backorder)));
}
