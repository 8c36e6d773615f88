/* A product's document: holes for its stock, filled by rank. */
#include "shop/product.h"

#include "fixture.h"

static struct uuid id_of(uint8_t last)
{
    struct uuid id = {{0x01, 0x90}};
    id.bytes[15] = last;
    return id;
}

/* Three variants, whose order is not that of their ids. */
static struct product sample(struct product_variant variants[3])
{
    static const uint8_t IDS[] = {7, 3, 5};
    for (size_t i = 0; i < 3; i++) {
        variants[i] = (struct product_variant){
            .id = id_of(IDS[i]),
            .sku = SLICE("A"),
            .options = SLICE("{}"),
            .price_minor = 300 - (int64_t)i,
            .compare_price_minor = PRODUCT_NONE,
            .cost_minor = PRODUCT_NONE,
            .weight_grams = PRODUCT_NONE,
        };
    }
    return (struct product){
        .id = id_of(1),
        .name = SLICE("\"Cup\" \\ \x01 of \n tea"), /* what escapes must not become a hole */
        .slug = SLICE("cup"),
        .description = SLICE(""),
        .currency = SLICE("USD"),
        .options = SLICE("[]"),
        .images = SLICE("[]"),
        .attributes = SLICE("{}"),
        .is_active = true,
        .variants = variants,
        .variant_count = 3,
    };
}

static struct slice filled(struct arena *arena, struct slice document, const struct document_stock *stocks,
                           size_t count, const struct category_ref *category)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, arena);
    json_init(&json, &out);
    product_document_write(&json, document, stocks, count, category);
    return buf_slice(&out);
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static void assert_in_order(struct slice text, const char *const *parts, size_t count)
{
    const char *from = text.ptr;
    for (size_t i = 0; i < count; i++) {
        const char *found = memmem(from, text.len - (size_t)(from - text.ptr), parts[i], strlen(parts[i]));
        if (found == NULL)
            fail_msg("%s does not follow in %.*s", parts[i], SLICE_ARG(text));
        from = found + 1;
    }
}

static void test_holes_are_filled_by_rank(void **state)
{
    struct shop *shop = *state;
    struct product_variant variants[3];
    struct product product = sample(variants);
    struct slice document = product_document_render(&shop->arena, &product);
    /* in the order of ids: 3, 5, 7 */
    struct document_stock stocks[] = {{true, 30}, {true, -5}, {true, 700}};
    struct slice text = filled(&shop->arena, document, stocks, 3, NULL);
    static const char *const ORDER[] = {"\"stock\":725", "\"available\":700", "\"available\":30",
                                        "\"available\":-5"};
    assert_in_order(text, ORDER, COUNT_OF(ORDER));
    assert_null(memchr(text.ptr, 1, text.len));
    assert_true(contains(text, "\"price\":{\"amount\":298,\"currency\":\"USD\"}")); /* the cheapest */
    assert_true(contains(text, "\"sku\":null"));
    assert_false(contains(text, "costPrice"));
    assert_false(contains(text, "reserved"));
}

static void test_one_that_is_not_counted_makes_the_sum_unknown(void **state)
{
    struct shop *shop = *state;
    struct product_variant variants[3];
    struct product product = sample(variants);
    struct slice document = product_document_render(&shop->arena, &product);
    struct document_stock stocks[] = {{true, 30}, {false, 9}, {true, 700}};
    struct slice text = filled(&shop->arena, document, stocks, 3, NULL);
    static const char *const ORDER[] = {"\"stock\":null", "\"available\":700", "\"available\":30",
                                        "\"available\":null"};
    assert_in_order(text, ORDER, COUNT_OF(ORDER));
}

/* A stored document that does not fit its rows must not stop the reader. */
static void test_a_missing_row_shows_as_unknown(void **state)
{
    struct shop *shop = *state;
    struct product_variant variants[3];
    struct product product = sample(variants);
    struct slice document = product_document_render(&shop->arena, &product);
    struct document_stock stocks[] = {{true, 30}};
    struct slice text = filled(&shop->arena, document, stocks, 1, NULL);
    static const char *const ORDER[] = {"\"stock\":30", "\"available\":null", "\"available\":30",
                                        "\"available\":null"};
    assert_in_order(text, ORDER, COUNT_OF(ORDER));
    (void)filled(&shop->arena, SLICE("{\"a\":\x01}"), stocks, 1, NULL);
    (void)filled(&shop->arena, SLICE("{\"a\":\x01xy}"), stocks, 1, NULL);
}

static void test_a_category_is_added_at_the_end(void **state)
{
    struct shop *shop = *state;
    struct document_stock stock = {true, 1};
    struct category_ref category = {id_of(9), SLICE("A \"b\""), SLICE("a-b")};
    struct slice text = filled(&shop->arena, SLICE("{\"stock\":\x01s}"), &stock, 1, &category);
    assert_true(slice_is(text, "{\"stock\":1,\"category\":{\"id\":\"01900000-0000-0000-0000-000000000009\","
                               "\"name\":\"A \\\"b\\\"\",\"slug\":\"a-b\"}}"));
    struct category_ref none = {0};
    assert_true(
        slice_is(filled(&shop->arena, SLICE("{\"stock\":\x01s}"), &stock, 1, &none), "{\"stock\":1}"));
}

static void test_a_hundred_variants(void **state)
{
    struct shop *shop = *state;
    struct product_variant *variants =
        ARENA_ARRAY(&shop->arena, struct product_variant, PRODUCT_VARIANTS_MAX);
    struct document_stock stocks[PRODUCT_VARIANTS_MAX];
    struct product_variant three[3];
    struct product product = sample(three);
    product.variants = variants;
    product.variant_count = PRODUCT_VARIANTS_MAX;
    for (size_t i = 0; i < PRODUCT_VARIANTS_MAX; i++) {
        variants[i] = three[0];
        variants[i].id = id_of((uint8_t)(200 - i)); /* backwards */
        stocks[i] = (struct document_stock){true, (int64_t)(1000 + i)};
    }
    struct slice document = product_document_render(&shop->arena, &product);
    struct slice text = filled(&shop->arena, document, stocks, PRODUCT_VARIANTS_MAX, NULL);
    static const char *const ORDER[] = {"\"stock\":104950", "\"available\":1099", "\"available\":1098",
                                        "\"available\":1010", "\"available\":1000"};
    assert_in_order(text, ORDER, COUNT_OF(ORDER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_holes_are_filled_by_rank, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_one_that_is_not_counted_makes_the_sum_unknown, shop_open,
                                        shop_close),
        cmocka_unit_test_setup_teardown(test_a_missing_row_shows_as_unknown, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_category_is_added_at_the_end, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_hundred_variants, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
