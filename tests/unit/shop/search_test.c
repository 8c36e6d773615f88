/* What people type becomes a query that can be nothing but words. */
#include "shop/search.h"

#include "fixture.h"

#define MARK "\xca\x98"

static void assert_query(void **state, const char *typed, const char *expected)
{
    struct shop *shop = *state;
    struct slice query = search_of(DB_SQLITE, &shop->arena, slice_from(typed)).query;
    if (expected == NULL ? !slice_is_absent(query) : !slice_is(query, expected))
        fail_msg("%s became <%.*s>", typed, SLICE_ARG(query));
}

static void assert_tsquery(void **state, const char *typed, const char *expected)
{
    struct shop *shop = *state;
    struct slice query = search_of(DB_POSTGRES, &shop->arena, slice_from(typed)).query;
    if (expected == NULL ? !slice_is_absent(query) : !slice_is(query, expected))
        fail_msg("%s became <%.*s>", typed, SLICE_ARG(query));
}

static void test_queries_of_postgres(void **state)
{
    assert_tsquery(state, "Linen  SHIRT",
                   "((('linen')) | '" MARK "linen') & ((('shirt':*)) | '" MARK "shirt')");
    assert_tsquery(state, "boot-42", "((('boot') & ('42':*)) | '" MARK "boot42':*)");
    assert_tsquery(state, "a", "((('a')) | '" MARK "a')"); /* one letter is no beginning */
    assert_tsquery(state, "日本 cup", "((('日本'))) & ((('cup':*)) | '" MARK "cup')");
    assert_tsquery(state, "日本\xe2\x80\x94本", "((('日本' <-> '本')))");
    assert_tsquery(state, "\xf0\x9f\xa7\xb5 \xe2\x80\x94 cup", "((('cup':*)) | '" MARK "cup')");
    assert_tsquery(state, " -- \"' ()*:^ \xf0\x9f\xa7\xb5 ", NULL);
}

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

static struct slice query_here(struct shop *shop, struct slice typed)
{
    return search_of(db_engine_of(shop->db), &shop->arena, typed).query;
}

DB_STATEMENT(HITS) = {
    .sql = "SELECT count(*) FROM product_search WHERE product_search MATCH $1",
    .sql_postgres = "SELECT count(*) FROM product_search WHERE words @@ $1::tsquery",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

DB_STATEMENT(PUT) = {
    .sql = "INSERT INTO products (number, id, name, name_sort, slug, price_minor, created_at, updated_at)"
           " VALUES ($1, $2, $3, '', $3, 0, $4, $4)",
    .params = {DB_INT, DB_UUID, DB_TEXT, DB_TIME},
};

struct put {
    struct arena *arena;
    struct product product;
};

static enum db_result put_run(struct db *db, void *arg)
{
    struct put *put = arg;
    const struct product *product = &put->product;
    enum db_result result = db_run(
        db, &PUT, DB_ARGS(db_int(product->number), db_uuid(product->id), db_text(product->name), db_time(0)));
    return result == DB_DONE ? search_keep(db, put->arena, product, true) : result;
}

/* A product whose name can be searched for. */
static void put(struct shop *shop, int64_t number, const char *name)
{
    struct put put = {&shop->arena,
                      {.number = number,
                       .id = uuid_v4(),
                       .name = slice_from(name),
                       .vendor = SLICE(""),
                       .description = SLICE("")}};
    assert_int_equal(db_transaction(shop->db, put_run, &put), DB_DONE);
}

/* Every run of signs that the languages of FTS5 and tsquery know, between words and alone. */
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
                                         "&",
                                         "|",
                                         "!",
                                         "<->",
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
    put(shop, 1, "boots 42 日本");
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
        struct slice query = query_here(shop, buf_slice(&typed));
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
    put(shop, 1, "boots 42 日本");
    for (size_t i = 0; i < COUNT_OF(TYPED); i++) {
        int64_t hits = 0;
        struct slice query = query_here(shop, slice_from(TYPED[i]));
        assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(query)), &hits), DB_ROW);
        if (hits != 1)
            fail_msg("%s finds %lld", TYPED[i], (long long)hits);
    }
}

static void assert_corrected(struct shop *shop, const char *typed, int64_t expected)
{
    int64_t hits = 0;
    struct search search = search_of(DB_POSTGRES, &shop->arena, slice_from(typed));
    enum db_result result = search_correct(shop->db, &shop->arena, slice_from(typed), &search);
    assert_int_equal(result, expected > 0 ? DB_ROW : DB_DONE);
    if (result != DB_ROW)
        return;
    assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(search.query)), &hits), DB_ROW);
    if (hits != expected)
        fail_msg("%s became <%.*s> and finds %lld", typed, SLICE_ARG(search.query), (long long)hits);
}

static void test_typing_errors_are_corrected(void **state)
{
    struct shop *shop = *state;
    if (!test_is_postgres())
        skip();
    put(shop, 1, "Waterproof rain jacket");
    put(shop, 2, "Walking shoes");
    put(shop, 3, "Running shoes");
    put(shop, 4, "Crème brûlée torch");
    assert_corrected(shop, "jaket", 1);        /* left out */
    assert_corrected(shop, "sheos", 2);        /* swapped */
    assert_corrected(shop, "wlking shoes", 1); /* only what is unknown is replaced */
    assert_corrected(shop, "waterprof rain jackett", 1);
    assert_corrected(shop, "brulleé", 1);       /* accents do not count */
    assert_corrected(shop, "shoes", 0);         /* finds something */
    assert_corrected(shop, "walking torch", 0); /* finds nothing, but nothing is mistyped */
    assert_corrected(shop, "piano", 0);         /* like nothing that there is */
    assert_corrected(shop, "jcaktee", 0);       /* like it, but with too many mistakes */
    assert_corrected(shop, "sh", 0);
}

/* The beginning of a word finds the same whether its words are looked up or the index gathers them. */
static void test_beginnings_are_completed(void **state)
{
    static const char *const TYPED[] = {"lin", "linen",  "li",     "l",       "walking sho", "w42",
                                        "w4",  "tor",    "日本",   "long-li", "nothing",     "many",
                                        "",    "-- '\"", "Linen'", "boot-4"};
    struct shop *shop = *state;
    if (!test_is_postgres())
        skip();
    put(shop, 1, "Linen shirt long-linen w42");
    put(shop, 2, "Linings for walking shoes boot 42");
    put(shop, 3, "Torch 日本語 of li");
    for (int64_t i = 0; i < 20; i++) { /* more words that begin alike than are named */
        struct buf name;
        buf_init(&name, &shop->arena);
        for (int64_t word = 0; word < 10; word++)
            buf_format(&name, "many%lldx%lld ", (long long)i, (long long)word);
        put(shop, 10 + i, arena_format(&shop->arena, "%.*s", SLICE_ARG(buf_slice(&name))).ptr);
    }
    int64_t found = 0;
    for (size_t i = 0; i < COUNT_OF(TYPED); i++) {
        struct search search = search_of(DB_POSTGRES, &shop->arena, slice_from(TYPED[i]));
        struct slice plain = search.query;
        assert_int_equal(search_complete(shop->db, &shop->arena, slice_from(TYPED[i]), &search), DB_DONE);
        if (slice_is_absent(plain)) {
            assert_true(slice_is_absent(search.query));
            continue;
        }
        bool is_gathered = memmem(search.query.ptr, search.query.len, "':*", 3) != NULL;
        if (strcmp(TYPED[i], "many") == 0)
            assert_true(is_gathered);
        if (strcmp(TYPED[i], "lin") == 0)
            assert_false(is_gathered);
        int64_t before = 0, after = 0;
        assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(plain)), &before), DB_ROW);
        assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(search.query)), &after), DB_ROW);
        if (before != after)
            fail_msg("%s finds %lld, completed %lld", TYPED[i], (long long)before, (long long)after);
        found += after;
    }
    assert_true(found > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queries, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_queries_of_postgres, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_typing_errors_are_corrected, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_beginnings_are_completed, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_the_engine_takes_every_query, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_signs_do_not_hide_words, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
