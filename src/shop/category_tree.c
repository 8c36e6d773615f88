/* Walking the tree of categories: see category.h. */
#include "shop/category.h"

DB_STATEMENT(CATEGORY_PARENT) = {
    .sql = "SELECT parent_id FROM categories WHERE id = $1",
    .params = {DB_UUID},
    .columns = {DB_UUID},
};

enum db_result category_chain_read(struct db *db, struct uuid id, struct category_chain *chain)
{
    chain->count = 0;
    while (!uuid_is_nil(id) && chain->count < CATEGORY_DEPTH_MAX) {
        struct db_rows *rows = db_query(db, &CATEGORY_PARENT, DB_ARGS(db_uuid(id)));
        enum db_result result = db_next(rows);
        if (result == DB_DONE)
            return DB_DONE;
        if (result != DB_ROW)
            return DB_ERROR;
        chain->ids[chain->count++] = id;
        id = db_get_uuid(rows, 0);
        db_close(rows);
    }
    return DB_DONE;
}

bool category_chain_has(const struct category_chain *chain, struct uuid id)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (uuid_equals(chain->ids[i], id))
            return true;
    }
    return false;
}

DB_STATEMENT(CATEGORY_COUNT_ADD) = {
    .sql = "UPDATE categories SET product_count = product_count + $2 WHERE id = $1",
    .params = {DB_UUID, DB_INT},
};

enum db_result category_count_add(struct db *db, struct uuid id, int64_t difference)
{
    return db_change(db, &CATEGORY_COUNT_ADD, DB_ARGS(db_uuid(id), db_int(difference)));
}

/* ---- a few words ---- */

void category_ref_write(struct json_writer *json, const struct category_ref *category)
{
    json_object_begin(json);
    json_field_uuid(json, "id", category->id);
    json_field_string(json, "name", category->name);
    json_field_string(json, "slug", category->slug);
    json_object_end(json);
}

DB_STATEMENT(CATEGORY_REF_OF_PRODUCT) = {
    .sql = "SELECT c.id, c.name, c.slug FROM products p JOIN categories c ON c.id = p.category_id"
           " WHERE p.id = $1 AND (c.is_active = TRUE OR $2 = FALSE)",
    .params = {DB_UUID, DB_BOOL},
    .columns = {DB_UUID, DB_TEXT, DB_TEXT},
};

enum db_result category_ref_of_product(struct db *db, struct arena *arena, struct uuid product_id,
                                       bool active_only, struct category_ref *category)
{
    *category = (struct category_ref){0};
    struct db_rows *rows =
        db_query(db, &CATEGORY_REF_OF_PRODUCT, DB_ARGS(db_uuid(product_id), db_bool(active_only)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *category = (struct category_ref){
        .id = db_get_uuid(rows, 0),
        .name = db_copy_text(rows, 1, arena),
        .slug = db_copy_text(rows, 2, arena),
    };
    db_close(rows);
    return DB_DONE;
}
