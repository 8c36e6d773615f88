/* Slugs, SKUs and sort keys. */
#include "shop/names.h"

#include "base/buf.h"
#include "fixture.h"

static struct arena *arena_of(void **state)
{
    return &((struct shop *)*state)->arena;
}

DB_STATEMENT(SLUG_IS_TAKEN) = {
    .sql = "SELECT 1 FROM categories WHERE slug = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

DB_STATEMENT(SLUG_TAKE) = {
    TEST_TIMES(
        "INSERT INTO categories (id, name, name_sort, slug, created_at, updated_at) VALUES ($1, $2, $2, $2, "),
    .params = {DB_UUID, DB_TEXT},
};

static void assert_slug(void **state, const char *name, const char *expected)
{
    struct shop *shop = *state;
    struct slice slug;
    assert_int_equal(
        slug_make(shop->db, &shop->arena, &SLUG_IS_TAKEN, slice_from(name), SLICE("thing"), &slug), DB_DONE);
    if (!slice_is(slug, expected))
        fail_msg("%s became %.*s, not %s", name, SLICE_ARG(slug), expected);
    shop_write(shop, &SLUG_TAKE, DB_ARGS(db_uuid(uuid_v7(1)), db_text(slug)));
}

static void test_slugs_count_on(void **state)
{
    assert_slug(state, "Crème Brûlée", "creme-brulee");
    assert_slug(state, "Creme brulee!", "creme-brulee-2");
    assert_slug(state, "CRÈME BRÛLÉE", "creme-brulee-3");
    assert_slug(state, "日本", "thing");
    assert_slug(state, "中国", "thing-2");
    assert_slug(state, "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10", "thing-3"); /* would be read as an id */
}

static void test_slugs_of_many_namesakes(void **state)
{
    struct shop *shop = *state;
    for (int i = 0; i < 25; i++) {
        struct slice slug;
        assert_int_equal(slug_make(shop->db, &shop->arena, &SLUG_IS_TAKEN, SLICE("Same"), SLICE("x"), &slug),
                         DB_DONE);
        shop_write(shop, &SLUG_TAKE,
                   DB_ARGS(db_uuid(uuid_v7(1)), db_text(slug))); /* fails when it is taken */
        assert_true(slice_starts_with(slug, SLICE("same")));
    }
}

static void test_sku_stems(void **state)
{
    struct arena *arena = arena_of(state);
    struct slice values[] = {SLICE("M"), SLICE("Bleu nuit"), SLICE("大")};
    assert_true(slice_is(sku_stem(arena, SLICE("linen-shirt"), values, 3), "LINEN-SHIRT-M-BLEU-NUIT"));
    assert_true(slice_is(sku_stem(arena, SLICE("Ab.c_1/x"), NULL, 0), "AB.C_1/X"));
    char lengthy[120];
    memset(lengthy, 'a', sizeof(lengthy));
    struct slice slug = {lengthy, sizeof(lengthy)};
    assert_true(sku_stem(arena, slug, NULL, 0).len <= 54);
    struct slice with_value = sku_stem(arena, slug, values, 1);
    assert_int_equal(with_value.ptr[with_value.len - 1], 'M'); /* what tells variants apart is not cut off */
}

static void test_skus_avoid_what_is_claimed(void **state)
{
    struct shop *shop = *state;
    struct slice claimed[] = {SLICE("CUP"), SLICE("CUP-2")};
    struct slice sku;
    assert_int_equal(sku_make(shop->db, &shop->arena, SLICE("CUP"), claimed, 2, &sku), DB_DONE);
    assert_true(slice_is(sku, "CUP-3"));
}

static void test_sort_key_fits_a_cursor(void **state)
{
    struct arena *arena = arena_of(state);
    struct buf name;
    buf_init(&name, arena);
    for (int i = 0; i < 200; i++)
        buf_append(&name, SLICE("\xf0\x9f\xa7\xb5")); /* four bytes each: 200 of them are a valid name */
    struct slice key = name_sort_key(arena, buf_slice(&name));
    assert_int_equal(key.len, SORT_KEY_BYTES_MAX);
    assert_int_equal(key.len % 4, 0); /* no character is cut in two */
    buf_init(&name, arena);
    buf_append_char(&name, 'x');
    for (int i = 0; i < 199; i++)
        buf_append(&name, SLICE("\xf0\x9f\xa7\xb5"));
    assert_int_equal(name_sort_key(arena, buf_slice(&name)).len, 1 + 196);
    assert_true(slice_is(name_sort_key(arena, SLICE("Ångström  Lamp")), "angstrom lamp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_slugs_count_on, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_slugs_of_many_namesakes, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_sku_stems, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_skus_avoid_what_is_claimed, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_sort_key_fits_a_cursor, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
