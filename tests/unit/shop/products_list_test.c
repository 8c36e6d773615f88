/* The list of products: its plans are what makes it quick, its cursors what makes it whole. */
#include "shop/products_list.h"

#include "base/clock.h"
#include "catalogue.h"
#include "shop/product.h"

/* ---- a shop of products that are alike in all that is sorted by ---- */

#define PRODUCTS 60

struct made {
    struct arena *arena;
    struct uuid category_id;
    int first, count;
};

static enum db_result make_products(struct db *db, void *arg)
{
    const struct made *made = arg;
    enum db_result result = DB_DONE;
    for (int i = made->first; i < made->first + made->count && result == DB_DONE; i++) {
        struct product_variant variants[2];
        struct slice tags[] = {SLICE("all"), i % 3 == 0 ? SLICE("third") : SLICE("other")};
        for (size_t v = 0; v < 2; v++) {
            variants[v] = (struct product_variant){
                .id = uuid_v7(1000),
                .sku = arena_format(made->arena, "SKU-%d-%zu", i, v),
                .options = SLICE("{}"),
                .price_minor = 100 + i % 4 + (int64_t)v,
                .compare_price_minor = PRODUCT_NONE,
                .cost_minor = 7,
                .weight_grams = PRODUCT_NONE,
                .stock = {.on_hand = i % 5 == 0 ? 0 : i, .is_tracked = true},
            };
        }
        struct product product = {
            .id = uuid_v7(1000),
            .category_id = made->category_id,
            .name = i % 2 == 0 ? SLICE("Même nom") : SLICE("même Nom"),
            .slug = arena_format(made->arena, "slug-%d", i),
            .description = SLICE("words"),
            .vendor = i % 2 == 0 ? SLICE("Nord") : SLICE("Sud"),
            .currency = SLICE("USD"),
            .options = SLICE("[]"),
            .images = SLICE("[]"),
            .attributes = SLICE("{}"),
            .is_active = i % 7 != 6,
            .is_featured = i % 4 == 0,
            .version = 1,
            .created_at_ms = 1000 + i / 20,
            .updated_at_ms = 1000,
            .tags = tags,
            .tag_count = 2,
            .variants = variants,
            .variant_count = 2,
        };
        result = product_insert(db, made->arena, &product, (struct uuid){0});
    }
    return result;
}

static struct uuid make_category(struct shop *shop)
{
    struct call call;
    struct category_create_input input = {.name = SLICE("Shelf")};
    MUST(201, call_write(shop, &call, category_create, &input));
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    return id;
}

static void fill(struct shop *shop)
{
    struct made made = {&shop->arena, make_category(shop), 0, PRODUCTS};
    assert_int_equal(db_transaction(shop->db, make_products, &made), DB_DONE);
    assert_truths(shop);
}

/* ---- plans on SQLite; those on PostgreSQL are list_plans_test.c's ---- */

static const enum db_type PLAN_COLUMNS[] = {DB_INT, DB_INT, DB_INT, DB_TEXT, DB_END};

/* The engine's plan of a statement, its steps joined. */
static struct slice plan_of(struct shop *shop, struct db_built *built)
{
    static const char EXPLAIN[] = "EXPLAIN QUERY PLAN ";
    size_t len = sizeof(EXPLAIN) - 1;
    assert_true(built->len + len < sizeof(built->sql));
    memmove(built->sql + len, built->sql, built->len + 1);
    memcpy(built->sql, EXPLAIN, len);
    built->len += len;
    built->columns = PLAN_COLUMNS;
    struct buf plan;
    buf_init(&plan, &shop->arena);
    struct db_rows *rows = db_query_built(shop->db, built);
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW)
        buf_format(&plan, "%.*s; ", SLICE_ARG(db_get_text(rows, 3)));
    assert_int_equal(result, DB_DONE);
    return buf_slice(&plan);
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void assert_plan(struct slice plan, const char *index, const char *what)
{
    if (contains(plan, "TEMP B-TREE") || contains(plan, "AUTOMATIC") || !contains(plan, index))
        fail_msg("%s: %.*s instead of %s", what, SLICE_ARG(plan), index);
}

static void assert_inline(struct shop *shop, struct products_list_input input, const char *index)
{
    static const char *const PARTS[] = {"first page", "next page"};
    struct call call;
    struct db_built *built = arena_alloc(&shop->arena, sizeof(*built));
    input.limit = 20;
    call_begin(shop, &call, products_list, &input, false);
    call.request.db = shop->db;
    assert_int_equal(products_list_execution(&call.request), EXECUTION_INLINE);
    for (int continues = 0; continues < 2; continues++) {
        assert_int_equal(products_list_statement(&call.request, continues == 1, built), DB_DONE);
        assert_plan(plan_of(shop, built), index, PARTS[continues]);
    }
}

static void test_what_runs_inline_reads_an_index_in_its_order(void **state)
{
    if (test_is_postgres())
        skip();
    static const struct {
        enum products_list_sort sort;
        const char *all, *in_category;
    } SORTS[] = {
        {PRODUCTS_LIST_SORT_CREATED_AT, "USING INDEX products_listed_created",
         "l USING PRIMARY KEY (category_id=?"},
        {PRODUCTS_LIST_SORT_CREATED_AT_DESC, "USING INDEX products_listed_created",
         "l USING PRIMARY KEY (category_id=?"},
        {PRODUCTS_LIST_SORT_PRICE, "USING INDEX products_listed_price",
         "USING COVERING INDEX category_products_price (category_id=?"},
        {PRODUCTS_LIST_SORT_PRICE_DESC, "USING INDEX products_listed_price",
         "USING COVERING INDEX category_products_price (category_id=?"},
        {PRODUCTS_LIST_SORT_NAME, "USING INDEX products_listed_name",
         "USING COVERING INDEX category_products_name (category_id=?"},
        {PRODUCTS_LIST_SORT_NAME_DESC, "USING INDEX products_listed_name",
         "USING COVERING INDEX category_products_name (category_id=?"},
    };
    struct shop *shop = *state;
    fill(shop);
    assert_inline(shop, (struct products_list_input){.has_expand = true}, SORTS[0].all);
    for (size_t i = 0; i < COUNT_OF(SORTS); i++) {
        struct products_list_input input = {.sort = SORTS[i].sort, .has_sort = true};
        assert_inline(shop, input, SORTS[i].all);
        input.category = SLICE("shelf");
        input.has_category = true;
        assert_inline(shop, input, SORTS[i].in_category);
    }
    for (size_t i = 2; i < 4; i++) { /* a range of prices, by price */
        struct products_list_input input = {.sort = SORTS[i].sort,
                                            .has_sort = true,
                                            .has_price_gte = true,
                                            .price_lte = 500,
                                            .has_price_lte = true};
        assert_inline(shop, input, SORTS[i].all);
        input.category = SLICE("shelf");
        input.has_category = true;
        assert_inline(shop, input, SORTS[i].in_category);
    }
    assert_inline(shop, (struct products_list_input){.vendor = SLICE("Nord"), .has_vendor = true},
                  "USING COVERING INDEX products_vendor (vendor=?");
    assert_inline(shop, (struct products_list_input){.is_featured = true, .has_is_featured = true},
                  "USING COVERING INDEX products_featured (is_featured=?");
}

static void assert_worker(struct shop *shop, struct products_list_input input, bool is_staff)
{
    struct call call;
    call_begin(shop, &call, products_list, &input, is_staff);
    assert_int_equal(products_list_execution(&call.request), EXECUTION_WORKER);
}

static void test_what_looks_further_goes_to_a_worker(void **state)
{
    struct shop *shop = *state;
    assert_worker(shop, (struct products_list_input){0}, true);
    assert_worker(shop, (struct products_list_input){.q = SLICE("x"), .has_q = true}, false);
    assert_worker(shop, (struct products_list_input){.tag = SLICE("x"), .has_tag = true}, false);
    assert_worker(shop, (struct products_list_input){.has_in_stock = true}, false);
    assert_worker(shop, (struct products_list_input){.has_offset = true}, false);
    assert_worker(shop, (struct products_list_input){.total = true, .has_total = true}, false);
    assert_worker(shop, (struct products_list_input){.has_price_gte = true}, false);
    assert_worker(shop, (struct products_list_input){.has_is_featured = true, .is_featured = false}, false);
    assert_worker(shop,
                  (struct products_list_input){
                      .has_is_featured = true, .is_featured = true, .has_vendor = true, .vendor = SLICE("x")},
                  false);
    assert_worker(
        shop,
        (struct products_list_input){
            .has_vendor = true, .vendor = SLICE("x"), .has_sort = true, .sort = PRODUCTS_LIST_SORT_PRICE},
        false);
    assert_worker(shop,
                  (struct products_list_input){
                      .has_vendor = true, .vendor = SLICE("x"), .has_category = true, .category = SLICE("c")},
                  false);
}

struct explained {
    struct shop *shop;
    int count;
};

/* The statements that fetch documents find every row by its key. */
static void explain_document_statement(const struct db_statement *statement, void *arg)
{
    struct explained *explained = arg;
    if (statement->sql == NULL)
        return;
    if (strstr(statement->sql, "FROM product_documents") == NULL &&
        strstr(statement->sql, "JOIN product_documents") == NULL)
        return;
    if (strstr(statement->sql, "count(*)") != NULL || strncmp(statement->sql, "SELECT", 6) != 0)
        return;
    struct db_built *built = arena_alloc(&explained->shop->arena, sizeof(*built));
    db_built_init(built, statement->columns);
    built->len = strlen(statement->sql);
    memcpy(built->sql, statement->sql, built->len + 1);
    for (; statement->params[built->count] != DB_END; built->count++)
        built->values[built->count] = db_null(statement->params[built->count]);
    struct slice plan = plan_of(explained->shop, built);
    assert_plan(plan, "s USING PRIMARY KEY (product_id=?)", statement->sql);
    assert_false(contains(plan, "SCAN"));
    explained->count++;
}

static void test_documents_are_found_by_key(void **state)
{
    if (test_is_postgres())
        skip();
    struct explained explained = {*state, 0};
    handler_function linked = product_get; /* whose statements are in the program only when it is */
    assert_non_null(linked);
    db_statements_visit(explain_document_statement, &explained);
    assert_int_equal(explained.count, 3); /* by id, by slug, of a page */
}

/* ---- cursors ---- */

static size_t read_all(struct shop *shop, struct products_list_input input, bool is_staff, int64_t limit,
                       struct uuid *ids)
{
    size_t count = 0;
    for (;;) {
        struct call call;
        input.limit = limit;
        MUST(200, call_read(shop, &call, products_list, &input, is_staff));
        size_t rows = json_array_size(call.body);
        assert_true(rows <= (size_t)limit);
        for (size_t i = 0; i < rows; i++) {
            assert_true(count < PRODUCTS * 2);
            assert_true(
                uuid_parse(slice_from(json_string_value(json_object_get(json_array_get(call.body, i), "id"))),
                           &ids[count++]));
        }
        json_decref(call.body);
        input.cursor = call.response.pagination.next_cursor;
        input.has_cursor = true;
        if (slice_is_absent(input.cursor))
            return count;
        assert_int_equal(rows, limit); /* only the last page may be short */
    }
}

static void assert_pages_whole(struct shop *shop, struct products_list_input input, bool is_staff,
                               size_t expected)
{
    struct uuid whole[PRODUCTS * 2], paged[PRODUCTS * 2];
    assert_int_equal(read_all(shop, input, is_staff, 100, whole), expected);
    assert_int_equal(read_all(shop, input, is_staff, 7, paged), expected);
    assert_memory_equal(whole, paged, expected * sizeof(*whole));
    for (size_t i = 0; i < expected; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(uuid_equals(whole[i], whole[j]));
}

static void test_pages_are_whole_among_equal_keys(void **state)
{
    static const enum products_list_sort SORTS[] = {
        PRODUCTS_LIST_SORT_NAME,       PRODUCTS_LIST_SORT_NAME_DESC,  PRODUCTS_LIST_SORT_PRICE,
        PRODUCTS_LIST_SORT_PRICE_DESC, PRODUCTS_LIST_SORT_CREATED_AT, PRODUCTS_LIST_SORT_CREATED_AT_DESC};
    struct shop *shop = *state;
    fill(shop);
    const size_t listed = 52; /* of 60, every seventh is inactive */
    for (size_t i = 0; i < COUNT_OF(SORTS); i++) {
        struct products_list_input input = {.sort = SORTS[i], .has_sort = true};
        assert_pages_whole(shop, input, false, listed);
        assert_pages_whole(shop, input, true, PRODUCTS);
        input.category = SLICE("shelf");
        input.has_category = true;
        assert_pages_whole(shop, input, false, listed);
        assert_pages_whole(shop, input, true, PRODUCTS);
        input.tag = SLICE("all");
        input.has_tag = true;
        assert_pages_whole(shop, input, false, listed);
        input.q = SLICE("nom");
        input.has_q = true;
        assert_pages_whole(shop, input, false, listed);
        assert_pages_whole(shop, input, true, PRODUCTS);
    }
    assert_pages_whole(shop, (struct products_list_input){.q = SLICE("nom"), .has_q = true}, false, listed);
    assert_pages_whole(shop, (struct products_list_input){.q = SLICE("nom"), .has_q = true}, true, PRODUCTS);
}

/* The newest first, page by page, in a category and out of it. */
static void check_order_of_range(struct shop *shop, int64_t lowest)
{
    struct uuid ids[2][100];
    for (int with_category = 0; with_category < 2; with_category++) {
        struct products_list_input input = {.has_price_gte = true, .price_gte = lowest, .limit = 50};
        input.has_category = with_category != 0;
        input.category = SLICE("shelf");
        int64_t last_ms = INT64_MAX;
        for (size_t page = 0; page < 2; page++) {
            struct call call;
            MUST(200, call_read(shop, &call, products_list, &input, false));
            assert_int_equal(json_array_size(call.body), 50);
            for (size_t i = 0; i < 50; i++) {
                const json_t *product = json_array_get(call.body, i);
                int64_t created_ms;
                assert_true(uuid_parse(slice_from(json_string_value(json_object_get(product, "id"))),
                                       &ids[with_category][page * 50 + i]));
                assert_true(clock_parse_rfc3339(
                    slice_from(json_string_value(json_object_get(product, "createdAt"))), &created_ms));
                assert_true(created_ms <= last_ms);
                last_ms = created_ms;
            }
            input.cursor = arena_copy(&shop->arena, call.response.pagination.next_cursor);
            input.has_cursor = true;
            json_decref(call.body);
        }
    }
    assert_memory_equal(ids[0], ids[1], sizeof(ids[0]));
}

/* A range of prices is read by price and sorted while it is narrow, else by the sort's index: from the first
 * to the last page both are right, also where a range becomes the other. */
static void test_a_range_of_prices_is_whole_however_many_it_holds(void **state)
{
    enum { ALL = 2400 }; /* of which 2,057 are listed: a price each for a quarter of them */
    struct shop *shop = *state;
    if (test_is_postgres()) /* the same text; list_plans_test.c has wide ranges there */
        skip();
    struct made made = {&shop->arena, make_category(shop), 0, ALL};
    assert_int_equal(db_transaction(shop->db, make_products, &made), DB_DONE);
    for (int64_t lowest = 100; lowest <= 103; lowest++) {
        for (int variation = 0; variation < 4; variation++) {
            bool is_of_vendor = (variation & 2) != 0;
            struct products_list_input input = {.has_price_gte = true,
                                                .price_gte = lowest,
                                                .has_price_lte = is_of_vendor,
                                                .price_lte = 1000,
                                                .has_vendor = is_of_vendor,
                                                .vendor = SLICE("Nord"),
                                                .has_category = (variation & 1) != 0,
                                                .category = SLICE("shelf"),
                                                .limit = 1,
                                                .has_total = true,
                                                .total = true};
            int64_t expected = 0;
            for (int i = 0; i < ALL; i++)
                expected += i % 7 != 6 && 100 + i % 4 >= lowest && (!is_of_vendor || i % 2 == 0);
            struct call call;
            MUST(200, call_read(shop, &call, products_list, &input, false));
            assert_int_equal(call.response.pagination.total, expected);
            json_decref(call.body);
        }
    }
    check_order_of_range(shop, 100);
    check_order_of_range(shop, 103);
}

/* Each filter by itself and all of them together leave what they say; `total` counts the same. */
static void test_filters_count_what_they_list(void **state)
{
    struct shop *shop = *state;
    fill(shop);
    const struct {
        struct products_list_input input;
        size_t listed, all;
    } CASES[] = {
        {{.has_vendor = true, .vendor = SLICE("Nord")}, 26, 30},
        {{.has_is_featured = true, .is_featured = true}, 13, 15},
        {{.has_is_featured = true, .is_featured = false}, 39, 45},
        {{.has_in_stock = true, .in_stock = true}, 42, 48},
        {{.has_in_stock = true, .in_stock = false}, 10, 12},
        {{.has_tag = true, .tag = SLICE("third")}, 17, 20},
        {{.has_price_gte = true, .price_gte = 102}, 26, 30},
        {{.has_price_gte = true, .price_gte = 101, .has_price_lte = true, .price_lte = 102}, 26, 30},
        {{.has_vendor = true,
          .vendor = SLICE("Sud"),
          .has_tag = true,
          .tag = SLICE("third"),
          .has_in_stock = true,
          .in_stock = true},
         7,
         8},
        {{.has_vendor = true, .vendor = SLICE("Nobody")}, 0, 0},
        {{.has_category = true, .category = SLICE("no-such-shelf")}, 0, 0},
        {{.has_is_active = true, .is_active = false}, 52, 8},
        {{.has_is_active = true, .is_active = true}, 52, 52},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        for (int variation = 0; variation < 8; variation++) {
            struct products_list_input input = CASES[i].input;
            bool is_staff = (variation & 1) != 0;
            if ((variation & 2) != 0 && !input.has_category) {
                input.has_category = true;
                input.category = SLICE("shelf");
            }
            if ((variation & 4) != 0) {
                input.has_q = true;
                input.q = SLICE("mem");
            }
            input.limit = 100;
            input.total = input.has_total = true;
            size_t expected = is_staff ? CASES[i].all : CASES[i].listed;
            struct call call;
            MUST(200, call_read(shop, &call, products_list, &input, is_staff));
            if (json_array_size(call.body) != expected || call.response.pagination.total != (int64_t)expected)
                fail_msg("case %zu, variation %d: %zu listed, %lld counted, %zu expected", i, variation,
                         json_array_size(call.body), (long long)call.response.pagination.total, expected);
            json_decref(call.body);
        }
    }
}

static void test_a_cursor_is_of_one_list_only(void **state)
{
    struct shop *shop = *state;
    struct call call;
    fill(shop);
    struct products_list_input input = {.limit = 5, .has_vendor = true, .vendor = SLICE("Nord")};
    MUST(200, call_read(shop, &call, products_list, &input, false));
    json_decref(call.body);
    struct products_list_input others[] = {
        {.limit = 5},
        {.limit = 5, .has_vendor = true, .vendor = SLICE("Sud")},
        {.limit = 5,
         .has_vendor = true,
         .vendor = SLICE("Nord"),
         .has_sort = true,
         .sort = PRODUCTS_LIST_SORT_CREATED_AT},
        {.limit = 5, .has_tag = true, .tag = SLICE("Nord")},
        {.limit = 5, .has_vendor = true, .vendor = SLICE("Nord"), .has_in_stock = true},
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct call other;
        others[i].cursor = call.response.pagination.next_cursor;
        others[i].has_cursor = true;
        assert_int_equal(call_read(shop, &other, products_list, &others[i], false), 400);
        assert_string_equal(text_at(&other, "errors[0].field"), "cursor");
        json_decref(other.body);
    }
    input.cursor = call.response.pagination.next_cursor;
    input.has_cursor = true;
    assert_int_equal(call_read(shop, &call, products_list, &input, true),
                     400); /* the staff's list is another */
    json_decref(call.body);
}

/* Shoppers' replies come from documents, the staff's from the tables: what both show is the same. */
static void test_both_views_agree(void **state)
{
    struct shop *shop = *state;
    struct call shoppers, call;
    fill(shop);
    struct products_list_input input = {
        .limit = 100, .has_expand = true, .has_is_active = true, .is_active = true};
    assert_int_equal(call_read(shop, &shoppers, products_list, &input, false), 200);
    MUST(200, call_read(shop, &call, products_list, &input, true));
    assert_int_equal(json_array_size(shoppers.body), json_array_size(call.body));
    for (size_t i = 0; i < json_array_size(shoppers.body); i++) {
        json_t *theirs = json_array_get(shoppers.body, i);
        json_t *ours = json_array_get(call.body, i);
        assert_non_null(json_object_get(ours, "costPrice"));
        json_object_del(ours, "costPrice");
        json_t *variants = json_object_get(ours, "variants");
        for (size_t v = 0; v < json_array_size(variants); v++) {
            static const char *const STAFF_ONLY[] = {"costPrice", "onHand", "reserved", "isTracked",
                                                     "backorderPolicy"};
            for (size_t k = 0; k < COUNT_OF(STAFF_ONLY); k++)
                assert_int_equal(json_object_del(json_array_get(variants, v), STAFF_ONLY[k]), 0);
        }
        assert_true(json_equal(theirs, ours));
    }
    json_decref(shoppers.body);
    json_decref(call.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_runs_inline_reads_an_index_in_its_order, shop_open,
                                        shop_close),
        cmocka_unit_test_setup_teardown(test_what_looks_further_goes_to_a_worker, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_documents_are_found_by_key, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_pages_are_whole_among_equal_keys, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_range_of_prices_is_whole_however_many_it_holds, shop_open,
                                        shop_close),
        cmocka_unit_test_setup_teardown(test_filters_count_what_they_list, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_cursor_is_of_one_list_only, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_both_views_agree, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
