/* What the tests of the catalogue share: calling a handler as the gateway would, reading its reply, and the
 * truths that hold between the catalogue's tables whatever was done to them. */
#pragma once

#include "auth/roles.h"
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "fixture.h"

#include <jansson.h>

typedef enum http_status (*handler_function)(struct request *request, struct response *response);

struct call {
    handler_function handler;
    struct request request;
    struct response response;
    enum http_status status;
    json_t *body; /* of the reply; given back by call_end */
};

static const struct operation CALL_OPERATION = {.name = "test"};
static struct services call_services;

static inline enum db_result call_run(struct db *db, void *arg)
{
    struct call *call = arg;
    call->request.db = db;
    response_init(&call->response, call->request.arena, false);
    call->status = call->handler(&call->request, &call->response);
    return call->status >= 400 ? DB_CONFLICT : DB_DONE;
}

static inline void call_begin(struct shop *shop, struct call *call, handler_function handler,
                              const void *input, bool is_staff)
{
    call_services.store = shop->store;
    *call = (struct call){
        .handler = handler,
        .request = {.operation = &CALL_OPERATION,
                    .services = &call_services,
                    .arena = &shop->arena,
                    .input = input,
                    .now_ms = clock_now_ms()},
    };
    if (is_staff)
        call->request.principal = (struct principal){.kind = PRINCIPAL_USER,
                                                     .role = ROLE_ADMIN,
                                                     .scopes = scopes_of_kind(ROLE_ADMIN),
                                                     .user_id = uuid_v7(call->request.now_ms)};
}

static inline enum http_status call_end(struct call *call)
{
    json_t *root = NULL;
    struct slice content = response_content(&call->response);
    struct slice whole =
        call->response.problem_code != NULL
            ? arena_format(call->request.arena, "%.*s}", SLICE_ARG(buf_slice(&call->response.body)))
            : content;
    if (whole.len > 0) {
        root = json_loadb(whole.ptr, whole.len, 0, NULL);
        if (root == NULL)
            fail_msg("not JSON: %.*s", SLICE_ARG(whole));
    }
    call->body = root;
    return call->status;
}

/* A write of staff, in a transaction that ends as the gateway's would. */
static inline enum http_status call_write(struct shop *shop, struct call *call, handler_function handler,
                                          const void *input)
{
    call_begin(shop, call, handler, input, true);
    enum db_result result = db_transaction(shop->db, call_run, call);
    assert_int_not_equal(result, DB_ERROR);
    return call_end(call);
}

/* A read in one snapshot. */
static inline enum http_status call_read(struct shop *shop, struct call *call, handler_function handler,
                                         const void *input, bool is_staff)
{
    call_begin(shop, call, handler, input, is_staff);
    db_read_begin(shop->db);
    (void)call_run(shop->db, call);
    db_read_end(shop->db);
    return call_end(call);
}

/* The value at a path such as "variants[1].price.amount"; NULL when there is none. */
static inline json_t *at(const struct call *call, const char *path)
{
    json_t *value = call->body;
    char key[64];
    while (*path != '\0' && value != NULL) {
        size_t len = strcspn(path, ".[]");
        snprintf(key, sizeof(key), "%.*s", (int)len, path);
        if (len > 0)
            value =
                json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
        path += len;
        path += strspn(path, ".[]");
    }
    return value;
}

static inline int64_t int_at(const struct call *call, const char *path)
{
    json_t *value = at(call, path);
    if (!json_is_integer(value))
        fail_msg("%s is no integer in %.*s", path, SLICE_ARG(buf_slice(&call->response.body)));
    return json_integer_value(value);
}

static inline const char *text_at(const struct call *call, const char *path)
{
    json_t *value = at(call, path);
    if (!json_is_string(value))
        fail_msg("%s is no text in %.*s", path, SLICE_ARG(buf_slice(&call->response.body)));
    return json_string_value(value);
}

static inline struct uuid id_at(const struct call *call, const char *path)
{
    struct uuid id;
    assert_true(uuid_parse(slice_from(text_at(call, path)), &id));
    return id;
}

static inline struct money usd(int64_t amount_minor)
{
    return (struct money){amount_minor, SLICE("USD")};
}

#define MUST(expected, made)                                                                                 \
    do {                                                                                                     \
        enum http_status must_status = (made);                                                               \
        if (must_status != (expected))                                                                       \
            fail_msg("status %d: %.*s", must_status, SLICE_ARG(buf_slice(&call.response.body)));             \
    } while (0)

/* ---- what always holds: each counts its violations ---- */

DB_STATEMENT(TRUTH_LISTED_EVERYWHERE) = {
    .sql = "WITH RECURSIVE up(number, id) AS (SELECT p.number, p.category_id FROM products p"
           " WHERE p.is_active = TRUE AND p.deleted_at IS NULL AND p.category_id IS NOT NULL"
           " UNION ALL SELECT u.number, c.parent_id FROM up u JOIN categories c ON c.id = u.id"
           " WHERE c.parent_id IS NOT NULL)"
           " SELECT (SELECT count(*) FROM up WHERE NOT EXISTS (SELECT 1 FROM category_products l"
           " WHERE l.category_id = up.id AND l.number = up.number))"
           " + (SELECT count(*) FROM category_products l WHERE NOT EXISTS"
           " (SELECT 1 FROM up WHERE up.id = l.category_id AND up.number = l.number))",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_LISTING_KEYS) = {
    .sql =
        "SELECT count(*) FROM category_products l JOIN products p ON p.number = l.number"
        " WHERE l.price_minor <> p.price_minor OR l.name_sort <> p.name_sort OR l.created_at <> p.created_at",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_COUNTS) = {
    .sql = "SELECT count(*) FROM categories c WHERE c.product_count <>"
           " (SELECT count(*) FROM category_products l WHERE l.category_id = c.id)",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_DOCUMENTS) = {
    .sql =
        "SELECT (SELECT count(*) FROM products p WHERE p.is_active = TRUE AND p.deleted_at IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM product_documents d WHERE d.product_number = p.number AND d.product_id = p.id"
        " AND d.version = p.version))"
        " + (SELECT count(*) FROM product_documents d JOIN products p ON p.number = d.product_number"
        " WHERE p.is_active = FALSE OR p.deleted_at IS NOT NULL)",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_PRICES) = {
    .sql =
        "SELECT count(*) FROM products p WHERE p.deleted_at IS NULL AND p.price_minor <>"
        " (SELECT coalesce(min(v.price_minor), -1) FROM variants v WHERE v.product_id = p.id AND v.deleted_at IS NULL)",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_POSITIONS) = {
    .sql = "SELECT count(*) FROM variants v WHERE v.deleted_at IS NULL AND v.position <>"
           " (SELECT count(*) FROM variants b WHERE b.product_id = v.product_id AND b.deleted_at IS NULL"
           " AND b.position < v.position)",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_STOCK) = {
    .sql =
        "SELECT count(*) FROM variant_stock s WHERE s.on_hand <>"
        " (SELECT coalesce(sum(m.quantity), 0) FROM stock_movements m WHERE m.variant_id = s.variant_id)"
        " OR s.is_retired <> EXISTS (SELECT 1 FROM variants v WHERE v.id = s.variant_id AND v.deleted_at IS NOT NULL)",
    .columns = {DB_INT},
};

DB_STATEMENT(TRUTH_SEARCH) = {
    .sql =
        "SELECT (SELECT count(*) FROM products p WHERE p.deleted_at IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM product_search w WHERE w.rowid = p.number))"
        " + (SELECT count(*) FROM product_search w JOIN products p ON p.number = w.rowid WHERE p.deleted_at IS NOT NULL)",
    .sql_postgres =
        "SELECT (SELECT count(*) FROM products p WHERE p.deleted_at IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM product_search w WHERE w.number = p.number))"
        " + (SELECT count(*) FROM product_search w JOIN products p ON p.number = w.number WHERE p.deleted_at IS NOT NULL)",
    .columns = {DB_INT},
};

static inline void assert_truths(struct shop *shop)
{
    static const struct db_statement *const TRUTHS[] = {
        &TRUTH_LISTED_EVERYWHERE, &TRUTH_LISTING_KEYS, &TRUTH_COUNTS, &TRUTH_DOCUMENTS, &TRUTH_PRICES,
        &TRUTH_POSITIONS,         &TRUTH_STOCK,        &TRUTH_SEARCH,
    };
    for (size_t i = 0; i < COUNT_OF(TRUTHS); i++) {
        int64_t violations = -1;
        assert_int_equal(db_one_int(shop->db, TRUTHS[i], DB_NO_ARGS, &violations), DB_ROW);
        if (violations != 0)
            fail_msg("%lld violations of: %s", (long long)violations, TRUTHS[i]->sql);
    }
}
