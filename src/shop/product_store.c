/* The rows of products, their tags and variants. What follows from them is product_publish.c's. */
#include "shop/product.h"

#include "shop/names.h"

#include <stdlib.h>

/* ---- reading ---- */

#define PRODUCT_COLUMNS                                                                                        \
    "p.number, p.id, p.category_id, p.name, p.slug, p.description, p.vendor, p.currency, p.options, p.images," \
    " p.attributes, p.seo_title, p.seo_description, p.is_active, p.is_featured, p.version, p.created_at, p.updated_at"
#define PRODUCT_TYPES                                                                                        \
    {                                                                                                        \
        DB_INT, DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_JSON, DB_JSON, DB_JSON,    \
            DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_INT, DB_TIME, DB_TIME                                     \
    }

DB_STATEMENT(PRODUCT_BY_ID) = {
    .sql = "SELECT " PRODUCT_COLUMNS " FROM products p WHERE p.id = $1 AND p.deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = PRODUCT_TYPES,
};

DB_STATEMENT(PRODUCT_BY_SLUG) = {
    .sql = "SELECT " PRODUCT_COLUMNS " FROM products p WHERE p.slug = $1 AND p.deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = PRODUCT_TYPES,
};

DB_STATEMENT(PRODUCT_BY_NUMBER) = {
    .sql = "SELECT " PRODUCT_COLUMNS " FROM products p WHERE p.number = $1 AND p.deleted_at IS NULL",
    .params = {DB_INT},
    .columns = PRODUCT_TYPES,
};

static enum db_result product_take(struct db_rows *rows, struct arena *arena, struct product *product)
{
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *product = (struct product){
        .number = db_get_int(rows, 0),
        .id = db_get_uuid(rows, 1),
        .category_id = db_get_uuid(rows, 2),
        .name = db_copy_text(rows, 3, arena),
        .slug = db_copy_text(rows, 4, arena),
        .description = db_copy_text(rows, 5, arena),
        .vendor = db_copy_text(rows, 6, arena),
        .currency = db_copy_text(rows, 7, arena),
        .options = db_copy_text(rows, 8, arena),
        .images = db_copy_text(rows, 9, arena),
        .attributes = db_copy_text(rows, 10, arena),
        .seo_title = db_copy_text(rows, 11, arena),
        .seo_description = db_copy_text(rows, 12, arena),
        .is_active = db_get_bool(rows, 13),
        .is_featured = db_get_bool(rows, 14),
        .version = db_get_int(rows, 15),
        .created_at_ms = db_get_time(rows, 16),
        .updated_at_ms = db_get_time(rows, 17),
    };
    db_close(rows);
    return DB_ROW;
}

/* Room for one more at the end of a list that grows. */
static void *list_grow(struct arena *arena, void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return list;
    size_t more = *room == 0 ? 4 : *room * 2;
    void *larger = arena_alloc_array(arena, size, more);
    if (list != NULL)
        memcpy(larger, list, count * size);
    *room = more;
    return larger;
}

DB_STATEMENT(PRODUCT_TAGS) = {
    .sql = "SELECT tag FROM product_tags WHERE number = $1 ORDER BY tag",
    .params = {DB_INT},
    .columns = {DB_TEXT},
};

static enum db_result tags_read(struct db *db, struct arena *arena, struct product *product)
{
    struct slice *tags = NULL;
    size_t room = 0;
    struct db_rows *rows = db_query(db, &PRODUCT_TAGS, DB_ARGS(db_int(product->number)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        tags = list_grow(arena, tags, product->tag_count, &room, sizeof(*tags));
        tags[product->tag_count++] = db_copy_text(rows, 0, arena);
    }
    product->tags = tags;
    return result;
}

DB_STATEMENT(PRODUCT_VARIANTS) = {
    .sql =
        "SELECT v.id, v.sku, v.options, v.price_minor, v.compare_price_minor, v.cost_minor, v.weight_grams,"
        " s.on_hand, s.reserved, s.is_tracked, s.allows_backorder"
        " FROM variants v JOIN variant_stock s ON s.product_id = v.product_id AND s.variant_id = v.id"
        " WHERE v.product_id = $1 AND v.deleted_at IS NULL ORDER BY v.position",
    .params = {DB_UUID},
    .columns = {DB_UUID, DB_TEXT, DB_JSON, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_BOOL, DB_BOOL},
};

static int64_t int_or_none(struct db_rows *rows, int column)
{
    return db_is_null(rows, column) ? PRODUCT_NONE : db_get_int(rows, column);
}

static enum db_result variants_read(struct db *db, struct arena *arena, struct product *product)
{
    size_t room = 0;
    struct db_rows *rows = db_query(db, &PRODUCT_VARIANTS, DB_ARGS(db_uuid(product->id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        product->variants =
            list_grow(arena, product->variants, product->variant_count, &room, sizeof(*product->variants));
        product->variants[product->variant_count++] = (struct product_variant){
            .id = db_get_uuid(rows, 0),
            .sku = db_copy_text(rows, 1, arena),
            .options = db_copy_text(rows, 2, arena),
            .price_minor = db_get_int(rows, 3),
            .compare_price_minor = int_or_none(rows, 4),
            .cost_minor = int_or_none(rows, 5),
            .weight_grams = int_or_none(rows, 6),
            .stock = {.on_hand = db_get_int(rows, 7),
                      .reserved = db_get_int(rows, 8),
                      .is_tracked = db_get_bool(rows, 9),
                      .allows_backorder = db_get_bool(rows, 10)},
        };
    }
    return result;
}

static enum db_result product_complete(struct db *db, struct arena *arena, struct db_rows *rows,
                                       struct product *product)
{
    enum db_result result = product_take(rows, arena, product);
    if (result != DB_ROW)
        return result;
    if (tags_read(db, arena, product) != DB_DONE || variants_read(db, arena, product) != DB_DONE)
        return DB_ERROR;
    return DB_ROW;
}

enum db_result product_read(struct db *db, struct arena *arena, struct uuid id, struct product *product)
{
    return product_complete(db, arena, db_query(db, &PRODUCT_BY_ID, DB_ARGS(db_uuid(id))), product);
}

enum db_result product_read_by_slug(struct db *db, struct arena *arena, struct slice slug,
                                    struct product *product)
{
    return product_complete(db, arena, db_query(db, &PRODUCT_BY_SLUG, DB_ARGS(db_text(slug))), product);
}

enum db_result product_read_by_number(struct db *db, struct arena *arena, int64_t number,
                                      struct product *product)
{
    return product_complete(db, arena, db_query(db, &PRODUCT_BY_NUMBER, DB_ARGS(db_int(number))), product);
}

/* ---- writing ---- */

static struct db_value amount(int64_t value)
{
    return db_if(value != PRODUCT_NONE, db_int(value));
}

static struct db_value category(const struct product *product)
{
    return db_if(!uuid_is_nil(product->category_id), db_uuid(product->category_id));
}

DB_STATEMENT(PRODUCT_INSERT) = {
    .sql =
        "INSERT INTO products (id, category_id, name, name_sort, slug, description, vendor, currency, price_minor,"
        " compare_price_minor, options, images, attributes, seo_title, seo_description, is_active, is_featured,"
        " version, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
        " RETURNING number",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT,  DB_INT,
               DB_JSON, DB_JSON, DB_JSON, DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_INT,  DB_TIME, DB_TIME},
    .columns = {DB_INT},
};

static enum db_result product_row_insert(struct db *db, struct arena *arena, struct product *product)
{
    const struct product_variant *cheapest = product_cheapest(product);
    enum db_result result = db_one_int(
        db, &PRODUCT_INSERT,
        DB_ARGS(db_uuid(product->id), category(product), db_text(product->name),
                db_text(name_sort_key(arena, product->name)), db_text(product->slug),
                db_text(product->description), db_text(product->vendor), db_text(product->currency),
                db_int(cheapest->price_minor), amount(cheapest->compare_price_minor),
                db_json(product->options), db_json(product->images), db_json(product->attributes),
                db_text(product->seo_title), db_text(product->seo_description), db_bool(product->is_active),
                db_bool(product->is_featured), db_int(product->version), db_time(product->created_at_ms),
                db_time(product->updated_at_ms)),
        &product->number);
    return result == DB_ROW ? DB_DONE : result;
}

DB_STATEMENT(TAG_INSERT) = {
    .sql = "INSERT INTO product_tags (tag, number) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    .params = {DB_TEXT, DB_INT},
};

static enum db_result tags_insert(struct db *db, const struct product *product)
{
    enum db_result result = DB_DONE;
    for (size_t i = 0; i < product->tag_count && result == DB_DONE; i++)
        result = db_run(db, &TAG_INSERT, DB_ARGS(db_text(product->tags[i]), db_int(product->number)));
    return result;
}

DB_STATEMENT(TAGS_DELETE) = {
    .sql = "DELETE FROM product_tags WHERE number = $1",
    .params = {DB_INT},
};

enum db_result product_tags_replace(struct db *db, const struct product *product)
{
    enum db_result result = db_run(db, &TAGS_DELETE, DB_ARGS(db_int(product->number)));
    return result == DB_DONE ? tags_insert(db, product) : result;
}

DB_STATEMENT(VARIANT_INSERT) = {
    .sql =
        "INSERT INTO variants (id, product_id, position, sku, options, price_minor, compare_price_minor, cost_minor,"
        " weight_grams, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_TEXT, DB_JSON, DB_INT, DB_INT, DB_INT, DB_INT, DB_TIME},
};

enum db_result variant_insert(struct db *db, const struct product *product, size_t position,
                              struct uuid actor_id)
{
    const struct product_variant *variant = &product->variants[position];
    enum db_result result = db_run(
        db, &VARIANT_INSERT,
        DB_ARGS(db_uuid(variant->id), db_uuid(product->id), db_int((int64_t)position), db_text(variant->sku),
                db_json(variant->options), db_int(variant->price_minor), amount(variant->compare_price_minor),
                amount(variant->cost_minor), amount(variant->weight_grams), db_time(product->updated_at_ms)));
    if (result != DB_DONE)
        return result;
    return stock_open(db, product->id, variant->id, &variant->stock, actor_id, product->updated_at_ms);
}

DB_STATEMENT(VARIANT_UPDATE) = {
    .sql =
        "UPDATE variants SET position = $3, sku = $4, options = $5, price_minor = $6, compare_price_minor = $7,"
        " cost_minor = $8, weight_grams = $9, updated_at = $10"
        " WHERE id = $1 AND product_id = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_TEXT, DB_JSON, DB_INT, DB_INT, DB_INT, DB_INT, DB_TIME},
};

enum db_result variant_update_row(struct db *db, const struct product *product, size_t position)
{
    const struct product_variant *variant = &product->variants[position];
    return db_change(db, &VARIANT_UPDATE,
                     DB_ARGS(db_uuid(variant->id), db_uuid(product->id), db_int((int64_t)position),
                             db_text(variant->sku), db_json(variant->options), db_int(variant->price_minor),
                             amount(variant->compare_price_minor), amount(variant->cost_minor),
                             amount(variant->weight_grams), db_time(product->updated_at_ms)));
}

static int tag_compare(const void *left, const void *right)
{
    const struct slice *a = left;
    const struct slice *b = right;
    int order = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

void product_tags_set(struct arena *arena, struct product *product, const struct slice *tags, size_t count)
{
    struct slice *sorted = ARENA_ARRAY(arena, struct slice, count);
    if (count > 0)
        memcpy(sorted, tags, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), tag_compare);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equals(sorted[kept - 1], sorted[i]))
            sorted[kept++] = sorted[i];
    }
    product->tags = sorted;
    product->tag_count = kept;
}

enum db_result product_insert(struct db *db, struct arena *arena, struct product *product,
                              struct uuid actor_id)
{
    product_tags_set(arena, product, product->tags, product->tag_count);
    enum db_result result = product_row_insert(db, arena, product);
    for (size_t i = 0; i < product->variant_count && result == DB_DONE; i++)
        result = variant_insert(db, product, i, actor_id);
    if (result == DB_DONE)
        result = tags_insert(db, product);
    return result == DB_DONE ? product_publish_new(db, arena, product) : result;
}

DB_STATEMENT(PRODUCT_UPDATE) = {
    .sql =
        "UPDATE products SET category_id = $3, name = $4, name_sort = $5, slug = $6, description = $7, vendor = $8,"
        " price_minor = $9, compare_price_minor = $10, options = $11, images = $12, attributes = $13,"
        " seo_title = $14, seo_description = $15, is_active = $16, is_featured = $17, updated_at = $18,"
        " version = version + 1"
        " WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_INT, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_JSON,
               DB_JSON, DB_JSON, DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_TIME},
};

enum db_result product_update_row(struct db *db, struct arena *arena, struct product *product)
{
    const struct product_variant *cheapest = product_cheapest(product);
    enum db_result result = db_change(
        db, &PRODUCT_UPDATE,
        DB_ARGS(db_uuid(product->id), db_int(product->version), category(product), db_text(product->name),
                db_text(name_sort_key(arena, product->name)), db_text(product->slug),
                db_text(product->description), db_text(product->vendor), db_int(cheapest->price_minor),
                amount(cheapest->compare_price_minor), db_json(product->options), db_json(product->images),
                db_json(product->attributes), db_text(product->seo_title), db_text(product->seo_description),
                db_bool(product->is_active), db_bool(product->is_featured), db_time(product->updated_at_ms)));
    if (result == DB_DONE)
        product->version++;
    return result;
}
