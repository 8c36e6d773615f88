/* Cursors: they come back as they went, and nothing else does. */
#include "http/page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;
static struct services services;
static struct request request = {.services = &services, .arena = &arena};
static const struct operation LIST = {.name = "products_list"};
static const struct operation OTHER_LIST = {.name = "orders_list"};
static const enum db_type TYPES[] = {DB_TEXT, DB_INT, DB_TIME, DB_UUID};

static int begin(void **state)
{
    (void)state;
    crypto_start();
    memset(services.cursor_key, 42, sizeof(services.cursor_key));
    return arena_init(&arena, 4 << 20) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static struct cursor_scope scope_of(const struct operation *operation, struct slice sort, int64_t category)
{
    struct cursor_scope scope;
    cursor_scope_init(&scope, operation);
    cursor_scope_add(&scope, sort);
    cursor_scope_add_int(&scope, category);
    return scope;
}

static struct slice make(const struct cursor_scope *scope, struct slice text, int64_t number)
{
    struct db_value values[] = {db_text(text), db_int(number), db_time(-number),
                                db_uuid((struct uuid){{1, 2, 3}})};
    return cursor_make(&request, scope, values, 4);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct cursor_scope scope = scope_of(&LIST, SLICE("name"), 7);
    static const int64_t numbers[] = {0, 1, -1, 63, 64, -64, -65, INT64_MAX, INT64_MIN + 1, 1700000000000};
    static const struct slice texts[] = {{"", 0}, {"a", 1}, {"caf\xc3\xa9 \"x\"", 9}, {"a\0b", 3}};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (size_t t = 0; t < COUNT_OF(texts); t++) {
            struct slice cursor = make(&scope, texts[t], numbers[i]);
            struct db_value values[4];
            assert_true(cursor.len <= CURSOR_BYTES_MAX);
            assert_true(cursor_open(&request, &scope, cursor, TYPES, 4, values));
            assert_true(slice_equals(values[0].text, texts[t]));
            assert_true(values[1].integer == numbers[i]);
            assert_true(values[2].integer == -numbers[i]);
            assert_int_equal(values[3].uuid.bytes[2], 3);
            for (size_t v = 0; v < 4; v++)
                assert_true(values[v].type == TYPES[v] && !values[v].is_null);
        }
    }
}

static void test_tampering(void **state)
{
    (void)state;
    struct cursor_scope scope = scope_of(&LIST, SLICE("name"), 7);
    struct slice cursor = make(&scope, SLICE("some name"), 12345);
    struct db_value values[4];
    char changed[256];
    assert_true(cursor.len < sizeof(changed));
    for (size_t i = 0; i < cursor.len; i++) {
        static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ";
        for (const char *c = ALPHABET; *c != '\0'; c++) {
            if (*c == cursor.ptr[i])
                continue;
            memcpy(changed, cursor.ptr, cursor.len);
            changed[i] = *c;
            assert_false(
                cursor_open(&request, &scope, (struct slice){changed, cursor.len}, TYPES, 4, values));
        }
    }
    for (size_t len = 0; len < cursor.len; len++)
        assert_false(cursor_open(&request, &scope, (struct slice){cursor.ptr, len}, TYPES, 4, values));
    memcpy(changed, cursor.ptr, cursor.len);
    memcpy(changed + cursor.len, "AAAA", 4);
    assert_false(cursor_open(&request, &scope, (struct slice){changed, cursor.len + 4}, TYPES, 4, values));
    /* too few or too many values for what was signed */
    assert_false(cursor_open(&request, &scope, cursor, TYPES, 3, values));
    static const enum db_type OTHER_TYPES[] = {DB_UUID, DB_INT, DB_TIME, DB_UUID};
    assert_false(cursor_open(&request, &scope, cursor, OTHER_TYPES, 4, values));
    char *longest = arena_alloc(&arena, CURSOR_BYTES_MAX + 4);
    memset(longest, 'A', CURSOR_BYTES_MAX + 4);
    for (size_t len = CURSOR_BYTES_MAX - 8; len <= CURSOR_BYTES_MAX + 4; len++)
        assert_false(cursor_open(&request, &scope, (struct slice){longest, len}, TYPES, 4, values));
}

static void test_scope(void **state)
{
    (void)state;
    struct cursor_scope scope = scope_of(&LIST, SLICE("name"), 7);
    struct slice cursor = make(&scope, SLICE("x"), 1);
    struct db_value values[4];
    struct cursor_scope others[] = {
        scope_of(&OTHER_LIST, SLICE("name"), 7), scope_of(&LIST, SLICE("price"), 7),
        scope_of(&LIST, SLICE("name"), 8),       scope_of(&LIST, SLICE_ABSENT, 7),
        scope_of(&LIST, SLICE(""), 7),
    };
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        assert_false(cursor_open(&request, &others[i], cursor, TYPES, 4, values));
        for (size_t j = 0; j < i; j++)
            assert_true(others[i].hash != others[j].hash);
    }
    struct cursor_scope again = scope_of(&LIST, SLICE("name"), 7);
    assert_true(cursor_open(&request, &again, cursor, TYPES, 4, values));
    /* what is added apart is not what is added together */
    struct cursor_scope apart, together;
    cursor_scope_init(&apart, &LIST);
    cursor_scope_init(&together, &LIST);
    cursor_scope_add(&apart, SLICE("a"));
    cursor_scope_add(&apart, SLICE("b"));
    cursor_scope_add(&together, SLICE("ab"));
    assert_true(apart.hash != together.hash);
    services.cursor_key[0] ^= 1;
    assert_false(cursor_open(&request, &scope, cursor, TYPES, 4, values));
    services.cursor_key[0] ^= 1;
}

static void test_totals(void **state)
{
    (void)state;
    struct response response;
    response_init(&response, &arena, false);
    response_page_total(&response, PAGE_TOTAL_MAX);
    assert_int_equal(response.pagination.total, PAGE_TOTAL_MAX);
    assert_false(response.pagination.total_is_capped);
    response_page_total(&response, PAGE_TOTAL_MAX + 1);
    assert_int_equal(response.pagination.total, PAGE_TOTAL_MAX);
    assert_true(response.pagination.total_is_capped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_tampering),
                                       cmocka_unit_test(test_scope), cmocka_unit_test(test_totals)};
    return cmocka_run_group_tests(tests, begin, end);
}
