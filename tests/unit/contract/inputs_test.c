/* The generated descriptors, used as the gateway uses them: a real body of the contract arrives in the
 * generated struct, and what breaks its rules is named. */
#include "contract/inputs.h"

#include "base/buf.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define GOOD_ID "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10"

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    return arena_init(&arena, ARENA_REQUEST_BYTES) ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* The decoded input, or NULL with the errors as "field CODE" lines in *errors. */
static const void *decode(const struct input_rule *rule, struct slice body, const char **errors)
{
    const struct slice id = SLICE(GOOD_ID);
    const struct raw_input raw = {.path_values = &id, .path_count = rule->path_count, .body = body};
    struct field_errors found;
    void *input;
    struct buf text;
    arena_reset(&arena);
    bool is_good = input_decode(rule, &raw, &arena, &input, &found);
    buf_init(&text, &arena);
    for (size_t i = 0; i < found.count; i++)
        buf_format(&text, "%.*s %s\n", SLICE_ARG(found.list[i].field), found.list[i].code);
    buf_append_char(&text, '\0');
    *errors = text.ptr;
    return is_good ? input : NULL;
}

static void assert_slice(struct slice actual, const char *expected)
{
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

static void test_cart_item_add(void **state)
{
    (void)state;
    const char *errors;
    const struct cart_item_add_input *input =
        decode(&cart_item_add_input_rule,
               SLICE("{\"productId\":\"" GOOD_ID "\",\"quantity\":2,\"options\":{\"Size\":\"M\"}}"), &errors);
    assert_string_equal(errors, "");
    assert_true(input->has_product_id && !input->has_variant_id);
    assert_true(uuid_equals(input->product_id, input->id));
    assert_int_equal(input->quantity, 2);
    assert_slice(input->options, "{\"Size\":\"M\"}");

    /* a client never sends a price */
    assert_null(
        decode(&cart_item_add_input_rule,
               SLICE("{\"variantId\":\"x\",\"quantity\":-1,\"price\":{\"amount\":1,\"currency\":\"USD\"}}"),
               &errors));
    assert_string_equal(errors, "variantId FORMAT\nquantity MIN\nprice UNKNOWN\n");
}

static void test_checkout(void **state)
{
    (void)state;
    const char *errors;
    const struct checkout_create_input *input = decode(
        &checkout_create_input_rule,
        SLICE(
            "{\"email\":\"amina@example.com\",\"shippingAddress\":{\"firstName\":\"Amina\",\"lastName\":\"Haddad\","
            "\"address1\":\"12 Rue des Lilas\",\"city\":\"Lyon\",\"zip\":\"69003\",\"country\":\"FR\"},"
            "\"shippingMethod\":\"express\",\"payment\":{\"method\":\"manual\"}}"),
        &errors);
    assert_string_equal(errors, "");
    assert_slice(input->shipping_address.zip, "69003");
    assert_false(input->has_billing_address);
    assert_int_equal(input->shipping_method, SHIPPING_METHOD_EXPRESS);
    assert_int_equal(input->payment.method, PAYMENT_METHOD_MANUAL);

    assert_null(decode(
        &checkout_create_input_rule,
        SLICE(
            "{\"email\":\"amina\",\"shippingAddress\":{\"firstName\":\"A\",\"lastName\":\"H\",\"address1\":\"1\","
            "\"city\":\"L\",\"zip\":\"\",\"country\":\"XX\"},\"payment\":{\"method\":\"gold\"},\"total\":1}"),
        &errors));
    assert_string_equal(errors,
                        "email FORMAT\nshippingAddress.zip MIN_LENGTH\nshippingAddress.country FORMAT\n"
                        "payment.method ENUM\ntotal UNKNOWN\n");
}

static void test_product_create(void **state)
{
    (void)state;
    const char *errors;
    const struct product_create_input *input = decode(
        &product_create_input_rule,
        SLICE(
            "{\"name\":\"Linen shirt\",\"price\":{\"amount\":4900,\"currency\":\"USD\"},\"comparePrice\":null,"
            "\"options\":[{\"name\":\"Size\",\"values\":[\"S\",\"M\"]}],"
            "\"variants\":[{\"sku\":\"LINEN-S\",\"options\":{\"Size\":\"S\"},\"stock\":12}]}"),
        &errors);
    assert_string_equal(errors, "");
    assert_int_equal(input->price.amount_minor, 4900);
    assert_true(input->has_compare_price && input->compare_price_is_null);
    assert_true(input->is_active && !input->has_is_active);
    assert_int_equal(input->options.items[0].values.count, 2);
    assert_slice(input->options.items[0].values.items[1], "M");
    assert_int_equal(input->variants.items[0].stock, 12);
    assert_false(input->variants.items[0].has_price);

    assert_null(decode(&product_create_input_rule, SLICE("{}"), &errors));
    assert_string_equal(errors, "name REQUIRED\nprice REQUIRED\n");
}

static void test_register_takes_no_role(void **state)
{
    (void)state;
    const char *errors;
    assert_null(decode(
        &auth_register_input_rule,
        SLICE("{\"email\":\"a@example.com\",\"password\":\"correct horse\",\"role\":\"admin\"}"), &errors));
    assert_string_equal(errors, "role UNKNOWN\n");
    assert_null(decode(&auth_register_input_rule,
                       SLICE("{\"email\":\"a@example.com\",\"password\":\"short\"}"), &errors));
    assert_string_equal(errors, "password MIN_LENGTH\n");
}

static void test_enumerations(void **state)
{
    (void)state;
    enum order_status status;
    enum products_list_sort sort;
    assert_string_equal(order_status_name(ORDER_STATUS_PARTIALLY_REFUNDED), "partially_refunded");
    assert_true(order_status_parse(SLICE("shipped"), &status));
    assert_int_equal(status, ORDER_STATUS_SHIPPED);
    assert_false(order_status_parse(SLICE("SHIPPED"), &status));
    assert_true(products_list_sort_parse(SLICE("-price"), &sort));
    assert_int_equal(sort, PRODUCTS_LIST_SORT_PRICE_DESC);
    assert_null(order_status_name((enum order_status)99));
}

static void test_a_scope_is_the_one_of_auth(void **state)
{
    (void)state;
    const char *errors;
    const struct role_update_input *input =
        decode(&role_update_input_rule, SLICE("{\"scopes\":[\"orders:write\",\"staff:read\"]}"), &errors);
    assert_string_equal(errors, "");
    assert_int_equal(input->scopes.count, 2);
    assert_int_equal(input->scopes.items[0], SCOPE_ORDERS_WRITE);
    assert_int_equal(input->scopes.items[1], SCOPE_STAFF_READ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cart_item_add),  cmocka_unit_test(test_checkout),
        cmocka_unit_test(test_product_create), cmocka_unit_test(test_register_takes_no_role),
        cmocka_unit_test(test_enumerations),   cmocka_unit_test(test_a_scope_is_the_one_of_auth),
    };
    return cmocka_run_group_tests_name("contract/inputs", tests, open_arena, close_arena);
}
