/* What the two kinds of sample shop share: see seed_shared.h. */
#include "shop/seed_shared.h"

DB_STATEMENT(SEED_COUNTS) = {
    .sql =
        "SELECT (SELECT COUNT(*) FROM products), (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM orders),"
        " (SELECT COUNT(*) FROM categories)",
    .columns = {DB_INT, DB_INT, DB_INT, DB_INT},
};

static enum db_result counts_take(struct db *db, struct seed_counts *counts, bool *is_empty)
{
    struct db_rows *rows = db_query(db, &SEED_COUNTS, DB_NO_ARGS);
    if (db_next(rows) != DB_ROW)
        return DB_ERROR;
    *counts = (struct seed_counts){
        .products = db_get_int(rows, 0), .users = db_get_int(rows, 1), .orders = db_get_int(rows, 2)};
    *is_empty = counts->products == 0 && counts->orders == 0 && db_get_int(rows, 3) == 0;
    db_close(rows);
    return DB_DONE;
}

bool seed_counts_read(struct store *store, struct seed_counts *counts, bool *is_empty)
{
    struct db *db = store_connect(store);
    if (db == NULL)
        return false;
    enum db_result result = counts_take(db, counts, is_empty);
    store_disconnect(db);
    return result == DB_DONE;
}

/* Cheaper than counting, which takes a second in a large shop: it is asked inside a transaction. */
DB_STATEMENT(SEED_IS_FULL) = {
    .sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM products) OR EXISTS (SELECT 1 FROM categories)"
           " OR EXISTS (SELECT 1 FROM orders)",
    .columns = {DB_INT},
};

enum db_result seed_require_empty(struct db *db)
{
    int64_t is_full = 0;
    enum db_result result = db_one_int(db, &SEED_IS_FULL, DB_NO_ARGS, &is_full);
    return result == DB_ROW ? DB_CONFLICT : result;
}

struct slice seed_not_empty(struct arena *arena, const struct seed_counts *counts)
{
    return arena_format(
        arena,
        "the shop is not empty (%lld products, %lld orders): nothing was added; \"souk migrate reset\" empties it",
        (long long)counts->products, (long long)counts->orders);
}

struct slice seed_images_json(struct arena *arena, const struct seed_image *images, size_t count)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(&json);
        json_field_uuid(&json, "id", images[i].id);
        json_field_string(&json, "url", arena_format(arena, "/media/%.*s", SLICE_ARG(images[i].name)));
        json_field_string(&json, "alt", images[i].alt);
        json_field_int(&json, "position", (int64_t)i);
        json_object_end(&json);
    }
    json_array_end(&json);
    return buf_slice(&text);
}
