/* Business settings: reading the one row, and GET and PATCH /settings. */
#include "shop/settings.h"

#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"

DB_STATEMENT(SETTINGS_READ) = {
    .sql =
        "SELECT store_name, currency, tax_rate_basis_points, shipping_rate_minor, express_shipping_rate_minor,"
        " free_shipping_threshold_minor, reservation_hold_minutes, cart_ttl_days, max_quantity_per_line,"
        " max_lines_per_cart, max_open_guest_orders_per_email, max_open_guest_orders_per_address, version, updated_at"
        " FROM shop_settings WHERE id = 1",
    .columns = {DB_TEXT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT,
                DB_INT, DB_INT, DB_TIME},
};

enum db_result shop_settings_read(struct db *db, struct arena *arena, struct shop_settings *settings)
{
    struct db_rows *rows = db_query(db, &SETTINGS_READ, DB_NO_ARGS);
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return DB_ERROR; /* the migration wrote the row: a shop without it is broken */
    *settings = (struct shop_settings){
        .store_name = db_copy_text(rows, 0, arena),
        .currency = db_copy_text(rows, 1, arena),
        .tax_rate_basis_points = db_get_int(rows, 2),
        .shipping_rate_minor = db_get_int(rows, 3),
        .express_shipping_rate_minor = db_get_int(rows, 4),
        .has_free_shipping_threshold = !db_is_null(rows, 5),
        .free_shipping_threshold_minor = db_get_int(rows, 5),
        .reservation_hold_minutes = db_get_int(rows, 6),
        .cart_ttl_days = db_get_int(rows, 7),
        .max_quantity_per_line = db_get_int(rows, 8),
        .max_lines_per_cart = db_get_int(rows, 9),
        .max_open_guest_orders_per_email = db_get_int(rows, 10),
        .max_open_guest_orders_per_address = db_get_int(rows, 11),
        .version = db_get_int(rows, 12),
        .updated_at_ms = db_get_time(rows, 13),
    };
    db_close(rows);
    return DB_DONE;
}

/* ---- showing ---- */

/* A limit of 0 stands for none and is shown as null. */
static void limit_write(struct json_writer *json, const char *key, int64_t limit)
{
    if (limit == 0)
        json_field_null(json, key);
    else
        json_field_int(json, key, limit);
}

static void settings_write_json(struct json_writer *json, const struct shop_settings *settings)
{
    json_object_begin(json);
    json_field_string(json, "storeName", settings->store_name);
    json_field_string(json, "currency", settings->currency);
    json_field_int(json, "taxRateBasisPoints", settings->tax_rate_basis_points);
    json_field_money(json, "shippingRate", settings->shipping_rate_minor, settings->currency);
    if (settings->has_free_shipping_threshold)
        json_field_money(json, "freeShippingThreshold", settings->free_shipping_threshold_minor,
                         settings->currency);
    else
        json_field_null(json, "freeShippingThreshold");
    json_field_money(json, "expressShippingRate", settings->express_shipping_rate_minor, settings->currency);
    json_field_int(json, "reservationHoldMinutes", settings->reservation_hold_minutes);
    json_field_int(json, "cartTtlDays", settings->cart_ttl_days);
    json_field_int(json, "maxQuantityPerLine", settings->max_quantity_per_line);
    json_field_int(json, "maxLinesPerCart", settings->max_lines_per_cart);
    limit_write(json, "maxOpenGuestOrdersPerEmail", settings->max_open_guest_orders_per_email);
    limit_write(json, "maxOpenGuestOrdersPerAddress", settings->max_open_guest_orders_per_address);
    json_object_end(json);
}

static enum http_status settings_answer(struct response *response, const struct shop_settings *settings)
{
    settings_write_json(&response->json, settings);
    response_version(response, settings->version);
    return HTTP_STATUS_OK;
}

enum http_status settings_get(struct request *request, struct response *response)
{
    struct shop_settings settings;
    enum db_result result = shop_settings_read(request->db, request->arena, &settings);
    if (result != DB_DONE)
        return problem_database(response, result);
    return settings_answer(response, &settings);
}

/* ---- changing ---- */

/* One amount of money among the settings. 0, or the refusal of another currency than the shop's. */
static enum http_status money_take(struct response *response, const char *field, const struct money *given,
                                   struct slice currency, int64_t *amount_minor)
{
    if (!slice_equals(given->currency, currency))
        return problem_field(response, field, "CURRENCY", "must be the shop's, %.*s", SLICE_ARG(currency));
    *amount_minor = given->amount_minor;
    return (enum http_status)0;
}

static enum http_status amounts_take(struct response *response, const struct settings_update_input *input,
                                     struct shop_settings *settings)
{
    enum http_status refusal = (enum http_status)0;
    if (input->has_shipping_rate)
        refusal = money_take(response, "shippingRate.currency", &input->shipping_rate, settings->currency,
                             &settings->shipping_rate_minor);
    if (refusal == 0 && input->has_express_shipping_rate)
        refusal = money_take(response, "expressShippingRate.currency", &input->express_shipping_rate,
                             settings->currency, &settings->express_shipping_rate_minor);
    if (refusal != 0 || !input->has_free_shipping_threshold)
        return refusal;
    settings->has_free_shipping_threshold = !input->free_shipping_threshold_is_null;
    if (input->free_shipping_threshold_is_null)
        return refusal;
    return money_take(response, "freeShippingThreshold.currency", &input->free_shipping_threshold,
                      settings->currency, &settings->free_shipping_threshold_minor);
}

static void numbers_take(const struct settings_update_input *input, struct shop_settings *settings)
{
    if (input->has_store_name)
        settings->store_name = input->store_name;
    if (input->has_tax_rate_basis_points)
        settings->tax_rate_basis_points = input->tax_rate_basis_points;
    if (input->has_reservation_hold_minutes)
        settings->reservation_hold_minutes = input->reservation_hold_minutes;
    if (input->has_cart_ttl_days)
        settings->cart_ttl_days = input->cart_ttl_days;
    if (input->has_max_quantity_per_line)
        settings->max_quantity_per_line = input->max_quantity_per_line;
    if (input->has_max_lines_per_cart)
        settings->max_lines_per_cart = input->max_lines_per_cart;
    if (input->has_max_open_guest_orders_per_email)
        settings->max_open_guest_orders_per_email =
            input->max_open_guest_orders_per_email_is_null ? 0 : input->max_open_guest_orders_per_email;
    if (input->has_max_open_guest_orders_per_address)
        settings->max_open_guest_orders_per_address =
            input->max_open_guest_orders_per_address_is_null ? 0 : input->max_open_guest_orders_per_address;
}

DB_STATEMENT(SETTINGS_WRITE) = {
    .sql =
        "UPDATE shop_settings SET store_name = $2, tax_rate_basis_points = $3, shipping_rate_minor = $4,"
        " express_shipping_rate_minor = $5, free_shipping_threshold_minor = $6, reservation_hold_minutes = $7,"
        " cart_ttl_days = $8, max_quantity_per_line = $9, max_lines_per_cart = $10,"
        " max_open_guest_orders_per_email = $11, max_open_guest_orders_per_address = $12, version = version + 1,"
        " updated_at = $13 WHERE id = 1 AND version = $1",
    .params = {DB_INT, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT, DB_INT,
               DB_INT, DB_TIME},
};

static enum db_result settings_write(struct db *db, const struct shop_settings *settings, int64_t now_ms)
{
    return db_change(
        db, &SETTINGS_WRITE,
        DB_ARGS(db_int(settings->version), db_text(settings->store_name),
                db_int(settings->tax_rate_basis_points), db_int(settings->shipping_rate_minor),
                db_int(settings->express_shipping_rate_minor),
                db_if(settings->has_free_shipping_threshold, db_int(settings->free_shipping_threshold_minor)),
                db_int(settings->reservation_hold_minutes), db_int(settings->cart_ttl_days),
                db_int(settings->max_quantity_per_line), db_int(settings->max_lines_per_cart),
                db_if(settings->max_open_guest_orders_per_email != 0,
                      db_int(settings->max_open_guest_orders_per_email)),
                db_if(settings->max_open_guest_orders_per_address != 0,
                      db_int(settings->max_open_guest_orders_per_address)),
                db_time(now_ms)));
}

enum http_status settings_update(struct request *request, struct response *response)
{
    const struct settings_update_input *input = request->input;
    struct shop_settings settings;
    enum db_result result = shop_settings_read(request->db, request->arena, &settings);
    if (result != DB_DONE)
        return problem_database(response, result);
    struct audit_state before;
    audit_state_begin(&before, request->arena);
    settings_write_json(&before.json, &settings);
    enum http_status refusal = response_precondition(response, request, settings.version);
    if (refusal == 0)
        refusal = amounts_take(response, input, &settings);
    if (refusal != 0)
        return refusal;
    numbers_take(input, &settings);
    result = settings_write(request->db, &settings, request->now_ms);
    if (result != DB_DONE)
        return problem_database(response, result);
    settings.version++;
    response_drop(response, "settings"); /* what shows totals */
    return audited_named(request, response, "settings", SLICE("settings"), audit_state_end(&before),
                         settings_answer(response, &settings));
}
