/* The stock of a variant, for staff: adjusting it, and what became of it. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "http/page.h"
#include "shop/stock.h"

/* ---- the variant ---- */

DB_STATEMENT(PRODUCT_EXISTS) = {
    .sql = "SELECT 1 FROM products WHERE id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(VARIANT_SKU) = {
    .sql = "SELECT sku FROM variants WHERE id = $1 AND product_id = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_TEXT},
};

/* 0 with the variant's SKU, or which of the two is not there. */
static enum http_status find_variant(struct request *request, struct response *response,
                                     struct uuid product_id, struct uuid variant_id, struct slice *sku)
{
    int64_t one;
    enum db_result result = db_one_int(request->db, &PRODUCT_EXISTS, DB_ARGS(db_uuid(product_id)), &one);
    if (result == DB_DONE)
        return problem(response, PROBLEM_PRODUCT_NOT_FOUND, "No product has this id");
    if (result != DB_ROW)
        return problem_database(response, result);
    struct db_rows *rows =
        db_query(request->db, &VARIANT_SKU, DB_ARGS(db_uuid(variant_id), db_uuid(product_id)));
    result = db_next(rows);
    if (result == DB_DONE)
        return problem(response, PROBLEM_VARIANT_NOT_FOUND, "The product has no variant with this id");
    if (result != DB_ROW)
        return problem_database(response, result);
    *sku = db_copy_text(rows, 0, request->arena);
    db_close(rows);
    return (enum http_status)0;
}

/* ---- POST /products/{id}/variants/{variantId}/stock-adjustments ---- */

static void level_write(struct json_writer *json, struct uuid variant_id, struct slice sku,
                        const struct stock_level *level)
{
    json_object_begin(json);
    json_field_uuid(json, "variantId", variant_id);
    json_field_string(json, "sku", sku);
    json_field_bool(json, "isTracked", level->is_tracked);
    json_field_int(json, "onHand", level->on_hand);
    json_field_int(json, "reserved", level->reserved);
    if (level->is_tracked)
        json_field_int(json, "available", stock_available(level));
    else
        json_field_null(json, "available");
    json_object_end(json);
}

static void locate(struct request *request, struct response *response, const struct stock_adjust_input *input)
{
    char product[UUID_TEXT_LEN];
    char variant[UUID_TEXT_LEN];
    uuid_format(input->id, product);
    uuid_format(input->variant_id, variant);
    response_header(response, "Location",
                    arena_format(request->arena, "/products/%.*s/variants/%.*s/stock-adjustments",
                                 UUID_TEXT_LEN, product, UUID_TEXT_LEN, variant));
}

enum http_status stock_adjust(struct request *request, struct response *response)
{
    const struct stock_adjust_input *input = request->input;
    if (input->has_delta && input->has_on_hand)
        return problem_field(response, "onHand", "CONFLICT", "cannot stand together with delta");
    if (!input->has_delta && !input->has_on_hand)
        return problem_field(response, "delta", "REQUIRED", "must be there, or onHand");
    struct slice sku;
    enum http_status status = find_variant(request, response, input->id, input->variant_id, &sku);
    if (status)
        return status;
    struct stock_level level;
    if (stock_read(request->db, input->id, input->variant_id, &level) != DB_ROW)
        return problem_database(response, DB_ERROR);
    struct audit_state before;
    audit_state_begin(&before, request->arena);
    level_write(&before.json, input->variant_id, sku, &level);
    bool was_sellable = stock_is_sellable(&level);
    struct stock_change change = {
        .has_delta = input->has_delta,
        .delta = input->delta,
        .has_on_hand = input->has_on_hand,
        .on_hand = input->on_hand,
        .reason = input->reason,
        .actor_id = principal_actor_id(&request->principal),
    };
    bool is_short = false;
    enum db_result result = stock_set_level(request->db, input->id, input->variant_id, &change,
                                            request->now_ms, &level, &is_short);
    if (is_short)
        return problem(response, PROBLEM_INSUFFICIENT_STOCK,
                       "%lld are on hand, and orders have reserved %lld", (long long)level.on_hand,
                       (long long)level.reserved);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "product", input->id);
    if (was_sellable != stock_is_sellable(&level)) /* lists filter by it */
        response_drop(response, "products");
    locate(request, response, input);
    level_write(&response->json, input->variant_id, sku, &level);
    return audited(request, response, "stock", input->variant_id, audit_state_end(&before),
                   HTTP_STATUS_CREATED);
}

/* ---- GET /products/{id}/variants/{variantId}/stock-adjustments ---- */

static const enum db_type MOVEMENT_COLUMNS[] = {DB_UUID, DB_TEXT, DB_INT,  DB_INT, DB_TEXT,
                                                DB_UUID, DB_UUID, DB_TIME, DB_END};

static void uuid_or_null(struct json_writer *json, const char *key, struct db_rows *rows, int column)
{
    if (db_is_null(rows, column))
        json_field_null(json, key);
    else
        json_field_uuid(json, key, db_get_uuid(rows, column));
}

static void movement_write(struct json_writer *json, struct uuid variant_id, struct db_rows *rows)
{
    json_object_begin(json);
    json_field_uuid(json, "id", db_get_uuid(rows, 0));
    json_field_uuid(json, "variantId", variant_id);
    json_field_string(json, "kind", db_get_text(rows, 1));
    json_field_int(json, "delta", db_get_int(rows, 2));
    json_field_int(json, "onHandAfter", db_get_int(rows, 3));
    json_field_string(json, "reason", db_get_text(rows, 4));
    uuid_or_null(json, "orderId", rows, 5);
    uuid_or_null(json, "actorId", rows, 6);
    json_field_time(json, "createdAt", db_get_time(rows, 7));
    json_object_end(json);
}

/* Writes the page; *last is the id of its last movement. */
static enum db_result write_page(struct request *request, struct response *response,
                                 const struct db_value *position, struct db_value *last, bool *has_more)
{
    const struct stock_movements_list_input *input = request->input;
    struct db_built *built = arena_alloc(request->arena, sizeof(*built));
    db_built_init(built, MOVEMENT_COLUMNS);
    db_built_add(built,
                 SQL("SELECT id, kind, quantity, on_hand_after, reason, order_id, actor_id, created_at"
                     " FROM stock_movements WHERE variant_id = $?"),
                 DB_ARGS(db_uuid(input->variant_id)));
    if (position != NULL)
        db_built_add(built, SQL(" AND id < $?"), DB_ARGS(*position));
    db_built_add(built, SQL(" ORDER BY id DESC LIMIT $? OFFSET $?"),
                 DB_ARGS(db_int(input->limit + 1), db_int(input->has_offset ? input->offset : 0)));
    struct db_rows *rows = db_query_built(request->db, built);
    enum db_result result;
    int64_t count = 0;
    *has_more = false;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW) {
        if (count++ == input->limit) {
            *has_more = true;
            db_close(rows);
            result = DB_DONE;
            break;
        }
        *last = db_uuid(db_get_uuid(rows, 0));
        movement_write(&response->json, input->variant_id, rows);
    }
    json_array_end(&response->json);
    return result;
}

DB_STATEMENT(MOVEMENTS_COUNT) = {
    .sql = "SELECT count(*) FROM (SELECT 1 FROM stock_movements WHERE variant_id = $1 LIMIT $2) AS counted",
    .params = {DB_UUID, DB_INT},
    .columns = {DB_INT},
};

enum http_status stock_movements_list(struct request *request, struct response *response)
{
    const struct stock_movements_list_input *input = request->input;
    struct slice sku;
    enum http_status status = find_variant(request, response, input->id, input->variant_id, &sku);
    if (status)
        return status;
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add(&scope,
                     (struct slice){(const char *)input->variant_id.bytes, sizeof(input->variant_id.bytes)});
    struct db_value position;
    enum db_type type = DB_UUID;
    if (input->has_cursor && input->has_offset)
        return problem_field(response, "cursor", "CONFLICT", "cannot stand together with offset");
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, &type, 1, &position))
        return problem_field(response, "cursor", "INVALID", "is not one that this list has answered");
    int64_t total = 0;
    if (input->total &&
        db_one_int(request->db, &MOVEMENTS_COUNT,
                   DB_ARGS(db_uuid(input->variant_id), db_int(PAGE_TOTAL_MAX + 1)), &total) != DB_ROW)
        return problem_database(response, DB_ERROR);
    struct db_value last;
    bool has_more = false;
    enum db_result result =
        write_page(request, response, input->has_cursor ? &position : NULL, &last, &has_more);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_page(response, input->limit, has_more ? cursor_make(request, &scope, &last, 1) : SLICE_ABSENT);
    if (input->total)
        response_page_total(response, total);
    return HTTP_STATUS_OK;
}
