/* What follows from a product's rows: its document, where it is listed, how its categories count, its words.
 * Every writer of products ends here, in the transaction that wrote the rows. */
#include "shop/product.h"

#include "shop/category.h"
#include "shop/names.h"
#include "shop/search.h"

/* ---- the document ---- */

DB_STATEMENT(DOCUMENT_PUT) = {
    .sql = "INSERT INTO product_documents (product_number, product_id, version, body) VALUES ($1, $2, $3, $4)"
           " ON CONFLICT (product_number) DO UPDATE SET version = $3, body = $4",
    .params = {DB_INT, DB_UUID, DB_INT, DB_TEXT},
};

DB_STATEMENT(DOCUMENT_DELETE) = {
    .sql = "DELETE FROM product_documents WHERE product_number = $1",
    .params = {DB_INT},
};

static enum db_result document_put(struct db *db, struct arena *arena, const struct product *product)
{
    return db_run(db, &DOCUMENT_PUT,
                  DB_ARGS(db_int(product->number), db_uuid(product->id), db_int(product->version),
                          db_text(product_document_render(arena, product))));
}

static enum db_result document_delete(struct db *db, const struct product *product)
{
    return db_run(db, &DOCUMENT_DELETE, DB_ARGS(db_int(product->number)));
}

/* ---- listings ---- */

DB_STATEMENT(LISTING_INSERT) = {
    .sql = "INSERT INTO category_products (category_id, created_at, number, price_minor, name_sort)"
           " VALUES ($1, $2, $3, $4, $5)",
    .params = {DB_UUID, DB_TIME, DB_INT, DB_INT, DB_TEXT},
};

static enum db_result listing_add(struct db *db, struct arena *arena, const struct product *product,
                                  struct uuid category_id)
{
    enum db_result result =
        db_run(db, &LISTING_INSERT,
               DB_ARGS(db_uuid(category_id), db_time(product->created_at_ms), db_int(product->number),
                       db_int(product_cheapest(product)->price_minor),
                       db_text(name_sort_key(arena, product->name))));
    return result == DB_DONE ? category_count_add(db, category_id, 1) : result;
}

DB_STATEMENT(LISTING_DELETE) = {
    .sql = "DELETE FROM category_products WHERE category_id = $1 AND created_at = $2 AND number = $3",
    .params = {DB_UUID, DB_TIME, DB_INT},
};

static enum db_result listing_remove(struct db *db, const struct product *product, struct uuid category_id)
{
    enum db_result result =
        db_change(db, &LISTING_DELETE,
                  DB_ARGS(db_uuid(category_id), db_time(product->created_at_ms), db_int(product->number)));
    return result == DB_DONE ? category_count_add(db, category_id, -1) : result;
}

DB_STATEMENT(LISTING_UPDATE) = {
    .sql = "UPDATE category_products SET price_minor = $4, name_sort = $5"
           " WHERE category_id = $1 AND created_at = $2 AND number = $3",
    .params = {DB_UUID, DB_TIME, DB_INT, DB_INT, DB_TEXT},
};

static enum db_result listing_change(struct db *db, const struct product *product, struct uuid category_id,
                                     struct slice name_sort)
{
    return db_change(db, &LISTING_UPDATE,
                     DB_ARGS(db_uuid(category_id), db_time(product->created_at_ms), db_int(product->number),
                             db_int(product_cheapest(product)->price_minor), db_text(name_sort)));
}

/* Where a product is listed now, and whether with the keys that it has in memory. */
struct listings {
    struct category_chain at;
    bool has_same_keys;
};

DB_STATEMENT(LISTINGS_READ) = {
    .sql = "SELECT category_id, price_minor, name_sort FROM category_products WHERE number = $1",
    .params = {DB_INT},
    .columns = {DB_UUID, DB_INT, DB_TEXT},
};

static enum db_result listings_read(struct db *db, const struct product *product, struct slice name_sort,
                                    struct listings *listings)
{
    *listings = (struct listings){.has_same_keys = true};
    int64_t price_minor = product_cheapest(product)->price_minor;
    struct db_rows *rows = db_query(db, &LISTINGS_READ, DB_ARGS(db_int(product->number)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        CHECK(listings->at.count < CATEGORY_DEPTH_MAX);
        listings->at.ids[listings->at.count++] = db_get_uuid(rows, 0);
        if (db_get_int(rows, 1) != price_minor || !slice_equals(db_get_text(rows, 2), name_sort))
            listings->has_same_keys = false;
    }
    return result;
}

/* Lists the product in each of `wanted` and nowhere else. */
static enum db_result listings_keep(struct db *db, struct arena *arena, const struct product *product,
                                    const struct category_chain *wanted, bool *counts_moved)
{
    struct slice name_sort = name_sort_key(arena, product->name);
    struct listings now;
    enum db_result result = listings_read(db, product, name_sort, &now);
    for (size_t i = 0; i < now.at.count && result == DB_DONE; i++) {
        if (!category_chain_has(wanted, now.at.ids[i])) {
            *counts_moved = true;
            result = listing_remove(db, product, now.at.ids[i]);
        } else if (!now.has_same_keys) {
            result = listing_change(db, product, now.at.ids[i], name_sort);
        }
    }
    for (size_t i = 0; i < wanted->count && result == DB_DONE; i++) {
        if (category_chain_has(&now.at, wanted->ids[i]))
            continue;
        *counts_moved = true;
        result = listing_add(db, arena, product, wanted->ids[i]);
    }
    return result;
}

/* ---- all of it ---- */

enum db_result product_publish(struct db *db, struct arena *arena, const struct product *product,
                               bool *counts_moved)
{
    bool moved = false;
    struct category_chain wanted = {.count = 0};
    enum db_result result = DB_DONE;
    if (product->is_active)
        result = category_chain_read(db, product->category_id, &wanted);
    if (result == DB_DONE)
        result = listings_keep(db, arena, product, &wanted, &moved);
    if (result == DB_DONE)
        result = product->is_active ? document_put(db, arena, product) : document_delete(db, product);
    if (result == DB_DONE)
        result = search_keep(db, arena, product, false);
    if (counts_moved != NULL)
        *counts_moved = moved;
    return result;
}

enum db_result product_publish_new(struct db *db, struct arena *arena, const struct product *product)
{
    enum db_result result = DB_DONE;
    if (product->is_active) {
        struct category_chain wanted;
        result = category_chain_read(db, product->category_id, &wanted);
        for (size_t i = 0; i < wanted.count && result == DB_DONE; i++)
            result = listing_add(db, arena, product, wanted.ids[i]);
        if (result == DB_DONE)
            result = document_put(db, arena, product);
    }
    return result == DB_DONE ? search_keep(db, arena, product, true) : result;
}

enum db_result product_unpublish(struct db *db, struct arena *arena, const struct product *product,
                                 bool *counts_moved)
{
    struct category_chain nowhere = {.count = 0};
    *counts_moved = false;
    enum db_result result = listings_keep(db, arena, product, &nowhere, counts_moved);
    if (result == DB_DONE)
        result = document_delete(db, product);
    return result == DB_DONE ? search_forget(db, product->number) : result;
}

DB_STATEMENT(PRODUCT_PRICE_SET) = {
    .sql = "UPDATE products SET price_minor = $2, compare_price_minor = $3"
           " WHERE number = $1 AND (price_minor <> $2 OR compare_price_minor IS DISTINCT FROM $3)",
    .params = {DB_INT, DB_INT, DB_INT},
};

enum db_result product_refresh(struct db *db, struct arena *arena, struct uuid product_id, bool *counts_moved)
{
    if (counts_moved != NULL)
        *counts_moved = false;
    struct product product;
    enum db_result result = product_read(db, arena, product_id, &product);
    if (result != DB_ROW)
        return result;
    const struct product_variant *cheapest = product_cheapest(&product);
    bool has_compare = cheapest->compare_price_minor != PRODUCT_NONE;
    result = db_run(db, &PRODUCT_PRICE_SET,
                    DB_ARGS(db_int(product.number), db_int(cheapest->price_minor),
                            db_if(has_compare, db_int(cheapest->compare_price_minor))));
    return result == DB_DONE ? product_publish(db, arena, &product, counts_moved) : result;
}
