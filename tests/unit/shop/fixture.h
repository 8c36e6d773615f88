/* What the tests of shop/ share: a migrated shop in a temporary folder that goes away with the test, and
 * products in stock. */
#pragma once

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "data/db.h"
#include "data/migrations.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct shop {
    struct arena arena;
    char folder[64];
    struct store *store;
    struct db *db;
};

static inline int shop_open(void **state)
{
    struct shop *shop = calloc(1, sizeof(*shop));
    struct slice complaint = SLICE_ABSENT;
    int64_t applied = 0;
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    assert_true(arena_init(&shop->arena, (size_t)64 << 20));
    snprintf(shop->folder, sizeof(shop->folder), "/tmp/souk-shop-XXXXXX");
    assert_non_null(mkdtemp(shop->folder));
    struct store_options options = {.url = arena_format(&shop->arena, "sqlite:%s/souk.db", shop->folder)};
    shop->store = store_open(&options, &shop->arena, &complaint);
    if (shop->store == NULL || !migrations_up(shop->store, &shop->arena, &applied, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
    shop->db = store_connect(shop->store);
    assert_non_null(shop->db);
    *state = shop;
    return 0;
}

static inline int shop_unlink(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline int shop_close(void **state)
{
    struct shop *shop = *state;
    store_disconnect(shop->db);
    store_close(shop->store);
    nftw(shop->folder, shop_unlink, 8, FTW_DEPTH | FTW_PHYS);
    arena_release(&shop->arena);
    free(shop);
    return 0;
}

/* A statement without rows, in a transaction of its own. */
struct shop_write {
    const struct db_statement *statement;
    struct db_args args;
};

static inline enum db_result shop_write_run(struct db *db, void *arg)
{
    const struct shop_write *write = arg;
    return db_run(db, write->statement, write->args);
}

static inline void shop_write(struct shop *shop, const struct db_statement *statement, struct db_args args)
{
    struct shop_write write = {statement, args};
    assert_int_equal(db_transaction(shop->db, shop_write_run, &write), DB_DONE);
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
