/* What people type becomes a query that can be nothing but words. */
#include "shop/search.h"

#include "fixture.h"

static void assert_query(void **state, const char *typed, const char *expected)
{
    struct shop *shop = *state;
    struct slice query = search_query(&shop->arena, slice_from(typed));
    if (expected == NULL ? !slice_is_absent(query) : !slice_is(query, expected))
        fail_msg("%s became <%.*s>", typed, SLICE_ARG(query));
}

#define MARK "\xca\x98"

static void test_queries(void **state)
{
    assert_query(state, "Linen  SHIRT",
                 "((\"linen\") OR \"" MARK "linen\") AND ((\"shirt\"*) OR \"" MARK "shirt\")");
    assert_query(state, "boot-42", "((\"boot\" AND \"42\"*) OR \"" MARK "boot42\"*)");
    assert_query(state, "boot42 cup",
                 "((\"boot42\") OR \"" MARK "boot42\") AND ((\"cup\"*) OR \"" MARK "cup\")");
    assert_query(state, "boot42", "((\"boot42\"*) OR \"" MARK "boot42\"*)");
    assert_query(state, "a", "((\"a\") OR \"" MARK "a\")"); /* one letter is no beginning */
    assert_query(state, "日本 cup", "((\"日本\")) AND ((\"cup\"*) OR \"" MARK "cup\")");
    assert_query(state, "\xf0\x9f\xa7\xb5 \xe2\x80\x94 cup", "((\"cup\"*) OR \"" MARK "cup\")");
    assert_query(state, "Straße", "((\"strasse\"*) OR \"" MARK "strasse\")");
    assert_query(state, "", NULL);
    assert_query(state, " -- \"' ()*:^ \xf0\x9f\xa7\xb5 ", NULL);
    assert_query(state, "NOT x", "((\"not\") OR \"" MARK "not\") AND ((\"x\") OR \"" MARK "x\")");
}

DB_STATEMENT(HITS) = {
    .sql = "SELECT count(*) FROM product_search WHERE product_search MATCH $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

DB_STATEMENT(PUT) = {
    .sql =
        "INSERT INTO product_search (rowid, name, tags, vendor, sku, description) VALUES ($1, $2, '', '', '', '')",
    .params = {DB_INT, DB_TEXT},
};

/* Every run of signs that the language of FTS5 knows, between words and alone. */
static void test_the_engine_takes_every_query(void **state)
{
    static const char *const PIECES[] = {"\"",
                                         "'",
                                         "*",
                                         "(",
                                         ")",
                                         "AND",
                                         "OR",
                                         "NOT",
                                         "NEAR",
                                         "NEAR(",
                                         ":",
                                         "name:",
                                         "{a b}:",
                                         "^",
                                         "-",
                                         "+",
                                         ",",
                                         "\\",
                                         "%",
                                         "_",
                                         ";",
                                         "--",
                                         "/*",
                                         "boots",
                                         "42",
                                         "\xf0\x9f\xa7\xb5",
                                         "\xe2\x80\x94",
                                         "日本",
                                         "\xcc\x81",
                                         "ß",
                                         "$1",
                                         "?"};
    struct shop *shop = *state;
    shop_write(shop, &PUT, DB_ARGS(db_int(1), db_text(SLICE("boots 42 日本"))));
    uint32_t random = 1;
    for (int i = 0; i < 3000; i++) {
        struct buf typed;
        buf_init(&typed, &shop->arena);
        for (int n = 1 + i % 5; n > 0; n--) {
            random = random * 1664525u + 1013904223u;
            buf_append(&typed, slice_from(PIECES[(random >> 8) % COUNT_OF(PIECES)]));
            if (random >> 31)
                buf_append_char(&typed, ' ');
        }
        struct slice query = search_query(&shop->arena, buf_slice(&typed));
        int64_t hits;
        if (!slice_is_absent(query) && db_one_int(shop->db, &HITS, DB_ARGS(db_text(query)), &hits) != DB_ROW)
            fail_msg("<%.*s> became <%.*s>", SLICE_ARG(buf_slice(&typed)), SLICE_ARG(query));
    }
}

static void test_signs_do_not_hide_words(void **state)
{
    struct shop *shop = *state;
    static const char *const TYPED[] = {"boots \xf0\x9f\xa7\xb5", "\xe2\x80\x94 日本", "\"boots\"", "(42)",
                                        "boots*"};
    shop_write(shop, &PUT, DB_ARGS(db_int(1), db_text(SLICE("boots 42 日本"))));
    for (size_t i = 0; i < COUNT_OF(TYPED); i++) {
        int64_t hits = 0;
        struct slice query = search_query(&shop->arena, slice_from(TYPED[i]));
        assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(query)), &hits), DB_ROW);
        if (hits != 1)
            fail_msg("%s finds %lld", TYPED[i], (long long)hits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queries, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_the_engine_takes_every_query, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_signs_do_not_hide_words, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
