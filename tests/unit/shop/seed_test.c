/* Sample shops: whatever they hold adds up, as if it had happened; the same numbers make the same shop;
 * nothing is added to a shop that has something. */
#include "shop/seed.h"

#include "base/text.h"
#include "shop/order.h"
#include "shop/product.h"
#include "shop/seed_picture.h"
#include "shop/settings.h"
#include "shop/totals.h"

#include "fixture.h"

#include <ctype.h>
#include <jansson.h>

#define PRODUCTS 260
#define USERS 30
#define ORDERS 300

/* ---- counting ---- */

static int64_t count(struct shop *shop, const struct db_statement *statement)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(shop->db, statement, DB_NO_ARGS, &value), DB_ROW);
    return value;
}

/* A statement that counts what should not be there. */
#define NONE(shop, statement)                                                                                \
    do {                                                                                                     \
        int64_t found = count(shop, &(statement));                                                           \
        if (found != 0)                                                                                      \
            fail_msg("%s: %lld", #statement, (long long)found);                                              \
    } while (0)

/* ---- stock ---- */

DB_STATEMENT(MOVEMENTS_THAT_DO_NOT_FOLLOW) = {
    .sql =
        "SELECT COUNT(*) FROM (SELECT on_hand_after - SUM(quantity) OVER (PARTITION BY variant_id ORDER BY id) AS gap,"
        " created_at, LAG(created_at) OVER (PARTITION BY variant_id ORDER BY id) AS last_at FROM stock_movements) AS steps"
        " WHERE gap <> 0 OR created_at < last_at",
    .columns = {DB_INT},
};

DB_STATEMENT(LEVELS_THAT_NO_MOVEMENT_EXPLAINS) = {
    .sql = "SELECT COUNT(*) FROM variant_stock s WHERE s.is_tracked = TRUE AND s.on_hand <>"
           " (SELECT COALESCE(SUM(m.quantity), 0) FROM stock_movements m WHERE m.variant_id = s.variant_id)",
    .columns = {DB_INT},
};

DB_STATEMENT(VARIANTS_WITHOUT_STOCK) = {
    .sql =
        "SELECT COUNT(*) FROM variants v LEFT JOIN variant_stock s ON s.product_id = v.product_id AND s.variant_id = v.id"
        " WHERE s.variant_id IS NULL",
    .columns = {DB_INT},
};

DB_STATEMENT(SALES_BEFORE_THE_PRODUCT) = {
    .sql =
        "SELECT COUNT(*) FROM stock_movements m JOIN products p ON p.id = m.product_id WHERE m.created_at < p.created_at",
    .columns = {DB_INT},
};

DB_STATEMENT(RESERVED_IN_ALL) = {
    .sql = "SELECT COALESCE(SUM(reserved), 0) FROM variant_stock",
    .columns = {DB_INT},
};

DB_STATEMENT(RESERVED_OF) = {
    .sql = "SELECT reserved FROM variant_stock WHERE product_id = $1 AND variant_id = $2",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(SOLD_BY) = {
    .sql = "SELECT COALESCE(SUM(-quantity), 0) FROM stock_movements WHERE order_id = $1 AND kind = 'sold'",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

DB_STATEMENT(IS_TRACKED) = {
    .sql = "SELECT is_tracked FROM variant_stock WHERE product_id = $1 AND variant_id = $2",
    .params = {DB_UUID, DB_UUID},
    .columns = {DB_BOOL},
};

static bool is_tracked(struct shop *shop, const struct stock_line *line)
{
    struct db_rows *rows =
        db_query(shop->db, &IS_TRACKED, DB_ARGS(db_uuid(line->product_id), db_uuid(line->variant_id)));
    assert_int_equal(db_next(rows), DB_ROW);
    bool value = db_get_bool(rows, 0);
    db_close(rows);
    return value;
}

/* ---- orders ---- */

DB_STATEMENT(ALL_ORDERS) = {
    .sql = "SELECT " ORDER_COLUMNS " FROM orders ORDER BY number",
    .columns = {ORDER_COLUMN_TYPES},
};

static size_t orders_read(struct shop *shop, struct order **orders)
{
    *orders = ARENA_ARRAY(&shop->arena, struct order, ORDERS + 100);
    size_t n = 0;
    struct db_rows *rows = db_query(shop->db, &ALL_ORDERS, DB_NO_ARGS);
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        assert_true(n < ORDERS + 100);
        order_take(rows, &shop->arena, &(*orders)[n++]);
    }
    assert_int_equal(result, DB_DONE);
    return n;
}

static int64_t money(const json_t *item, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(item, key), "amount"));
}

/* What the customer paid is what the lines and the settings say. */
static void check_totals(struct shop *shop, const struct shop_settings *settings, const struct order *order)
{
    json_t *items = json_loadb(order->items.ptr, order->items.len, 0, NULL);
    int64_t subtotal_minor = 0;
    assert_true(json_array_size(items) > 0);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        int64_t quantity = json_integer_value(json_object_get(item, "quantity"));
        assert_true(quantity > 0);
        assert_int_equal(money(item, "totalPrice"), money(item, "unitPrice") * quantity);
        subtotal_minor += money(item, "totalPrice");
        for (size_t k = 0; k < i; k++) /* a variant stands in it once */
            assert_false(json_equal(json_object_get(item, "variantId"),
                                    json_object_get(json_array_get(items, k), "variantId")));
    }
    json_decref(items);
    enum shipping_method method;
    struct totals totals;
    assert_true(shipping_method_parse(order->shipping_method, &method));
    assert_true(totals_compute(settings, true, subtotal_minor, method, &totals));
    assert_int_equal(order->subtotal_minor, totals.subtotal_minor);
    assert_int_equal(order->shipping_minor, totals.shipping_minor);
    assert_int_equal(order->tax_minor, totals.tax_minor);
    assert_int_equal(order->total_minor, totals.total_minor);
    (void)shop;
}

static bool is_open(const struct order *order)
{
    return order->status == ORDER_STATUS_PENDING || order->status == ORDER_STATUS_CONFIRMED ||
           order->status == ORDER_STATUS_PROCESSING;
}

/* What open orders promise is reserved, piece by piece and in all; what has left was taken out of the house.
 */
static void check_stock_of_orders(struct shop *shop, const struct order *orders, size_t n)
{
    struct stock_line *promised = ARENA_ARRAY(&shop->arena, struct stock_line, n * 8);
    size_t promised_count = 0;
    for (size_t i = 0; i < n; i++) {
        struct stock_line *lines = NULL;
        size_t line_count = order_stock_lines(&shop->arena, &orders[i], &lines);
        int64_t left = 0, sold = 0;
        for (size_t k = 0; k < line_count; k++) {
            if (is_open(&orders[i]))
                promised[promised_count++] = lines[k];
            else if (orders[i].status != ORDER_STATUS_CANCELLED && is_tracked(shop, &lines[k]))
                left += lines[k].quantity;
        }
        assert_int_equal(db_one_int(shop->db, &SOLD_BY, DB_ARGS(db_uuid(orders[i].id)), &sold), DB_ROW);
        assert_int_equal(sold, left);
    }
    promised_count = stock_lines_normalize(promised, promised_count);
    int64_t sum = 0;
    for (size_t i = 0; i < promised_count; i++) {
        int64_t reserved = -1;
        assert_int_equal(db_one_int(shop->db, &RESERVED_OF,
                                    DB_ARGS(db_uuid(promised[i].product_id), db_uuid(promised[i].variant_id)),
                                    &reserved),
                         DB_ROW);
        assert_int_equal(reserved, promised[i].quantity);
        sum += reserved;
    }
    assert_true(sum > 0);
    assert_int_equal(count(shop, &RESERVED_IN_ALL), sum);
}

DB_STATEMENT(ORDERS_WHOSE_MONEY_DOES_NOT_ADD_UP) = {
    .sql =
        "SELECT COUNT(*) FROM orders o WHERE"
        " o.paid_minor <> (SELECT COALESCE(SUM(amount_minor), 0) FROM payments p"
        "   WHERE p.order_id = o.id AND p.kind = 'payment' AND p.status = 'succeeded')"
        " OR o.refunded_minor <> (SELECT COALESCE(SUM(amount_minor), 0) FROM payments p"
        "   WHERE p.order_id = o.id AND p.kind = 'refund' AND p.status = 'succeeded')"
        " OR o.paid_minor > o.total_minor OR o.was_paid_at_checkout <> (o.payment_method = 'test' AND o.paid_minor > 0)"
        " OR (o.payment_status = 'paid') <> (o.paid_minor = o.total_minor AND o.refunded_minor = 0)"
        " OR (o.payment_status = 'refunded') <> (o.refunded_minor > 0 AND o.refunded_minor = o.paid_minor)",
    .columns = {DB_INT},
};

DB_STATEMENT(PAYMENTS_LEFT_OPEN) = {
    .sql = "SELECT COUNT(*) FROM payments WHERE status = 'started'",
    .columns = {DB_INT},
};

/* The newest event of each kind says what the order's own row says, and nothing happened later than it knows.
 */
DB_STATEMENT(ORDERS_THAT_THEIR_HISTORY_CONTRADICTS) = {
    .sql =
        "SELECT COUNT(*) FROM orders o WHERE"
        " o.status <> COALESCE((SELECT e.to_value FROM order_events e WHERE e.order_id = o.id"
        "   AND e.type = 'order_status' ORDER BY e.sequence DESC LIMIT 1), 'pending')"
        " OR o.payment_status <> COALESCE((SELECT e.to_value FROM order_events e WHERE e.order_id = o.id"
        "   AND e.type = 'payment_status' ORDER BY e.sequence DESC LIMIT 1), 'pending')"
        " OR o.fulfillment_status <> COALESCE((SELECT e.to_value FROM order_events e WHERE e.order_id = o.id"
        "   AND e.type = 'fulfillment_status' ORDER BY e.sequence DESC LIMIT 1), 'unfulfilled')"
        " OR o.updated_at <> COALESCE((SELECT MAX(e.created_at) FROM order_events e WHERE e.order_id = o.id), o.created_at)",
    .columns = {DB_INT},
};

DB_STATEMENT(EVENTS_OUT_OF_ORDER) = {
    .sql =
        "SELECT COUNT(*) FROM (SELECT e.created_at, LAG(e.created_at, 1, o.created_at)"
        " OVER (PARTITION BY e.order_id ORDER BY e.sequence) AS last_at FROM order_events e JOIN orders o ON o.id = e.order_id)"
        " AS steps WHERE created_at < last_at",
    .columns = {DB_INT},
};

DB_STATEMENT(PARCELS_AMISS) = {
    .sql = "SELECT COUNT(*) FROM orders o LEFT JOIN fulfillments f ON f.order_id = o.id"
           " WHERE (o.fulfillment_status IN ('shipped', 'delivered')) <> (f.id IS NOT NULL)"
           " OR (o.fulfillment_status = 'delivered') <> (f.delivered_at IS NOT NULL)"
           " OR f.shipped_at < o.created_at OR f.delivered_at < f.shipped_at",
    .columns = {DB_INT},
};

DB_STATEMENT(ORDERS_BEFORE_THEIR_CUSTOMER) = {
    .sql =
        "SELECT COUNT(*) FROM orders o LEFT JOIN users u ON u.id = o.user_id"
        " WHERE o.user_id IS NOT NULL AND (u.id IS NULL OR u.created_at > o.created_at OR u.email <> o.email)",
    .columns = {DB_INT},
};

/* ---- the catalogue ---- */

DB_STATEMENT(CATEGORIES_THAT_COUNT_WRONG) = {
    .sql =
        "WITH RECURSIVE below (root, id) AS (SELECT id, id FROM categories"
        " UNION ALL SELECT b.root, c.id FROM below b JOIN categories c ON c.parent_id = b.id)"
        " SELECT COUNT(*) FROM categories k WHERE k.product_count <>"
        " (SELECT COUNT(*) FROM products p JOIN below b ON b.id = p.category_id WHERE b.root = k.id AND p.is_active = TRUE)"
        " OR k.product_count <> (SELECT COUNT(*) FROM category_products l WHERE l.category_id = k.id)",
    .columns = {DB_INT},
};

DB_STATEMENT(LISTINGS_WITH_OLD_KEYS) = {
    .sql = "SELECT COUNT(*) FROM category_products l LEFT JOIN products p ON p.number = l.number"
           " WHERE p.number IS NULL OR l.created_at <> p.created_at OR l.price_minor <> p.price_minor"
           " OR l.name_sort <> p.name_sort OR p.is_active = FALSE",
    .columns = {DB_INT},
};

DB_STATEMENT(PRODUCTS_WITH_ANOTHER_PRICE) = {
    .sql = "SELECT COUNT(*) FROM products p WHERE p.price_minor <>"
           " (SELECT MIN(v.price_minor) FROM variants v WHERE v.product_id = p.id)",
    .columns = {DB_INT},
};

DB_STATEMENT(LISTED_WITHOUT_DOCUMENT) = {
    .sql =
        "SELECT COUNT(*) FROM products p LEFT JOIN product_documents d ON d.product_number = p.number"
        " WHERE p.is_active <> (d.product_number IS NOT NULL) OR d.version <> p.version OR d.product_id <> p.id",
    .columns = {DB_INT},
};

DB_STATEMENT(PRODUCTS_NOT_FOUND_BY_SEARCH) = {
    .sql = "SELECT (SELECT COUNT(*) FROM products) - (SELECT COUNT(*) FROM product_search)",
    .columns = {DB_INT},
};

DB_STATEMENT(PICTURES_MISSING) = {
    .sql =
        "SELECT COUNT(*) FROM products p, json_each(p.images) i"
        " WHERE NOT EXISTS (SELECT 1 FROM media m WHERE '/media/' || m.name = json_extract(i.value, '$.url'))",
    .sql_postgres = "SELECT COUNT(*) FROM products p, json_array_elements(p.images) i"
                    " WHERE NOT EXISTS (SELECT 1 FROM media m WHERE '/media/' || m.name = i.value ->> 'url')",
    .columns = {DB_INT},
};

DB_STATEMENT(PRODUCTS_WITHOUT_PICTURE) = {
    .sql = "SELECT COUNT(*) FROM products WHERE json_array_length(images) = 0",
    .sql_postgres = "SELECT COUNT(*) FROM products WHERE json_array_length(images) = 0",
    .columns = {DB_INT},
};

/* Everything that product_refresh keeps, as one number. */
#define DERIVED_TEXT(id, words)                                                                                                      \
    "SELECT 'd' || product_number || ' ' || version || body FROM product_documents"                                                  \
    " UNION ALL SELECT 'l' || " id(                                                                                                  \
        "category_id") " || created_at || ' ' || number || ' ' || price_minor"                                                       \
                       " || name_sort FROM category_products UNION ALL SELECT 'c' || " id(                                           \
                           "id") " || product_count"                                                                                 \
                                 " FROM categories UNION ALL SELECT 't' || number || tag FROM product_tags"                          \
                                 " UNION ALL SELECT 's' || " words " FROM product_search"                                            \
                                 " UNION ALL SELECT 'p' || number || ' ' || price_minor || ' ' || COALESCE(compare_price_minor, -1)" \
                                 " FROM products ORDER BY 1"
#define HEX_OF(column) "hex(" column ")"
#define TEXT_OF(column) column "::text"

DB_STATEMENT(DERIVED_ROWS) = {
    .sql = DERIVED_TEXT(HEX_OF, "rowid || name || tags || COALESCE(vendor, '') || sku || description"),
    .sql_postgres = DERIVED_TEXT(TEXT_OF, "number || words::text"),
    .columns = {DB_TEXT},
};

static uint64_t digest(struct shop *shop, const struct db_statement *statement)
{
    uint64_t sum = 0;
    struct db_rows *rows = db_query(shop->db, statement, DB_NO_ARGS);
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW)
        sum = sum * 31 + hash64(db_get_text(rows, 0));
    assert_int_equal(result, DB_DONE);
    return sum;
}

DB_STATEMENT(PRODUCT_IDS) = {
    .sql = "SELECT id FROM products ORDER BY number",
    .columns = {DB_UUID},
};

struct refreshing {
    struct shop *shop;
    bool counts_moved;
};

static enum db_result refresh_all(struct db *db, void *arg)
{
    struct refreshing *refreshing = arg;
    struct uuid ids[PRODUCTS + 100];
    size_t n = 0;
    struct db_rows *rows = db_query(db, &PRODUCT_IDS, DB_NO_ARGS);
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        CHECK(n < COUNT_OF(ids));
        ids[n++] = db_get_uuid(rows, 0);
    }
    for (size_t i = 0; i < n && result == DB_DONE; i++) {
        bool moved = false;
        result = product_refresh(db, &refreshing->shop->arena, ids[i], &moved);
        refreshing->counts_moved = refreshing->counts_moved || moved;
    }
    return result;
}

/* What was written is what an edit would write. */
static void check_refresh_changes_nothing(struct shop *shop)
{
    struct refreshing refreshing = {.shop = shop};
    uint64_t before = digest(shop, &DERIVED_ROWS);
    assert_int_equal(db_transaction(shop->db, refresh_all, &refreshing), DB_DONE);
    assert_false(refreshing.counts_moved);
    assert_true(digest(shop, &DERIVED_ROWS) == before);
}

/* ---- people ---- */

DB_STATEMENT(USERS_WITH_A_PASSWORD_OR_RANK) = {
    .sql = "SELECT COUNT(*) FROM users WHERE password_hash IS NOT NULL OR role <> 'customer'",
    .columns = {DB_INT},
};

DB_STATEMENT(USERS_WITH_TWO_DEFAULTS) = {
    .sql =
        "SELECT COUNT(*) FROM (SELECT user_id FROM addresses WHERE is_default_shipping = TRUE GROUP BY user_id"
        " HAVING COUNT(*) > 1) AS many",
    .columns = {DB_INT},
};

DB_STATEMENT(MESSAGES) = {
    .sql = "SELECT COUNT(*) FROM outbox",
    .columns = {DB_INT},
};

DB_STATEMENT(DANGLING) = {
    .sql = "SELECT COUNT(*) FROM pragma_foreign_key_check",
    .sql_postgres = "SELECT COUNT(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated",
    .columns = {DB_INT},
};

/* ---- a shop adds up ---- */

static void check_shop(struct shop *shop)
{
    struct shop_settings settings;
    struct order *orders = NULL;
    assert_int_equal(shop_settings_read(shop->db, &shop->arena, &settings), DB_DONE);
    size_t n = orders_read(shop, &orders);
    for (size_t i = 0; i < n; i++) {
        check_totals(shop, &settings, &orders[i]);
        assert_true(i == 0 || orders[i - 1].created_at_ms <= orders[i].created_at_ms);
        assert_true(i == 0 || uuid_compare(orders[i - 1].id, orders[i].id) < 0);
    }
    check_stock_of_orders(shop, orders, n);
    NONE(shop, MOVEMENTS_THAT_DO_NOT_FOLLOW);
    NONE(shop, LEVELS_THAT_NO_MOVEMENT_EXPLAINS);
    NONE(shop, VARIANTS_WITHOUT_STOCK);
    NONE(shop, SALES_BEFORE_THE_PRODUCT);
    NONE(shop, ORDERS_WHOSE_MONEY_DOES_NOT_ADD_UP);
    NONE(shop, PAYMENTS_LEFT_OPEN);
    NONE(shop, ORDERS_THAT_THEIR_HISTORY_CONTRADICTS);
    NONE(shop, EVENTS_OUT_OF_ORDER);
    NONE(shop, PARCELS_AMISS);
    NONE(shop, ORDERS_BEFORE_THEIR_CUSTOMER);
    NONE(shop, CATEGORIES_THAT_COUNT_WRONG);
    NONE(shop, LISTINGS_WITH_OLD_KEYS);
    NONE(shop, PRODUCTS_WITH_ANOTHER_PRICE);
    NONE(shop, LISTED_WITHOUT_DOCUMENT);
    NONE(shop, PRODUCTS_NOT_FOUND_BY_SEARCH);
    NONE(shop, PICTURES_MISSING);
    NONE(shop, PRODUCTS_WITHOUT_PICTURE);
    NONE(shop, USERS_WITH_A_PASSWORD_OR_RANK);
    NONE(shop, USERS_WITH_TWO_DEFAULTS);
    NONE(shop, MESSAGES);
    NONE(shop, DANGLING);
    check_refresh_changes_nothing(shop);
}

static void sample(struct shop *shop)
{
    struct slice complaint = SLICE_ABSENT;
    if (!seed_sample(shop->store, &shop->arena, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
}

static void test_the_sample_adds_up(void **state)
{
    struct shop *shop = *state;
    sample(shop);
    check_shop(shop);
}

/* ---- what the sample holds ---- */

DB_STATEMENT(ROOTS) = {
    .sql = "SELECT COUNT(*) FROM categories WHERE parent_id IS NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(THIRD_LEVEL) = {
    .sql =
        "SELECT COUNT(*) FROM categories a JOIN categories b ON b.id = a.parent_id WHERE b.parent_id IS NOT NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(LISTED_IN_STOCK_AMOUNT) = {
    .sql = "SELECT COUNT(*) FROM variant_stock WHERE is_tracked = TRUE AND on_hand = reserved",
    .columns = {DB_INT},
};
DB_STATEMENT(UNTRACKED) = {
    .sql = "SELECT COUNT(*) FROM variant_stock WHERE is_tracked = FALSE",
    .columns = {DB_INT},
};
DB_STATEMENT(BACKORDERED) = {
    .sql = "SELECT COUNT(*) FROM variant_stock WHERE allows_backorder = TRUE AND reserved > on_hand",
    .columns = {DB_INT},
};
DB_STATEMENT(ORDER_STATUSES) = {
    .sql = "SELECT COUNT(DISTINCT status) FROM orders",
    .columns = {DB_INT},
};
DB_STATEMENT(PAYMENT_STATUSES) = {
    .sql = "SELECT COUNT(DISTINCT payment_status) FROM orders",
    .columns = {DB_INT},
};
DB_STATEMENT(HOLDS) = {
    .sql = "SELECT COUNT(*) FROM orders WHERE hold_expires_at IS NOT NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(GUEST_ORDERS) = {
    .sql = "SELECT COUNT(*) FROM orders WHERE user_id IS NULL",
    .columns = {DB_INT},
};
DB_STATEMENT(NEWEST) = {
    .sql =
        "SELECT MAX(t) FROM (SELECT MAX(updated_at) AS t FROM orders UNION ALL SELECT MAX(created_at) FROM stock_movements"
        " UNION ALL SELECT MAX(delivered_at) FROM fulfillments UNION ALL SELECT MAX(created_at) FROM users"
        " UNION ALL SELECT MAX(created_at) FROM products UNION ALL SELECT MAX(updated_at) FROM payments) AS times",
    .columns = {DB_TIME},
};
DB_STATEMENT(FOUND) = {
    .sql = "SELECT COUNT(*) FROM product_search WHERE product_search MATCH $1",
    .sql_postgres = "SELECT COUNT(*) FROM product_search WHERE words @@ replace($1, ' ', ' & ')::tsquery",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static void test_the_sample_has_something_of_everything(void **state)
{
    struct shop *shop = *state;
    struct seed_counts counts;
    bool is_empty = true;
    int64_t found = 0;
    sample(shop);
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_false(is_empty);
    assert_in_range(counts.products, 60, 200);
    assert_in_range(counts.users, 12, 100);
    assert_in_range(counts.orders, 30, 100);
    assert_in_range(count(shop, &ROOTS), 8, 20);
    assert_true(count(shop, &THIRD_LEVEL) > 0);
    assert_true(count(shop, &LISTED_IN_STOCK_AMOUNT) > 0); /* some are sold out */
    assert_true(count(shop, &UNTRACKED) > 0);
    assert_true(count(shop, &BACKORDERED) > 0);
    assert_int_equal(count(shop, &ORDER_STATUSES), 8);
    assert_int_equal(count(shop, &PAYMENT_STATUSES), 7);
    assert_true(count(shop, &HOLDS) > 0);
    assert_true(count(shop, &GUEST_ORDERS) > 0);
    int64_t newest_ms = 0; /* nothing has yet to happen */
    assert_int_equal(db_one_int(shop->db, &NEWEST, DB_NO_ARGS, &newest_ms), DB_ROW);
    assert_true(newest_ms <= clock_now_ms());
    assert_int_equal(db_one_int(shop->db, &FOUND, DB_ARGS(db_text(SLICE("linen shirt"))), &found), DB_ROW);
    assert_true(found > 0);
}

/* ---- pictures ---- */

DB_STATEMENT(ALL_PICTURES) = {
    .sql = "SELECT name, body FROM media ORDER BY name",
    .columns = {DB_TEXT, DB_BLOB},
};

/* Whether what stands behind `attribute` is a colour, none, or a gradient, wherever it stands. */
static bool is_painted(struct slice svg, const char *attribute)
{
    const char *at = svg.ptr;
    const char *end = svg.ptr + svg.len;
    while ((at = memmem(at, (size_t)(end - at), attribute, strlen(attribute))) != NULL) {
        at += strlen(attribute);
        struct slice value = {at, (size_t)(end - at)};
        size_t digits = 0;
        while (digits < 6 && value.len > 7 && isxdigit((unsigned char)value.ptr[1 + digits]))
            digits++;
        bool is_colour = value.ptr[0] == '#' && digits == 6 && value.ptr[7] == '"';
        if (!is_colour && !slice_starts_with(value, SLICE("none\"")) &&
            !slice_starts_with(value, SLICE("url(#")))
            return false;
    }
    return true;
}

/* As far as can be told without an XML parser: every element ends, everything has a colour, and the three
 * kinds of thing that could go wrong - text, scripts, links to elsewhere - are not in it. */
static void check_svg(struct slice name, struct slice svg)
{
    int depth = 0;
    for (size_t i = 0; i + 1 < svg.len; i++) {
        if (svg.ptr[i] == '<')
            depth += svg.ptr[i + 1] == '/' ? -1 : 1;
        if (svg.ptr[i] == '/' && svg.ptr[i + 1] == '>')
            depth--;
    }
    bool is_whole =
        slice_starts_with(svg, SLICE("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 400\">")) &&
        svg.len > 500 && memcmp(svg.ptr + svg.len - 7, "</svg>\n", 7) == 0;
    if (!is_whole || depth != 0 || !is_painted(svg, "fill=\"") || !is_painted(svg, "stroke=\"") ||
        !is_painted(svg, "stop-color=\"") || memmem(svg.ptr, svg.len, "<text", 5) ||
        memmem(svg.ptr, svg.len, "<script", 7) || memmem(svg.ptr, svg.len, "href", 4))
        fail_msg("the picture %.*s is no good", SLICE_ARG(name));
}

static void test_pictures_are_svg_and_differ(void **state)
{
    struct shop *shop = *state;
    uint64_t seen[512];
    size_t n = 0;
    sample(shop);
    struct db_rows *rows = db_query(shop->db, &ALL_PICTURES, DB_NO_ARGS);
    while (db_next(rows) == DB_ROW) {
        check_svg(db_get_text(rows, 0), db_get_text(rows, 1));
        uint64_t hash = hash64(db_get_text(rows, 1));
        for (size_t i = 0; i < n; i++)
            assert_true(seen[i] != hash);
        assert_true(n < COUNT_OF(seen));
        seen[n++] = hash;
    }
    assert_true(n >= 60);
}

static void test_unknown_glyphs(void **state)
{
    (void)state;
    assert_true(picture_glyph(SLICE("mug")).len > 100);
    assert_true(slice_is_absent(picture_glyph(SLICE("mu"))));
    assert_true(slice_is_absent(picture_glyph(SLICE(""))));
}

/* ---- only an empty shop ---- */

DB_STATEMENT(CATEGORY_ALONE) = {
    TEST_TIMES(
        "INSERT INTO categories (id, name, name_sort, slug, created_at, updated_at) VALUES ($1, 'A', 'a', 'a', "),
    .params = {DB_UUID},
};

static void test_a_shop_with_something_is_left_alone(void **state)
{
    struct shop *shop = *state;
    struct slice complaint = SLICE_ABSENT;
    struct seed_counts before, after;
    bool is_empty = false;
    sample(shop);
    assert_true(seed_counts_read(shop->store, &before, &is_empty));
    uint64_t derived = digest(shop, &DERIVED_ROWS);
    assert_false(seed_sample(shop->store, &shop->arena, &complaint));
    assert_non_null(memmem(complaint.ptr, complaint.len, "not empty", 9));
    assert_false(
        seed_large(shop->store, &(struct seed_counts){.products = 3}, NULL, NULL, &shop->arena, &complaint));
    assert_non_null(memmem(complaint.ptr, complaint.len, "not empty", 9));
    assert_true(seed_counts_read(shop->store, &after, &is_empty));
    assert_memory_equal(&before, &after, sizeof(before));
    assert_true(digest(shop, &DERIVED_ROWS) == derived);
}

static void test_a_category_is_something(void **state)
{
    struct shop *shop = *state;
    struct slice complaint = SLICE_ABSENT;
    struct seed_counts counts;
    bool is_empty = false;
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_true(is_empty);
    shop_write(shop, &CATEGORY_ALONE, DB_ARGS(db_uuid(uuid_v4())));
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_false(is_empty);
    assert_false(seed_sample(shop->store, &shop->arena, &complaint));
    assert_false(
        seed_large(shop->store, &(struct seed_counts){.products = 3}, NULL, NULL, &shop->arena, &complaint));
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_int_equal(counts.products, 0);
    assert_int_equal(counts.users, 0);
}

DB_STATEMENT(ACCOUNT) = {
    TEST_TIMES("INSERT INTO users (id, email, email_folded, created_at, updated_at) VALUES ($1, $2, $2, "),
    .params = {DB_UUID, DB_TEXT},
};

/* Accounts may be there before (an admin's); one of the sample's addresses stops it, and then nothing of it
 * is there. */
static void test_accounts_may_be_there(void **state)
{
    struct shop *shop = *state;
    struct slice complaint = SLICE_ABSENT;
    struct seed_counts counts;
    bool is_empty = false;
    shop_write(shop, &ACCOUNT, DB_ARGS(db_uuid(uuid_v4()), db_text(SLICE("mei.tanaka@example.com"))));
    assert_false(seed_sample(shop->store, &shop->arena, &complaint));
    assert_non_null(memmem(complaint.ptr, complaint.len, "e-mail", 6));
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_true(is_empty);
    assert_int_equal(counts.users, 1);
    shop_write(shop, &ACCOUNT, DB_ARGS(db_uuid(uuid_v4()), db_text(SLICE("admin@example.com"))));
    assert_true(seed_large(shop->store, &(struct seed_counts){.products = 3, .users = 2}, NULL, NULL,
                           &shop->arena, &complaint));
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_int_equal(counts.users, 4);
}

/* ---- the large one ---- */

struct told {
    int64_t products, users, orders;
    bool is_falling;
};

static void tell(const char *what, int64_t done, int64_t total, void *arg)
{
    struct told *told = arg;
    int64_t *last = strcmp(what, "products") == 0 ? &told->products
                    : strcmp(what, "users") == 0  ? &told->users
                                                  : &told->orders;
    told->is_falling = told->is_falling || done <= *last || done > total;
    *last = done;
}

static void large(struct shop *shop)
{
    const struct seed_counts counts = {PRODUCTS, USERS, ORDERS};
    struct slice complaint = SLICE_ABSENT;
    struct told told = {0};
    if (!seed_large(shop->store, &counts, tell, &told, &shop->arena, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
    assert_false(told.is_falling);
    assert_int_equal(told.products, PRODUCTS);
    assert_int_equal(told.users, USERS);
    assert_int_equal(told.orders, ORDERS);
}

static void test_a_large_shop_adds_up(void **state)
{
    struct shop *shop = *state;
    struct seed_counts counts;
    bool is_empty = true;
    large(shop);
    assert_true(seed_counts_read(shop->store, &counts, &is_empty));
    assert_int_equal(counts.products, PRODUCTS);
    assert_int_equal(counts.users, USERS);
    assert_int_equal(counts.orders, ORDERS);
    check_shop(shop);
}

/* All that a client could see, but the ids of movements of stock, which no reply shows. */
#define CONTENT_TEXT(id, bytes)                                                                                                                                                                                                      \
    "SELECT 'd' || body FROM product_documents UNION ALL SELECT 'v' || " id(                                                                                                                                                         \
        "id") " || sku || price_minor FROM variants"                                                                                                                                                                                 \
              " UNION ALL SELECT 's' || " id(                                                                                                                                                                                        \
                  "variant_id") " || on_hand || ' ' || reserved FROM variant_stock"                                                                                                                                                  \
                                " UNION ALL SELECT 'u' || " id(                                                                                                                                                                      \
                                    "id") " || email || name_sort || created_at FROM users"                                                                                                                                          \
                                          " UNION ALL SELECT 'a' || " id("id") " || " id(                                                                                                                                            \
                                              "user_id") " || address1 || city FROM addresses"                                                                                                                                       \
                                                         " UNION ALL SELECT 'o' || " id(                                                                                                                                             \
                                                             "id") " || order_number || email || status || payment_status || items || total_minor"                                                                                   \
                                                                   " || shipping_address || updated_at || " id(                                                                                                                      \
                                                                       "cart_id") " FROM orders"                                                                                                                                     \
                                                                                  " UNION ALL SELECT 'e' || " id(                                                                                                                    \
                                                                                      "order_id") " || sequence || type || COALESCE(to_value, '') || created_at FROM order_events"                                                   \
                                                                                                  " UNION ALL SELECT 'p' || " id(                                                                                                    \
                                                                                                      "id") " || amount_minor || provider_key FROM payments"                                                                         \
                                                                                                            " UNION ALL SELECT 'f' || " id(                                                                                          \
                                                                                                                "id") " || tracking_number FROM fulfillments"                                                                        \
                                                                                                                      " UNION ALL SELECT 'm' || " id(                                                                                \
                                                                                                                          "variant_id") " || quantity || ' ' || created_at FROM stock_movements"                                     \
                                                                                                                                        " UNION ALL SELECT 'i' || name || " bytes("body") " FROM media UNION ALL SELECT 'c' || " id( \
                                                                                                                                            "id") " || slug FROM categories"                                                         \
                                                                                                                                                  " ORDER BY 1"
#define BYTES_OF(column) column
#define ENCODED(column) "encode(" column ", 'hex')"

DB_STATEMENT(CONTENT) = {
    .sql = CONTENT_TEXT(HEX_OF, BYTES_OF),
    .sql_postgres = CONTENT_TEXT(TEXT_OF, ENCODED),
    .columns = {DB_TEXT},
};

static void test_the_same_numbers_make_the_same_shop(void **state)
{
    struct shop *shop = *state;
    void *second_state = NULL;
    assert_int_equal(shop_open(&second_state), 0);
    struct shop *second = second_state;
    large(shop);
    large(second);
    assert_true(digest(shop, &CONTENT) == digest(second, &CONTENT));
    assert_int_equal(shop_close(&second_state), 0);
}

DB_STATEMENT(PICTURE_COUNT) = {
    .sql = "SELECT COUNT(*) FROM media",
    .columns = {DB_INT},
};
DB_STATEMENT(SAME_NAMES) = {
    .sql = "SELECT COUNT(*) - COUNT(DISTINCT name) FROM products",
    .columns = {DB_INT},
};
DB_STATEMENT(BOUGHT_PRODUCTS) = {
    .sql = "SELECT COUNT(DISTINCT product_id) FROM stock_movements WHERE kind = 'sold'",
    .columns = {DB_INT},
};
DB_STATEMENT(BUYERS) = {
    .sql = "SELECT COUNT(DISTINCT user_id) FROM orders",
    .columns = {DB_INT},
};

static void test_a_large_shop_is_spread(void **state)
{
    struct shop *shop = *state;
    large(shop);
    assert_in_range(count(shop, &PICTURE_COUNT), 10, 200);
    NONE(shop, SAME_NAMES);
    assert_true(count(shop, &BOUGHT_PRODUCTS) > PRODUCTS / 2);
    assert_true(count(shop, &BUYERS) > USERS / 2);
    assert_true(count(shop, &ORDER_STATUSES) >= 7);
    assert_int_equal(count(shop, &HOLDS), 0); /* the job that ends holds would change it */
}

/* Four orders a day of four products: parcels of one variant follow each other closely, and so must its
 * movements. */
static void test_without_accounts_all_are_guests(void **state)
{
    struct shop *shop = *state;
    struct slice complaint = SLICE_ABSENT;
    assert_true(seed_large(shop->store, &(struct seed_counts){.products = 4, .orders = 1500}, NULL, NULL,
                           &shop->arena, &complaint));
    assert_int_equal(count(shop, &GUEST_ORDERS), 1500);
    NONE(shop, MOVEMENTS_THAT_DO_NOT_FOLLOW);
    NONE(shop, LEVELS_THAT_NO_MOVEMENT_EXPLAINS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_sample_adds_up, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_the_sample_has_something_of_everything, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_pictures_are_svg_and_differ, shop_open, shop_close),
        cmocka_unit_test(test_unknown_glyphs),
        cmocka_unit_test_setup_teardown(test_a_shop_with_something_is_left_alone, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_category_is_something, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_accounts_may_be_there, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_large_shop_adds_up, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_the_same_numbers_make_the_same_shop, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_large_shop_is_spread, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_without_accounts_all_are_guests, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
