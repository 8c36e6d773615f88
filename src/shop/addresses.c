/* The address book under /users/me/addresses: up to 50 addresses, among them at most one default for goods
 * and one for bills. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/page.h"

#define ADDRESSES_MAX 50 /* of one account */

struct address {
    struct uuid id;
    struct slice first_name, last_name;
    struct slice company; /* this and the others that may be missing: absent */
    struct slice address1, address2;
    struct slice city, province, zip, country;
    struct slice phone;
    bool is_default_shipping, is_default_billing;
    int64_t version;
};

/* ---- reading and showing ---- */

#define ADDRESS_COLUMNS                                                                                      \
    "id, first_name, last_name, company, address1, address2, city, province, zip, country, phone,"           \
    " is_default_shipping, is_default_billing, version"
#define ADDRESS_COLUMN_TYPES                                                                                 \
    DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,       \
        DB_BOOL, DB_BOOL, DB_INT

static void address_take(struct db_rows *rows, struct arena *arena, struct address *address)
{
    *address = (struct address){
        .id = db_get_uuid(rows, 0),
        .first_name = db_copy_text(rows, 1, arena),
        .last_name = db_copy_text(rows, 2, arena),
        .company = db_copy_text(rows, 3, arena),
        .address1 = db_copy_text(rows, 4, arena),
        .address2 = db_copy_text(rows, 5, arena),
        .city = db_copy_text(rows, 6, arena),
        .province = db_copy_text(rows, 7, arena),
        .zip = db_copy_text(rows, 8, arena),
        .country = db_copy_text(rows, 9, arena),
        .phone = db_copy_text(rows, 10, arena),
        .is_default_shipping = db_get_bool(rows, 11),
        .is_default_billing = db_get_bool(rows, 12),
        .version = db_get_int(rows, 13),
    };
}

static void address_write(struct json_writer *json, const struct address *address)
{
    json_object_begin(json);
    json_field_uuid(json, "id", address->id);
    json_field_string(json, "firstName", address->first_name);
    json_field_string(json, "lastName", address->last_name);
    json_field_string(json, "company", address->company);
    json_field_string(json, "address1", address->address1);
    json_field_string(json, "address2", address->address2);
    json_field_string(json, "city", address->city);
    json_field_string(json, "province", address->province);
    json_field_string(json, "zip", address->zip);
    json_field_string(json, "country", address->country);
    json_field_string(json, "phone", address->phone);
    json_field_bool(json, "isDefaultShipping", address->is_default_shipping);
    json_field_bool(json, "isDefaultBilling", address->is_default_billing);
    json_object_end(json);
}

DB_STATEMENT(ADDRESS_READ) = {
    .sql = "SELECT " ADDRESS_COLUMNS " FROM addresses WHERE id = $1 AND user_id = $2",
    .params = {DB_UUID, DB_UUID},
    .columns = {ADDRESS_COLUMN_TYPES},
};

/* One of the caller's own addresses. 0, or the refusal: another's does not exist. */
static enum http_status address_find(struct request *request, struct response *response, struct uuid id,
                                     struct address *address)
{
    struct db_rows *rows =
        db_query(request->db, &ADDRESS_READ, DB_ARGS(db_uuid(id), db_uuid(request->principal.user_id)));
    enum db_result result = db_next(rows);
    if (result == DB_DONE)
        return problem(response, PROBLEM_ADDRESS_NOT_FOUND, "Your address book has no such address");
    if (result != DB_ROW)
        return problem_database(response, result);
    address_take(rows, request->arena, address);
    db_close(rows);
    return (enum http_status)0;
}

enum http_status address_get(struct request *request, struct response *response)
{
    const struct address_get_input *input = request->input;
    struct address address;
    enum http_status refusal = address_find(request, response, input->address_id, &address);
    if (refusal != 0)
        return refusal;
    response_version(response, address.version);
    address_write(&response->json, &address);
    return HTTP_STATUS_OK;
}

/* Oldest first: an id is time-ordered. The nil id stands before them all. */
DB_STATEMENT(ADDRESSES_PAGE) = {
    .sql = "SELECT " ADDRESS_COLUMNS " FROM addresses WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    .params = {DB_UUID, DB_UUID, DB_INT},
    .columns = {ADDRESS_COLUMN_TYPES},
};

enum http_status addresses_list(struct request *request, struct response *response)
{
    const struct addresses_list_input *input = request->input;
    struct slice me = {(const char *)request->principal.user_id.bytes, sizeof(struct uuid)};
    struct cursor_scope scope;
    cursor_scope_init(&scope, request->operation);
    cursor_scope_add(&scope, me);
    const enum db_type cursor_types[] = {DB_UUID};
    struct db_value after = db_uuid((struct uuid){{0}});
    if (input->has_cursor && !cursor_open(request, &scope, input->cursor, cursor_types, 1, &after))
        return problem_field(response, "cursor", "INVALID", "must be the nextCursor of this very list");
    struct db_rows *rows =
        db_query(request->db, &ADDRESSES_PAGE,
                 DB_ARGS(db_uuid(request->principal.user_id), db_uuid(after.uuid), db_int(input->limit + 1)));
    struct address address = {.version = 0};
    struct slice next = SLICE_ABSENT;
    int64_t count = 0;
    enum db_result result;
    json_array_begin(&response->json);
    while ((result = db_next(rows)) == DB_ROW && count++ < input->limit) {
        address_take(rows, request->arena, &address);
        address_write(&response->json, &address);
    }
    json_array_end(&response->json);
    if (result == DB_ROW) { /* the row past the page */
        db_close(rows);
        next = cursor_make(request, &scope, &(struct db_value){.type = DB_UUID, .uuid = address.id}, 1);
    } else if (result != DB_DONE) {
        return problem_database(response, result);
    }
    response_page(response, input->limit, next);
    return HTTP_STATUS_OK;
}

/* ---- the defaults ---- */

DB_STATEMENT(DEFAULT_SHIPPING_PASS) = {
    .sql = "UPDATE addresses SET is_default_shipping = FALSE, version = version + 1, updated_at = $3"
           " WHERE user_id = $1 AND id <> $2 AND is_default_shipping = TRUE",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

DB_STATEMENT(DEFAULT_BILLING_PASS) = {
    .sql = "UPDATE addresses SET is_default_billing = FALSE, version = version + 1, updated_at = $3"
           " WHERE user_id = $1 AND id <> $2 AND is_default_billing = TRUE",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

/* What this address is the default for, no other is. */
static enum db_result defaults_pass(struct request *request, const struct address *address)
{
    struct db_value user_id = db_uuid(request->principal.user_id);
    struct db_value id = db_uuid(address->id);
    enum db_result result = DB_DONE;
    if (address->is_default_shipping)
        result = db_run(request->db, &DEFAULT_SHIPPING_PASS, DB_ARGS(user_id, id, db_time(request->now_ms)));
    if (result == DB_DONE && address->is_default_billing)
        result = db_run(request->db, &DEFAULT_BILLING_PASS, DB_ARGS(user_id, id, db_time(request->now_ms)));
    return result;
}

/* ---- adding ---- */

DB_STATEMENT(ADDRESSES_COUNT) = {
    .sql = "SELECT COUNT(*) FROM addresses WHERE user_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(ADDRESS_INSERT) = {
    .sql = "INSERT INTO addresses (id, user_id, first_name, last_name, company, address1, address2, city,"
           " province, zip, country, phone, is_default_shipping, is_default_billing, created_at, updated_at)"
           " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)",
    .params = {DB_UUID, DB_UUID, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,
               DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_TIME},
};

static enum db_result address_insert(struct request *request, const struct address *address)
{
    return db_run(request->db, &ADDRESS_INSERT,
                  DB_ARGS(db_uuid(address->id), db_uuid(request->principal.user_id),
                          db_text(address->first_name), db_text(address->last_name),
                          db_text(address->company), db_text(address->address1), db_text(address->address2),
                          db_text(address->city), db_text(address->province), db_text(address->zip),
                          db_text(address->country), db_text(address->phone),
                          db_bool(address->is_default_shipping), db_bool(address->is_default_billing),
                          db_time(request->now_ms)));
}

enum http_status address_create(struct request *request, struct response *response)
{
    const struct address_create_input *input = request->input;
    int64_t count = 0;
    if (db_one_int(request->db, &ADDRESSES_COUNT, DB_ARGS(db_uuid(request->principal.user_id)), &count) !=
        DB_ROW)
        return problem_database(response, DB_ERROR);
    if (count >= ADDRESSES_MAX)
        return problem(response, PROBLEM_ADDRESS_LIMIT, "An address book holds %d addresses", ADDRESSES_MAX);
    /* The first one is the default for everything, unless the client says what it is for. */
    bool is_for_all = count == 0 && !input->has_is_default_shipping && !input->has_is_default_billing;
    struct address address = {
        .id = uuid_v7(request->now_ms),
        .first_name = input->first_name,
        .last_name = input->last_name,
        .company = input->company,
        .address1 = input->address1,
        .address2 = input->address2,
        .city = input->city,
        .province = input->province,
        .zip = input->zip,
        .country = input->country,
        .phone = input->phone,
        .is_default_shipping = input->is_default_shipping || is_for_all,
        .is_default_billing = input->is_default_billing || is_for_all,
    };
    enum db_result result = address_insert(request, &address);
    if (result == DB_DONE)
        result = defaults_pass(request, &address);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_location(response, "/users/me/addresses/", address.id);
    address_write(&response->json, &address);
    return HTTP_STATUS_CREATED;
}

/* ---- changing ---- */

/* Takes over what the client sent; null (which only some may be) is no text. */
static void text_change(struct slice *text, bool is_sent, bool is_null, struct slice sent)
{
    if (is_sent)
        *text = is_null ? SLICE_ABSENT : sent;
}

static void address_change(struct address *address, const struct address_update_input *input)
{
    text_change(&address->first_name, input->has_first_name, false, input->first_name);
    text_change(&address->last_name, input->has_last_name, false, input->last_name);
    text_change(&address->company, input->has_company, input->company_is_null, input->company);
    text_change(&address->address1, input->has_address1, false, input->address1);
    text_change(&address->address2, input->has_address2, input->address2_is_null, input->address2);
    text_change(&address->city, input->has_city, false, input->city);
    text_change(&address->province, input->has_province, input->province_is_null, input->province);
    text_change(&address->zip, input->has_zip, false, input->zip);
    text_change(&address->country, input->has_country, false, input->country);
    text_change(&address->phone, input->has_phone, input->phone_is_null, input->phone);
    if (input->has_is_default_shipping)
        address->is_default_shipping = input->is_default_shipping;
    if (input->has_is_default_billing)
        address->is_default_billing = input->is_default_billing;
}

DB_STATEMENT(ADDRESS_UPDATE) = {
    .sql = "UPDATE addresses SET first_name = $4, last_name = $5, company = $6, address1 = $7, address2 = $8,"
           " city = $9, province = $10, zip = $11, country = $12, phone = $13, is_default_shipping = $14,"
           " is_default_billing = $15, version = version + 1, updated_at = $16"
           " WHERE id = $1 AND user_id = $2 AND version = $3",
    .params = {DB_UUID, DB_UUID, DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT,
               DB_TEXT, DB_TEXT, DB_TEXT, DB_BOOL, DB_BOOL, DB_TIME},
};

static enum db_result address_store(struct request *request, const struct address *address)
{
    return db_change(request->db, &ADDRESS_UPDATE,
                     DB_ARGS(db_uuid(address->id), db_uuid(request->principal.user_id),
                             db_int(address->version), db_text(address->first_name),
                             db_text(address->last_name), db_text(address->company),
                             db_text(address->address1), db_text(address->address2), db_text(address->city),
                             db_text(address->province), db_text(address->zip), db_text(address->country),
                             db_text(address->phone), db_bool(address->is_default_shipping),
                             db_bool(address->is_default_billing), db_time(request->now_ms)));
}

enum http_status address_update(struct request *request, struct response *response)
{
    const struct address_update_input *input = request->input;
    struct address address;
    enum http_status refusal = address_find(request, response, input->address_id, &address);
    if (refusal == 0)
        refusal = response_precondition(response, request, address.version);
    if (refusal != 0)
        return refusal;
    address_change(&address, input);
    enum db_result result = address_store(request, &address);
    if (result == DB_DONE)
        result = defaults_pass(request, &address);
    if (result != DB_DONE)
        return problem_database(response, result);
    response_version(response, address.version + 1);
    address_write(&response->json, &address);
    return HTTP_STATUS_OK;
}

/* ---- deleting ---- */

DB_STATEMENT(ADDRESS_DELETE) = {
    .sql = "DELETE FROM addresses WHERE id = $1 AND user_id = $2 AND version = $3",
    .params = {DB_UUID, DB_UUID, DB_INT},
};

enum http_status address_delete(struct request *request, struct response *response)
{
    const struct address_delete_input *input = request->input;
    struct address address;
    enum http_status refusal = address_find(request, response, input->address_id, &address);
    if (refusal == 0)
        refusal = response_precondition(response, request, address.version);
    if (refusal != 0)
        return refusal;
    enum db_result result =
        db_change(request->db, &ADDRESS_DELETE,
                  DB_ARGS(db_uuid(address.id), db_uuid(request->principal.user_id), db_int(address.version)));
    return result == DB_DONE ? HTTP_STATUS_NO_CONTENT : problem_database(response, result);
}
