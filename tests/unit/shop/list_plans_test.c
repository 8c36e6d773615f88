/* What PostgreSQL does for each list, in a shop of some ten thousand rows of each kind: the handlers run as
 * they are, on a connection whose every statement is explained first. None may read a large table from end to
 * end, nor sort more than its filter leaves. */
#include "catalogue.h"

#include "auth/roles.h"
#include "data/explain.h"

/* ---- a shop ---- */

#define PRODUCTS 30000
#define EVERYTHING                                                                                                            \
    "INSERT INTO categories (id, name, name_sort, slug, created_at, updated_at)"                                              \
    " SELECT gen_random_uuid(), 'C' || i, 'c' || i, 'c' || i, now(), now() FROM generate_series(1, 20) i;"                    \
    "INSERT INTO products (id, category_id, name, name_sort, slug, vendor, description, price_minor, is_active,"              \
    " is_featured, created_at, updated_at) SELECT gen_random_uuid(),"                                                         \
    " (SELECT id FROM categories WHERE slug = 'c' || (1 + i % 20)), 'P' || i, md5(i::text), 'p' || i,"                        \
    " 'Vendor ' || (i % 50), repeat('x', 400), 100 + i % 5000, i % 20 <> 3, i % 100 = 0,"                                     \
    " to_timestamp(1700000000 + i), to_timestamp(1700000000 + i) FROM generate_series(1, 30000) i;"                           \
    "INSERT INTO category_products SELECT category_id, created_at, number, price_minor, name_sort"                            \
    " FROM products WHERE is_active;"                                                                                         \
    "INSERT INTO product_documents SELECT number, id, 1, '{\"x\":\"' || repeat('x', 1200) || '\"}'"                           \
    " FROM products WHERE is_active;"                                                                                         \
    "INSERT INTO product_tags SELECT 'tag' || number % 40, number FROM products;"                                             \
    "INSERT INTO variants (id, product_id, position, sku, price_minor, created_at, updated_at)"                               \
    " SELECT gen_random_uuid(), id, 0, 'SKU-' || number, price_minor, created_at, updated_at FROM products;"                  \
    "INSERT INTO variant_stock (product_id, variant_id, on_hand)"                                                             \
    " SELECT product_id, id, CASE WHEN position(right(sku, 2) IN '00 50') > 0 THEN 0 ELSE 10 END FROM variants;"              \
    "INSERT INTO stock_movements (id, variant_id, product_id, kind, quantity, on_hand_after, created_at)"                     \
    " SELECT gen_random_uuid(), id, product_id, 'initial', 10, 10, created_at FROM variants;"                                 \
    "INSERT INTO product_search SELECT number, (E'\\'linen\\':1A \\'w' || number % 300 || E'\\':2A \\'x\\':3D \\'#'"          \
    " || number / 4096 || E'\\'')::tsvector FROM products;"                                                                   \
    "INSERT INTO search_words SELECT md5(i::text) FROM generate_series(1, 20000) i;"                                          \
    "INSERT INTO users (id, email, email_folded, first_name, name_sort, role, created_at, updated_at)"                        \
    " SELECT gen_random_uuid(), i || '@example.com', i || '@example.com', 'F', md5(i::text) || ' ' || md5((i / 7)::text),"    \
    " CASE WHEN i % 2000 = 0 THEN 'staff' ELSE 'customer' END, now(), now() FROM generate_series(1, 30000) i;"                \
    "INSERT INTO orders (id, order_number, user_id, cart_id, email, email_folded, status, payment_status,"                    \
    " fulfillment_status, currency, subtotal_minor, shipping_minor, tax_minor, total_minor, items, shipping_address,"         \
    " shipping_method, payment_method, created_at, updated_at) SELECT"                                                        \
    " (lpad(to_hex(1700000000000 + i::bigint * 1000), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid,"             \
    " 'SK-' || upper(left(md5(i::text), 11)), u.id, gen_random_uuid(), u.email, u.email_folded,"                              \
    " CASE WHEN i % 9 = 0 THEN 'pending' WHEN i % 5000 = 1 THEN 'refunded' ELSE 'delivered' END,"                             \
    " CASE WHEN i % 9 = 0 THEN 'pending' WHEN i % 5000 = 1 THEN 'refunded' ELSE 'paid' END,"                                  \
    " CASE WHEN i % 9 = 0 THEN 'unfulfilled' WHEN i % 5000 = 1 THEN 'cancelled' ELSE 'delivered' END, 'USD', 100, 0, 0, 100," \
    " '[]', '{}', 'standard', 'manual', to_timestamp(1700000000 + i), to_timestamp(1700000000 + i)"                           \
    " FROM generate_series(1, 40000) i JOIN users u ON u.email = (1 + i % 3000) || '@example.com';"

static const char *const LARGE[] = {"products",       "product_documents", "category_products",
                                    "product_tags",   "variants",          "variant_stock",
                                    "product_search", "search_words",      "users",
                                    "orders",         "stock_movements",   NULL};

static void fill(struct shop *shop)
{
    PGconn *pg = test_server_connect(shop->at.url);
    (void)test_server_run(pg, EVERYTHING);
    (void)test_server_run(pg, "VACUUM ANALYZE");
    PQfinish(pg);
}

/* ---- lists ---- */

#define SORTED_ALWAYS_MAX 200 /* the rows of a page, the tags of a product */

/* The input of a list, and where in it the cursor stands. */
#define LIST(input) &(input), &(input).cursor, &(input).has_cursor

/* Two pages, the second behind the cursor of the first, if that has one. */
static void check_list(struct shop *shop, const char *what, handler_function handler,
                       const struct principal *principal, double sorted_max, const void *input,
                       struct slice *cursor, bool *has_cursor)
{
    spy.what = what;
    spy.sorted_max = sorted_max > SORTED_ALWAYS_MAX ? sorted_max : SORTED_ALWAYS_MAX;
    for (int page = 0; page < 2; page++) {
        struct call call;
        call_begin(shop, &call, handler, input, false);
        call.request.principal = *principal;
        (void)call_run(shop->db, &call);
        (void)call_end(&call);
        json_decref(call.body);
        if (call.status != HTTP_STATUS_OK)
            fail_msg("%s: status %d: %.*s", what, call.status, SLICE_ARG(buf_slice(&call.response.body)));
        *cursor = call.response.pagination.next_cursor;
        *has_cursor = !slice_is_absent(*cursor);
        if (!*has_cursor)
            break;
    }
    *has_cursor = false;
}

static const struct principal ANYONE = {.kind = PRINCIPAL_ANONYMOUS};

static struct principal someone(enum role role, struct uuid user_id)
{
    return (struct principal){
        .kind = PRINCIPAL_USER, .role = role, .scopes = scopes_of_kind(role), .user_id = user_id};
}

/* The candidates of a search, a block more than that many hits. */
#define HITS_SORTED_MAX (SEARCH_HITS_MAX + 4096)
/* A tenth of all rows: a filter may leave so many and sort them. */
#define FILTERED_MAX (PRODUCTS / 10)

static void check_products(struct shop *shop, const char *what, struct products_list_input input,
                           double sorted_max)
{
    struct principal admin = someone(ROLE_ADMIN, uuid_v4());
    static const char *const SORTS[] = {
        [PRODUCTS_LIST_SORT_NAME] = "by name",       [PRODUCTS_LIST_SORT_NAME_DESC] = "by name, falling",
        [PRODUCTS_LIST_SORT_PRICE] = "by price",     [PRODUCTS_LIST_SORT_PRICE_DESC] = "by price, falling",
        [PRODUCTS_LIST_SORT_CREATED_AT] = "by age",  [PRODUCTS_LIST_SORT_CREATED_AT_DESC] = "by age, falling",
        [PRODUCTS_LIST_SORT_RELEVANCE] = "relevance"};
    input.limit = 20;
    for (size_t i = 0; i < COUNT_OF(SORTS); i++) {
        input.has_sort = true;
        input.sort = (enum products_list_sort)i;
        if (input.sort == PRODUCTS_LIST_SORT_RELEVANCE && !input.has_q)
            continue;
        struct slice name = arena_format(&shop->arena, "products: %s, %s", what, SORTS[i]);
        if (!input.has_is_active)
            check_list(shop, name.ptr, products_list, &ANYONE, sorted_max, LIST(input));
        struct slice staff = arena_format(&shop->arena, "%s, staff", name.ptr);
        check_list(shop, staff.ptr, products_list, &admin, sorted_max, LIST(input));
    }
}

static void test_products(void **state)
{
    struct shop *shop = *state;
    spy.complaints = 0;
    spy.explained = 0;
    typedef struct products_list_input in;
    const struct {
        const char *what;
        in input;
        double sorted_max;
    } CASES[] = {
        {"all", {.limit = 0}, 0},
        {"a price",
         {.has_price_gte = true, .price_gte = 500, .has_price_lte = true, .price_lte = 600},
         FILTERED_MAX},
        {"a wide price", {.has_price_gte = true, .price_gte = 500}, 0},
        {"a vendor", {.has_vendor = true, .vendor = SLICE("Vendor 7")}, FILTERED_MAX},
        {"a vendor who is not there", {.has_vendor = true, .vendor = SLICE("Nobody")}, FILTERED_MAX},
        {"featured", {.has_is_featured = true, .is_featured = true}, FILTERED_MAX},
        {"not featured", {.has_is_featured = true}, 0},
        {"a tag", {.has_tag = true, .tag = SLICE("tag7")}, FILTERED_MAX},
        {"in stock", {.has_in_stock = true, .in_stock = true}, 0},
        {"sold out", {.has_in_stock = true}, FILTERED_MAX},
        {"inactive", {.has_is_active = true}, FILTERED_MAX},
        {"a total", {.has_total = true, .total = true}, 0},
        {"a search", {.has_q = true, .q = SLICE("linen")}, HITS_SORTED_MAX},
        {"a narrow search", {.has_q = true, .q = SLICE("linen w42")}, FILTERED_MAX},
        {"a search of nothing", {.has_q = true, .q = SLICE("zzzzz")}, FILTERED_MAX},
        {"a search with a price",
         {.has_q = true, .q = SLICE("linen"), .has_price_lte = true, .price_lte = 110},
         HITS_SORTED_MAX},
        {"a search with a total",
         {.has_q = true, .q = SLICE("w42"), .has_total = true, .total = true},
         FILTERED_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        in input = CASES[i].input;
        check_products(shop, CASES[i].what, input, CASES[i].sorted_max);
        input.has_category = true;
        input.category = SLICE("c7");
        struct slice what = arena_format(&shop->arena, "%s, in a category", CASES[i].what);
        check_products(shop, what.ptr, input,
                       CASES[i].sorted_max > FILTERED_MAX ? CASES[i].sorted_max : FILTERED_MAX);
    }
    assert_true(spy.explained >= COUNT_OF(CASES));
    assert_int_equal(spy.complaints, 0);
}

DB_STATEMENT(SOME_BUYER) = {
    .sql = "SELECT user_id FROM orders ORDER BY number LIMIT 1",
    .columns = {DB_UUID},
};

static struct uuid some_buyer(struct shop *shop)
{
    struct db_rows *rows = db_query(shop->db, &SOME_BUYER, DB_NO_ARGS);
    assert_int_equal(db_next(rows), DB_ROW);
    struct uuid id = db_get_uuid(rows, 0);
    db_close(rows);
    return id;
}

static void test_orders(void **state)
{
    struct shop *shop = *state;
    spy.complaints = 0;
    spy.explained = 0;
    typedef struct orders_list_input in;
    struct uuid buyer = some_buyer(shop);
    struct principal admin = someone(ROLE_ADMIN, uuid_v4()), customer = someone(ROLE_CUSTOMER, buyer);
    const struct {
        const char *what;
        in input;
        double sorted_max;
    } CASES[] = {
        {"all", {.limit = 0}, 0},
        {"a common status", {.has_status = true, .status = ORDER_STATUS_DELIVERED}, 0},
        {"an open status", {.has_status = true, .status = ORDER_STATUS_PENDING}, 0},
        {"a rare status", {.has_status = true, .status = ORDER_STATUS_REFUNDED}, FILTERED_MAX},
        {"a status of none", {.has_status = true, .status = ORDER_STATUS_SHIPPED}, FILTERED_MAX},
        {"paid", {.has_payment_status = true, .payment_status = PAYMENT_STATUS_PAID}, 0},
        {"unpaid", {.has_payment_status = true, .payment_status = PAYMENT_STATUS_PENDING}, 0},
        {"refunded", {.has_payment_status = true, .payment_status = PAYMENT_STATUS_REFUNDED}, FILTERED_MAX},
        {"unfulfilled",
         {.has_fulfillment_status = true, .fulfillment_status = FULFILLMENT_STATUS_UNFULFILLED},
         0},
        {"not fulfilled",
         {.has_fulfillment_status = true, .fulfillment_status = FULFILLMENT_STATUS_CANCELLED},
         FILTERED_MAX},
        {"an address", {.has_email = true, .email = SLICE("7@Example.com")}, FILTERED_MAX},
        {"an unknown address", {.has_email = true, .email = SLICE("nobody@example.com")}, FILTERED_MAX},
        {"a user", {.has_user_id = true, .user_id = buyer}, FILTERED_MAX},
        {"some minutes",
         {.has_created_at_gte_ms = true,
          .created_at_gte_ms = 1700010000000,
          .has_created_at_lte_ms = true,
          .created_at_lte_ms = 1700010300000},
         FILTERED_MAX},
        {"since", {.has_created_at_gte_ms = true, .created_at_gte_ms = 1700030000000}, 0},
        {"a number", {.has_q = true, .q = SLICE("sk-c4ca")}, FILTERED_MAX},
        {"a total", {.has_total = true, .total = true}, 0},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(CASES); i++) {
        in input = CASES[i / 2].input;
        input.limit = 20;
        input.sort = i % 2 == 0 ? ORDERS_LIST_SORT_CREATED_AT : ORDERS_LIST_SORT_CREATED_AT_DESC;
        struct slice what =
            arena_format(&shop->arena, "orders: %s, %s", CASES[i / 2].what, i % 2 == 0 ? "oldest" : "newest");
        check_list(shop, what.ptr, orders_list, &admin, CASES[i / 2].sorted_max, LIST(input));
        check_list(shop, what.ptr, orders_list, &customer, FILTERED_MAX, LIST(input));
    }
    assert_true(spy.explained >= COUNT_OF(CASES));
    assert_int_equal(spy.complaints, 0);
}

static void test_users(void **state)
{
    struct shop *shop = *state;
    spy.complaints = 0;
    spy.explained = 0;
    typedef struct users_list_input in;
    struct principal admin = someone(ROLE_ADMIN, uuid_v4());
    const struct {
        const char *what;
        in input;
    } CASES[] = {
        {"all", {.limit = 0}},
        {"customers", {.has_role = true, .role = SLICE("customer")}},
        {"staff", {.has_role = true, .role = SLICE("staff")}},
        {"admins", {.has_role = true, .role = SLICE("admin")}},
        {"an address", {.has_q = true, .q = SLICE("123@ex")}},
        {"a name", {.has_q = true, .q = SLICE("c4ca4")}},
        {"a first letter", {.has_q = true, .q = SLICE("c")}},
        {"two words", {.has_q = true, .q = SLICE("c4 a8")}},
        {"nobody", {.has_q = true, .q = SLICE("zzzz")}},
        {"a total", {.has_total = true, .total = true}},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (int sort = USERS_LIST_SORT_CREATED_AT; sort <= USERS_LIST_SORT_NAME_DESC; sort++) {
            in input = CASES[i].input;
            input.limit = 20;
            input.has_sort = true;
            input.sort = (enum users_list_sort)sort;
            struct slice what = arena_format(&shop->arena, "users: %s, sort %d", CASES[i].what, sort);
            check_list(shop, what.ptr, users_list, &admin, FILTERED_MAX, LIST(input));
        }
    }
    assert_true(spy.explained >= COUNT_OF(CASES));
    assert_int_equal(spy.complaints, 0);
}

DB_STATEMENT(SOME_VARIANT) = {
    .sql = "SELECT product_id, id FROM variants WHERE sku = 'SKU-77' AND deleted_at IS NULL",
    .columns = {DB_UUID, DB_UUID},
};

static void test_movements(void **state)
{
    struct shop *shop = *state;
    spy.complaints = 0;
    spy.explained = 0;
    struct principal admin = someone(ROLE_ADMIN, uuid_v4());
    struct stock_movements_list_input input = {.limit = 20};
    struct db_rows *rows = db_query(shop->db, &SOME_VARIANT, DB_NO_ARGS);
    assert_int_equal(db_next(rows), DB_ROW);
    input.id = db_get_uuid(rows, 0);
    input.variant_id = db_get_uuid(rows, 1);
    db_close(rows);
    check_list(shop, "movements of stock", stock_movements_list, &admin, FILTERED_MAX, LIST(input));
    assert_true(spy.explained >= 1);
    assert_int_equal(spy.complaints, 0);
}

static int begin(void **state)
{
    assert_int_equal(setenv("SOUK_TEST_ENGINE", "postgres", 1), 0);
    if (shop_open(state) != 0)
        return -1;
    fill(*state);
    struct shop *shop = *state;
    spy_on(shop->db, LARGE, PAGE_TOTAL_MAX + 1, &shop->arena); /* a total ends when it has counted enough */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_movements),
    };
    return cmocka_run_group_tests(tests, begin, shop_close);
}
