/* Erasing and exporting what the shop knows of a person: see erasure.h.
 *
 * What personal data stands where is known from the tables: an order's row, its notes, the reply that an
 * Idempotency-Key keeps for a day (its subject_id), the audit log's entries of the kind "user". Messages of
 * the outbox hold ids only and are written when they leave, so that nothing of an erased person is sent. */
#include "shop/erasure.h"

#include "auth/session.h"
#include "base/crypto.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "data/outbox.h"
#include "http/audit.h"
#include "shop/accounts.h"
#include "shop/identities.h"
#include "shop/mfa.h"
#include "shop/order.h"
#include "shop/users.h"

#define ERASED_EMAIL "erased@" USER_PLACEHOLDER_DOMAIN

/* ---- erasing ---- */

DB_STATEMENT(ERASE_USER) = {
    .sql = "UPDATE users SET deleted_at = $3, updated_at = $3, version = version + 1, email = '',"
           " email_folded = '', password_hash = NULL, first_name = '', last_name = '', name_sort = '',"
           " phone = NULL, preferences = '{}', staff_role = NULL, last_login_at = NULL"
           " WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_INT, DB_TIME},
};

DB_STATEMENT(ERASE_ADDRESSES) = {
    .sql = "DELETE FROM addresses WHERE user_id = $1",
    .params = {DB_UUID},
};

DB_STATEMENT(ERASE_TOKENS) = {
    .sql = "DELETE FROM account_tokens WHERE user_id = $1",
    .params = {DB_UUID},
};

/* Their refresh tokens go with them. */
DB_STATEMENT(ERASE_SESSIONS) = {
    .sql = "DELETE FROM sessions WHERE user_id = $1",
    .params = {DB_UUID},
};

/* The one that takes lines. One whose payment is being asked for ends as that payment decides. */
DB_STATEMENT(ERASE_CART_LINES) = {
    .sql = "DELETE FROM cart_lines WHERE cart_id IN"
           " (SELECT id FROM carts WHERE user_id = $1 AND user_id IS NOT NULL AND status = 'active')",
    .sql_postgres = "DELETE FROM cart_lines WHERE cart_id IN"
                    " (SELECT id FROM carts WHERE open_user_id = $1 AND status = 'active')",
    .params = {DB_UUID},
};

DB_STATEMENT(ERASE_CART) = {
    .sql = "DELETE FROM carts WHERE user_id = $1 AND user_id IS NOT NULL AND status = 'active'",
    .sql_postgres = "DELETE FROM carts WHERE open_user_id = $1 AND status = 'active'",
    .params = {DB_UUID},
};

/* The country stays: taxes are reported by it. */
DB_STATEMENT(ERASE_ORDERS) = {
    .sql = "UPDATE orders SET email = '" ERASED_EMAIL "', email_folded = '" ERASED_EMAIL "',"
           " shipping_address = json_object('firstName', '', 'lastName', '', 'company', NULL, 'address1', '',"
           " 'address2', NULL, 'city', '', 'province', NULL, 'zip', '', 'country',"
           " json_extract(shipping_address, '$.country'), 'phone', NULL), billing_address = NULL,"
           " customer_notes = NULL, version = version + 1, updated_at = $2"
           " WHERE user_id = $1 AND user_id IS NOT NULL",
    .sql_postgres =
        "UPDATE orders SET email = '" ERASED_EMAIL "', email_folded = '" ERASED_EMAIL "',"
        " shipping_address = json_build_object('firstName', '', 'lastName', '', 'company', NULL, 'address1', '',"
        " 'address2', NULL, 'city', '', 'province', NULL, 'zip', '', 'country',"
        " shipping_address->>'country', 'phone', NULL), billing_address = NULL,"
        " customer_notes = NULL, version = version + 1, updated_at = $2"
        " WHERE user_id = $1 AND user_id IS NOT NULL",
    .params = {DB_UUID, DB_TIME},
};

/* What people wrote. Amounts stand in the payments. */
DB_STATEMENT(ERASE_EVENT_NOTES) = {
    .sql = "UPDATE order_events SET note = NULL WHERE actor <> 'system' AND order_id IN"
           " (SELECT id FROM orders WHERE user_id = $1 AND user_id IS NOT NULL)",
    .params = {DB_UUID},
};

DB_STATEMENT(ERASE_PAYMENT_NOTES) = {
    .sql =
        "UPDATE payments SET note = NULL, reference = CASE WHEN provider = 'manual' THEN NULL ELSE reference END"
        " WHERE order_id IN (SELECT id FROM orders WHERE user_id = $1 AND user_id IS NOT NULL)",
    .params = {DB_UUID},
};

/* Whoever follows a parcel finds its addressee. */
DB_STATEMENT(ERASE_TRACKING) = {
    .sql = "UPDATE fulfillments SET tracking_number = NULL, tracking_url = NULL"
           " WHERE order_id IN (SELECT id FROM orders WHERE user_id = $1 AND user_id IS NOT NULL)",
    .params = {DB_UUID},
};

DB_STATEMENT(ERASE_REPLIES) = {
    .sql = "DELETE FROM idempotency_records WHERE subject_id = $1 AND subject_id IS NOT NULL",
    .params = {DB_UUID},
};

DB_STATEMENT(ERASE_AUDIT) = {
    .sql = "UPDATE audit_log SET state_before = NULL, state_after = NULL"
           " WHERE resource_kind = '" AUDIT_USER "' AND resource_id = $1",
    .params = {DB_TEXT},
};

struct slice erasure_address_mark(const struct services *services, struct arena *arena, struct slice address)
{
    uint8_t key[SHA256_LEN], mac[SHA256_LEN];
    char *text = arena_alloc(arena, 2 * SHA256_LEN);
    hmac_sha256((struct slice){(const char *)services->seal_key, 32}, SLICE("souk erased address"), key);
    hmac_sha256((struct slice){(const char *)key, sizeof(key)}, email_fold(arena, address), mac);
    hex_encode(mac, sizeof(mac), text);
    return (struct slice){text, 2 * SHA256_LEN};
}

/* Says what is left to do. Before the address is gone. */
static enum db_result remainder_leave(struct request *request, struct db *db, struct uuid id)
{
    struct user_email email;
    struct buf text;
    struct json_writer json;
    enum db_result result = user_email_read(db, request->arena, id, &email);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    buf_init(&text, request->arena);
    json_init(&json, &text);
    json_object_begin(&json);
    json_field_uuid(&json, "userId", id);
    json_field_string(&json, "addressMark",
                      erasure_address_mark(request->services, request->arena, email.typed));
    json_object_end(&json);
    result = outbox_append(db, ERASED_TOPIC, buf_slice(&text), request->now_ms);
    return result == DB_DONE ? outbox_append_at(db, ERASED_TOPIC, buf_slice(&text), request->now_ms,
                                                identities_forgettable_ms(request->now_ms))
                             : result;
}

enum db_result account_erase(struct request *request, struct response *response, struct db *db,
                             struct uuid id, int64_t version)
{
    static const struct db_statement *const BY_USER[] = {
        &ERASE_ADDRESSES,   &ERASE_TOKENS,        &ERASE_SESSIONS, &ERASE_CART_LINES, &ERASE_CART,
        &ERASE_EVENT_NOTES, &ERASE_PAYMENT_NOTES, &ERASE_TRACKING, &ERASE_REPLIES};
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    enum db_result result = remainder_leave(request, db, id);
    if (result == DB_DONE)
        result = db_change(db, &ERASE_USER, DB_ARGS(db_uuid(id), db_int(version), db_time(request->now_ms)));
    for (size_t i = 0; i < COUNT_OF(BY_USER) && result == DB_DONE; i++)
        result = db_run(db, BY_USER[i], DB_ARGS(db_uuid(id)));
    if (result == DB_DONE)
        result = db_run(db, &ERASE_ORDERS, DB_ARGS(db_uuid(id), db_time(request->now_ms)));
    if (result == DB_DONE)
        result = mfa_remove(db, id);
    if (result == DB_DONE)
        result = identity_end_tokens(db, id, request->now_ms); /* of another provider, seen or not */
    if (result == DB_DONE)
        result = db_run(db, &ERASE_AUDIT, DB_ARGS(db_text((struct slice){text, UUID_TEXT_LEN})));
    response_drop_id(response, "user", id);
    return result;
}

/* ---- POST /users/me/erase ---- */

DB_STATEMENT(ERASE_MAY) = {
    .sql = "SELECT u.version, (u.role <> 'admin' OR EXISTS (SELECT 1 FROM users o WHERE o.role = 'admin'"
           " AND o.role <> 'customer' AND o.status = 'active' AND o.deleted_at IS NULL AND o.id <> u.id))"
           " FROM users u WHERE u.id = $1 AND u.deleted_at IS NULL",
    .params = {DB_UUID},
    .columns = {DB_INT, DB_BOOL},
};

struct farewell {
    struct request *request;
    struct response *response;
    struct slice code;
    bool is_last_admin;
    bool is_wrong_code;
};

DB_STATEMENT(ERASE_NEEDS_CODE) = {
    .sql = "SELECT COUNT(*) FROM users WHERE id = $1 AND second_factor_at IS NOT NULL",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static enum db_result farewell_commit(struct db *db, void *arg)
{
    struct farewell *farewell = arg;
    struct request *request = farewell->request;
    struct uuid me = request->principal.user_id;
    int64_t needs_code = 0;
    struct db_rows *rows = db_query(db, &ERASE_MAY, DB_ARGS(db_uuid(me)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    int64_t version = db_get_int(rows, 0);
    farewell->is_last_admin = !db_get_bool(rows, 1);
    db_close(rows);
    if (farewell->is_last_admin)
        return DB_CONFLICT;
    if (db_one_int(db, &ERASE_NEEDS_CODE, DB_ARGS(db_uuid(me)), &needs_code) != DB_ROW)
        return DB_ERROR;
    result = needs_code > 0 ? mfa_code_use(request, db, me, farewell->code) : DB_DONE;
    farewell->is_wrong_code = result == DB_CONFLICT;
    return result == DB_DONE ? account_erase(request, farewell->response, db, me, version) : result;
}

enum http_status me_erase(struct request *request, struct response *response)
{
    const struct me_erase_input *input = request->input;
    struct farewell farewell = {
        .request = request, .response = response, .code = input->has_code ? input->code : SLICE("")};
    struct slice email;
    enum http_status refusal = account_password_check(request, response, input->password, &email);
    if (refusal != 0)
        return refusal;
    enum db_result result = db_transaction(request->db, farewell_commit, &farewell);
    if (result == DB_CONFLICT && farewell.is_last_admin)
        return problem(response, PROBLEM_LAST_ADMIN, "The shop keeps at least one active admin");
    if (result == DB_CONFLICT && farewell.is_wrong_code)
        return account_code_refuse(request, response);
    return result == DB_DONE ? HTTP_STATUS_NO_CONTENT : problem_database(response, result);
}

/* ---- GET /users/me/export ---- */

/* One by one, so that an account with many orders needs memory for its reply alone. */
DB_STATEMENT(EXPORT_NEXT_ORDER) = {
    .sql = "SELECT id FROM orders WHERE user_id = $1 AND user_id IS NOT NULL AND id > $2 ORDER BY id LIMIT 1",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_UUID},
};

static enum db_result orders_export(struct request *request, struct json_writer *json)
{
    struct uuid after = {{0}};
    for (;;) {
        struct db_rows *rows = db_query(request->db, &EXPORT_NEXT_ORDER,
                                        DB_ARGS(db_uuid(request->principal.user_id), db_uuid(after)));
        enum db_result result = db_next(rows);
        if (result != DB_ROW)
            return result;
        after = db_get_uuid(rows, 0);
        db_close(rows);
        struct order order;
        if (order_read(request->db, request->arena, after, &order) != DB_ROW ||
            order_write(json, request->db, &order, ORDER_VIEW_CUSTOMER) != DB_DONE)
            return DB_ERROR;
    }
}

DB_STATEMENT(EXPORT_ADDRESSES) = {
    .sql = "SELECT first_name, last_name, company, address1, address2, city, province, zip, country, phone"
           " FROM addresses WHERE user_id = $1 ORDER BY id",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

static enum db_result addresses_export(struct request *request, struct json_writer *json)
{
    static const char *const NAMES[] = {"firstName", "lastName", "company", "address1", "address2",
                                        "city",      "province", "zip",     "country",  "phone"};
    struct db_rows *rows =
        db_query(request->db, &EXPORT_ADDRESSES, DB_ARGS(db_uuid(request->principal.user_id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        json_object_begin(json);
        for (int i = 0; i < (int)COUNT_OF(NAMES); i++)
            json_field_string(json, NAMES[i], db_get_text(rows, i));
        json_object_end(json);
    }
    return result;
}

DB_STATEMENT(EXPORT_SESSIONS) = {
    .sql =
        "SELECT user_agent, address, created_at, last_used_at FROM sessions WHERE user_id = $1 ORDER BY id",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_TIME, DB_TIME},
};

static enum db_result sessions_export(struct request *request, struct json_writer *json)
{
    struct db_rows *rows =
        db_query(request->db, &EXPORT_SESSIONS, DB_ARGS(db_uuid(request->principal.user_id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        json_object_begin(json);
        json_field_string(json, "userAgent", db_get_text(rows, 0));
        json_field_string(json, "address", db_get_text(rows, 1));
        json_field_time(json, "createdAt", db_get_time(rows, 2));
        json_field_time(json, "lastSeenAt", db_get_time(rows, 3));
        json_object_end(json);
    }
    return result;
}

/* The open cart's lines. */
DB_STATEMENT(EXPORT_CART) = {
    .sql = "SELECT l.name, l.sku, l.quantity, l.options, l.created_at FROM carts c JOIN cart_lines l"
           " ON l.cart_id = c.id WHERE c.user_id = $1 AND c.user_id IS NOT NULL AND c.status <> 'converted'"
           " ORDER BY l.id",
    .sql_postgres = "SELECT l.name, l.sku, l.quantity, l.options, l.created_at FROM carts c JOIN cart_lines l"
                    " ON l.cart_id = c.id WHERE c.open_user_id = $1 ORDER BY l.id",
    .params = {DB_UUID},
    .columns = {DB_TEXT, DB_TEXT, DB_INT, DB_JSON, DB_TIME},
};

static enum db_result cart_export(struct request *request, struct json_writer *json)
{
    struct db_rows *rows = db_query(request->db, &EXPORT_CART, DB_ARGS(db_uuid(request->principal.user_id)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        json_object_begin(json);
        json_field_string(json, "name", db_get_text(rows, 0));
        json_field_string(json, "sku", db_get_text(rows, 1));
        json_field_int(json, "quantity", db_get_int(rows, 2));
        json_field_raw(json, "options", db_get_text(rows, 3));
        json_field_time(json, "addedAt", db_get_time(rows, 4));
        json_object_end(json);
    }
    return result;
}

enum http_status me_export(struct request *request, struct response *response)
{
    static const struct {
        const char *key;
        enum db_result (*write)(struct request *request, struct json_writer *json);
    } PARTS[] = {{"addresses", addresses_export},
                 {"cart", cart_export},
                 {"orders", orders_export},
                 {"sessions", sessions_export}};
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_key(json, "account");
    enum db_result result =
        user_write(json, request->db, request->principal.user_id, NULL) == DB_ROW ? DB_DONE : DB_ERROR;
    for (size_t i = 0; i < COUNT_OF(PARTS) && result == DB_DONE; i++) {
        json_field_array_begin(json, PARTS[i].key);
        result = PARTS[i].write(request, json);
        json_array_end(json);
    }
    if (result != DB_DONE)
        return problem_database(response, DB_ERROR);
    json_object_end(json);
    return HTTP_STATUS_OK;
}
