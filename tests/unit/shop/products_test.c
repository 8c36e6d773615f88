/* Products and their variants, through their handlers: what an edit means, what it refuses, and that all that
 * follows from the rows follows. */
#include "shop/product.h"

#include "catalogue.h"

/* ---- inputs ---- */

static struct slice_list texts(struct shop *shop, const char *const *list, size_t count)
{
    struct slice *items = ARENA_ARRAY(&shop->arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        items[i] = slice_from(list[i]);
    return (struct slice_list){items, count};
}

static struct product_option_input size_option(struct shop *shop)
{
    static const char *const SIZES[] = {"S", "M", "L"};
    return (struct product_option_input){SLICE("Size"), texts(shop, SIZES, COUNT_OF(SIZES))};
}

static struct product_create_input simple(const char *name, int64_t price_minor, int64_t stock)
{
    return (struct product_create_input){
        .name = slice_from(name), .price = usd(price_minor), .stock = stock, .has_stock = true};
}

/* A product in S and M: S at 4900 with 12 in stock, M at 5200 with 20. */
static struct uuid make_shirt(struct shop *shop)
{
    struct call call;
    struct product_option_input option = size_option(shop);
    struct variant_input variants[] = {
        {.sku = SLICE("SHIRT-S"),
         .has_sku = true,
         .options = SLICE("{\"Size\":\"S\"}"),
         .has_options = true,
         .stock = 12,
         .has_stock = true},
        {.options = SLICE("{\"Size\":\"M\"}"),
         .has_options = true,
         .stock = 20,
         .has_stock = true,
         .price = usd(5200),
         .has_price = true},
    };
    struct product_create_input input = simple("Shirt", 4900, 0);
    input.has_stock = false;
    input.options = (struct product_option_input_list){&option, 1};
    input.has_options = true;
    input.variants = (struct variant_input_list){variants, 2};
    input.has_variants = true;
    MUST(201, call_write(shop, &call, product_create, &input));
    assert_string_equal(text_at(&call, "variants[0].sku"), "SHIRT-S");
    assert_string_equal(text_at(&call, "variants[1].sku"), "SHIRT-M");
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    return id;
}

static enum http_status get(struct shop *shop, struct call *call, struct uuid id, bool is_staff)
{
    char *text = arena_alloc(&shop->arena, UUID_TEXT_LEN);
    uuid_format(id, text);
    struct product_get_input *input = ARENA_NEW(&shop->arena, struct product_get_input);
    input->id = (struct slice){text, UUID_TEXT_LEN};
    return call_read(shop, call, product_get, input, is_staff);
}

static enum http_status patch(struct shop *shop, struct call *call, struct uuid id,
                              struct product_update_input input)
{
    struct product_update_input *kept = ARENA_NEW(&shop->arena, struct product_update_input);
    *kept = input;
    kept->id = id;
    return call_write(shop, call, product_update, kept);
}

static void assert_refused(struct call *call, const char *code, const char *field)
{
    assert_string_equal(text_at(call, "code"), code);
    if (field != NULL)
        assert_string_equal(text_at(call, "errors[0].field"), field);
    json_decref(call->body);
}

/* ---- making ---- */

static void test_a_simple_product(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_create_input input = simple("Chaise longue", 4900, 7);
    MUST(201, call_write(shop, &call, product_create, &input));
    assert_string_equal(text_at(&call, "slug"), "chaise-longue");
    assert_string_equal(text_at(&call, "sku"), "CHAISE-LONGUE");
    assert_int_equal(int_at(&call, "stock"), 7);
    assert_int_equal(int_at(&call, "variants[0].onHand"), 7);
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    MUST(200, get(shop, &call, id, false));
    assert_int_equal(int_at(&call, "stock"), 7);
    assert_null(at(&call, "variants[0].onHand"));
    assert_int_equal(call.response.version, 1);
    json_decref(call.body);
    MUST(201, call_write(shop, &call, product_create, &input));
    assert_string_equal(text_at(&call, "slug"), "chaise-longue-2");
    assert_string_equal(text_at(&call, "sku"), "CHAISE-LONGUE-2");
    json_decref(call.body);
    input.slug = SLICE("chaise-longue");
    input.has_slug = true;
    MUST(409, call_write(shop, &call, product_create, &input));
    assert_refused(&call, "SLUG_TAKEN", NULL);
    assert_truths(shop);
}

static void test_amounts_must_be_in_the_shops_currency(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_create_input input = simple("Cup", 100, 1);
    input.compare_price = (struct money){200, SLICE("EUR")};
    input.has_compare_price = true;
    MUST(400, call_write(shop, &call, product_create, &input));
    assert_refused(&call, "VALIDATION_ERROR", "comparePrice.currency");
    input.compare_price_is_null = true; /* then there is nothing to check */
    MUST(201, call_write(shop, &call, product_create, &input));
    json_decref(call.body);
}

static void test_options_must_fit(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_option_input option = size_option(shop);
    struct variant_input variants[2] = {
        {.options = SLICE("{\"Size\":\"S\"}"), .has_options = true},
        {.options = SLICE("{\"Size\":\"S\"}"), .has_options = true},
    };
    struct product_create_input input = simple("Shirt", 100, 0);
    input.options = (struct product_option_input_list){&option, 1};
    input.has_options = true;
    MUST(400, call_write(shop, &call, product_create, &input));
    assert_refused(&call, "VALIDATION_ERROR", "variants");
    input.variants = (struct variant_input_list){variants, 2};
    input.has_variants = true;
    MUST(400, call_write(shop, &call, product_create, &input));
    assert_refused(&call, "VALIDATION_ERROR", "variants[1].options");
    static const char *const BAD[] = {"{\"Size\":\"XL\"}", "{}", "{\"Colour\":\"S\"}",
                                      "{\"Size\":\"M\",\"Colour\":\"x\"}"};
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        variants[1].options = slice_from(BAD[i]);
        MUST(400, call_write(shop, &call, product_create, &input));
        assert_refused(&call, "VALIDATION_ERROR", "variants[1].options");
    }
    variants[1].options = SLICE("{\"Size\":\"M\"}");
    variants[0].sku = variants[1].sku = SLICE("SAME");
    variants[0].has_sku = variants[1].has_sku = true;
    MUST(409, call_write(shop, &call, product_create, &input));
    assert_refused(&call, "SKU_TAKEN", NULL);
    variants[0].has_sku = false; /* a made SKU gives way to a given one further down the list */
    variants[1].sku = SLICE("SHIRT-S");
    MUST(201, call_write(shop, &call, product_create, &input));
    assert_string_equal(text_at(&call, "variants[0].sku"), "SHIRT-S-2");
    json_decref(call.body);
    assert_truths(shop);
}

/* ---- changing ---- */

static void test_members_of_a_single_variant(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_create_input input = simple("Cup", 1000, 5);
    MUST(201, call_write(shop, &call, product_create, &input));
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){.price = usd(900),
                                                  .has_price = true,
                                                  .stock = 8,
                                                  .has_stock = true,
                                                  .cost_price = usd(300),
                                                  .has_cost_price = true}));
    assert_int_equal(int_at(&call, "price.amount"), 900);
    assert_int_equal(int_at(&call, "stock"), 8);
    assert_int_equal(int_at(&call, "costPrice.amount"), 300);
    assert_int_equal(call.response.version, 2);
    json_decref(call.body);
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){.has_cost_price = true, .cost_price_is_null = true}));
    assert_true(json_is_null(at(&call, "costPrice")));
    json_decref(call.body);
    struct uuid shirt = make_shirt(shop);
    MUST(400, patch(shop, &call, shirt, (struct product_update_input){.stock = 8, .has_stock = true}));
    assert_refused(&call, "VALIDATION_ERROR", "stock");
    assert_truths(shop);
}

/* Kept, changed, added, removed, and in a new order, all at once; SKUs change hands. */
static void test_the_whole_list_of_variants(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    MUST(200, get(shop, &call, id, true));
    struct uuid small = id_at(&call, "variants[0].id");
    struct uuid medium = id_at(&call, "variants[1].id");
    json_decref(call.body);
    struct product_variant_input swapped[] = {
        {.id = medium, .has_id = true, .sku = SLICE("SHIRT-S"), .has_sku = true},
        {.id = small, .has_id = true, .sku = SLICE("SHIRT-M"), .has_sku = true},
    };
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){.variants = {swapped, 2}, .has_variants = true}));
    assert_true(uuid_equals(id_at(&call, "variants[0].id"), medium));
    assert_string_equal(text_at(&call, "variants[0].sku"), "SHIRT-S");
    assert_string_equal(text_at(&call, "variants[1].sku"), "SHIRT-M");
    json_decref(call.body);
    struct product_variant_input replaced[] = {
        {.options = SLICE("{\"Size\":\"L\"}"),
         .has_options = true,
         .sku = SLICE("SHIRT-M"),
         .has_sku = true,
         .stock = 3,
         .has_stock = true},
        {.id = medium, .has_id = true, .price = usd(4000), .has_price = true},
    };
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){.variants = {replaced, 2},
                                                  .has_variants = true,
                                                  .weight_grams = 70,
                                                  .has_weight_grams = true}));
    assert_int_equal(int_at(&call, "variants[0].price.amount"), 4900); /* that of the product before */
    assert_int_equal(int_at(&call, "variants[0].available"), 3);
    assert_int_equal(int_at(&call, "variants[1].available"), 20);
    assert_int_equal(int_at(&call, "variants[0].weightGrams"),
                     70); /* the product's, for each that names none */
    assert_int_equal(int_at(&call, "variants[1].weightGrams"), 70);
    assert_int_equal(int_at(&call, "price.amount"), 4000);
    json_decref(call.body);
    MUST(200, get(shop, &call, id, false)); /* the removed one's stock is not counted */
    assert_int_equal(int_at(&call, "stock"), 23);
    assert_int_equal(int_at(&call, "variants[0].available"), 3);
    assert_int_equal(int_at(&call, "variants[1].available"), 20);
    json_decref(call.body);
    assert_truths(shop);
    struct product_variant_input stale[] = {{.id = small, .has_id = true}};
    MUST(400,
         patch(shop, &call, id, (struct product_update_input){.variants = {stale, 1}, .has_variants = true}));
    assert_refused(&call, "VALIDATION_ERROR", "variants[0].id");
    struct product_variant_input twice[] = {{.id = medium, .has_id = true}, {.id = medium, .has_id = true}};
    MUST(400,
         patch(shop, &call, id, (struct product_update_input){.variants = {twice, 2}, .has_variants = true}));
    assert_refused(&call, "VALIDATION_ERROR", "variants[1].id");
    MUST(400, patch(shop, &call, id, (struct product_update_input){.has_variants = true}));
    assert_refused(&call, "VALIDATION_ERROR", "variants");
    assert_truths(shop);
}

static void test_variants_only_change_places(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    MUST(200, get(shop, &call, id, true));
    struct uuid small = id_at(&call, "variants[0].id");
    struct uuid medium = id_at(&call, "variants[1].id");
    json_decref(call.body);
    struct product_variant_input order[] = {{.id = medium, .has_id = true}, {.id = small, .has_id = true}};
    MUST(200,
         patch(shop, &call, id, (struct product_update_input){.variants = {order, 2}, .has_variants = true}));
    json_decref(call.body);
    for (int is_staff = 0; is_staff < 2; is_staff++) {
        MUST(200, get(shop, &call, id, is_staff == 1));
        assert_true(uuid_equals(id_at(&call, "variants[0].id"), medium));
        assert_int_equal(int_at(&call, "variants[0].available"), 20);
        assert_int_equal(int_at(&call, "variants[1].available"), 12);
        json_decref(call.body);
    }
    assert_truths(shop);
}

DB_STATEMENT(HITS) = {
    .sql = "SELECT count(*) FROM product_search WHERE product_search MATCH $1",
    .sql_postgres = "SELECT count(*) FROM product_search WHERE words @@ $1::tsquery",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static int64_t hits(struct shop *shop, struct slice word)
{
    int64_t count;
    assert_int_equal(db_one_int(shop->db, &HITS, DB_ARGS(db_text(word)), &count), DB_ROW);
    return count;
}

static void test_words_follow_an_edit(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    struct slice tags[] = {SLICE("Été"), SLICE("sale"), SLICE("sale")};
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){
                        .name = SLICE("Blouse"), .has_name = true, .tags = {tags, 3}, .has_tags = true}));
    assert_int_equal(json_array_size(at(&call, "tags")), 2);
    assert_string_equal(text_at(&call, "tags[0]"), "sale");
    assert_string_equal(text_at(&call, "slug"), "shirt"); /* links point to it */
    json_decref(call.body);
    assert_int_equal(hits(shop, SLICE("shirt")), 0); /* not even by its SKUs, which still say so */
    assert_int_equal(hits(shop, SLICE("blouse")), 1);
    assert_int_equal(hits(shop, SLICE("ete")), 1);
    MUST(200,
         patch(shop, &call, id, (struct product_update_input){.is_active = false, .has_is_active = true}));
    json_decref(call.body);
    assert_int_equal(hits(shop, SLICE("blouse")), 1); /* the staff still search for it */
    struct product_delete_input gone = {.id = id};
    MUST(204, call_write(shop, &call, product_delete, &gone));
    assert_int_equal(hits(shop, SLICE("blouse")), 0);
}

static void test_options_change_under_their_variants(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    static const char *const FEWER[] = {"S", "L"};
    struct product_option_input option = {SLICE("Size"), texts(shop, FEWER, 2)};
    MUST(400,
         patch(shop, &call, id, (struct product_update_input){.options = {&option, 1}, .has_options = true}));
    assert_refused(&call, "VALIDATION_ERROR", "options");
    static const char *const MORE[] = {"L", "M", "S"};
    option.values = texts(shop, MORE, 3);
    MUST(200,
         patch(shop, &call, id, (struct product_update_input){.options = {&option, 1}, .has_options = true}));
    assert_string_equal(text_at(&call, "options[0].values[0]"), "L");
    json_decref(call.body);
    option.values = texts(shop, (const char *const[]){"S", "S"}, 2);
    MUST(400,
         patch(shop, &call, id, (struct product_update_input){.options = {&option, 1}, .has_options = true}));
    assert_refused(&call, "VALIDATION_ERROR", "options[0].values[1]");
}

DB_STATEMENT(RESERVE) = {
    .sql = "UPDATE variant_stock SET reserved = reserved + $2 WHERE product_id = $1",
    .params = {DB_UUID, DB_INT},
};

static void test_stock_does_not_fall_below_what_is_reserved(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_create_input input = simple("Cup", 1000, 5);
    MUST(201, call_write(shop, &call, product_create, &input));
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    shop_write(shop, &RESERVE, DB_ARGS(db_uuid(id), db_int(3)));
    MUST(409, patch(shop, &call, id,
                    (struct product_update_input){
                        .name = SLICE("x"), .has_name = true, .stock = 2, .has_stock = true}));
    assert_refused(&call, "INSUFFICIENT_STOCK", NULL);
    MUST(200, get(shop, &call, id, true));
    assert_string_equal(text_at(&call, "name"), "Cup"); /* nothing of it was written */
    json_decref(call.body);
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){
                        .is_tracked = false, .has_is_tracked = true, .stock = 2, .has_stock = true}));
    assert_true(json_is_null(at(&call, "stock")));
    json_decref(call.body);
    MUST(409,
         patch(shop, &call, id, (struct product_update_input){.is_tracked = true, .has_is_tracked = true}));
    assert_refused(&call, "INSUFFICIENT_STOCK", NULL);
    MUST(200, patch(shop, &call, id,
                    (struct product_update_input){.is_tracked = true,
                                                  .has_is_tracked = true,
                                                  .backorder_policy = BACKORDER_POLICY_ALLOW,
                                                  .has_backorder_policy = true}));
    assert_int_equal(int_at(&call, "stock"), -1);
    json_decref(call.body);
    assert_truths(shop);
}

static void test_versions(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    struct product_update_input input = {.id = id, .vendor = SLICE("V"), .has_vendor = true};
    call_begin(shop, &call, product_update, &input, true);
    call.request.has_if_match = true;
    call.request.if_match_version = 2;
    (void)db_transaction(shop->db, call_run, &call);
    assert_int_equal(call_end(&call), 412);
    json_decref(call.body);
    call_begin(shop, &call, product_update, &input, true);
    call.request.has_if_match = true;
    call.request.if_match_version = 1;
    assert_int_equal(db_transaction(shop->db, call_run, &call), DB_DONE);
    MUST(200, call_end(&call));
    assert_int_equal(call.response.version, 2);
    json_decref(call.body);
}

/* ---- one variant at a time ---- */

static void test_variants_one_by_one(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    struct variant_create_input add = {.id = id, .options = SLICE("{\"Size\":\"L\"}"), .has_options = true};
    MUST(201, call_write(shop, &call, variant_create, &add));
    assert_int_equal(int_at(&call, "price.amount"), 4900);
    assert_string_equal(text_at(&call, "sku"), "SHIRT-L");
    struct uuid large = id_at(&call, "id");
    json_decref(call.body);
    MUST(409, call_write(shop, &call, variant_create, &add));
    assert_refused(&call, "VARIANT_EXISTS", NULL);
    struct variant_update_input change = {.id = id, .variant_id = large, .price = usd(10), .has_price = true};
    MUST(200, call_write(shop, &call, variant_update, &change));
    json_decref(call.body);
    MUST(200, get(shop, &call, id, false));
    assert_int_equal(int_at(&call, "price.amount"), 10);
    assert_int_equal(call.response.version, 3);
    json_decref(call.body);
    change.options = SLICE("{\"Size\":\"S\"}");
    change.has_options = true;
    MUST(409, call_write(shop, &call, variant_update, &change));
    assert_refused(&call, "VARIANT_EXISTS", NULL);
    struct variant_delete_input gone = {.id = id, .variant_id = large};
    MUST(204, call_write(shop, &call, variant_delete, &gone));
    MUST(404, call_write(shop, &call, variant_delete, &gone));
    assert_refused(&call, "VARIANT_NOT_FOUND", NULL);
    MUST(200, get(shop, &call, id, false));
    assert_int_equal(int_at(&call, "price.amount"), 4900);
    assert_int_equal(json_array_size(at(&call, "variants")), 2);
    json_decref(call.body);
    assert_truths(shop);
}

/* ---- deleting ---- */

static void test_a_deleted_product_frees_its_names(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    struct product_delete_input gone = {.id = id};
    MUST(204, call_write(shop, &call, product_delete, &gone));
    MUST(404, get(shop, &call, id, false));
    json_decref(call.body);
    MUST(404, get(shop, &call, id, true));
    json_decref(call.body);
    assert_truths(shop);
    (void)make_shirt(shop); /* the same slug and SKUs */
    assert_truths(shop);
}

static void test_inactive_products_are_for_staff(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid id = make_shirt(shop);
    MUST(200,
         patch(shop, &call, id, (struct product_update_input){.is_active = false, .has_is_active = true}));
    json_decref(call.body);
    MUST(404, get(shop, &call, id, false));
    json_decref(call.body);
    MUST(200, get(shop, &call, id, true));
    json_decref(call.body);
    assert_truths(shop);
    MUST(200,
         patch(shop, &call, id, (struct product_update_input){.is_active = true, .has_is_active = true}));
    json_decref(call.body);
    MUST(200, get(shop, &call, id, false));
    json_decref(call.body);
    assert_truths(shop);
}

/* ---- stock ---- */

static void test_stock_adjustments(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct product_create_input input = simple("Cup", 1000, 5);
    MUST(201, call_write(shop, &call, product_create, &input));
    struct uuid id = id_at(&call, "id");
    struct uuid variant = id_at(&call, "variants[0].id");
    json_decref(call.body);
    shop_write(shop, &RESERVE, DB_ARGS(db_uuid(id), db_int(2)));
    struct stock_adjust_input adjust = {.id = id,
                                        .variant_id = variant,
                                        .delta = -3,
                                        .has_delta = true,
                                        .reason = SLICE("broken"),
                                        .has_reason = true};
    MUST(201, call_write(shop, &call, stock_adjust, &adjust));
    assert_int_equal(int_at(&call, "onHand"), 2);
    assert_int_equal(int_at(&call, "available"), 0);
    json_decref(call.body);
    adjust.delta = -1;
    MUST(409, call_write(shop, &call, stock_adjust, &adjust));
    assert_refused(&call, "INSUFFICIENT_STOCK", NULL);
    adjust.on_hand = 9;
    adjust.has_on_hand = true;
    MUST(400, call_write(shop, &call, stock_adjust, &adjust));
    assert_refused(&call, "VALIDATION_ERROR", "onHand");
    adjust.has_delta = false;
    MUST(201, call_write(shop, &call, stock_adjust, &adjust));
    json_decref(call.body);
    struct stock_movements_list_input list = {.id = id, .variant_id = variant, .limit = 2, .total = true};
    MUST(200, call_read(shop, &call, stock_movements_list, &list, true));
    assert_int_equal(json_array_size(call.body), 2);
    assert_int_equal(int_at(&call, "[0].delta"), 7);
    assert_int_equal(int_at(&call, "[1].delta"), -3);
    assert_string_equal(text_at(&call, "[1].reason"), "broken");
    assert_int_equal(call.response.pagination.total, 3);
    json_decref(call.body);
    list.cursor = call.response.pagination.next_cursor;
    list.has_cursor = true;
    MUST(200, call_read(shop, &call, stock_movements_list, &list, true));
    assert_int_equal(json_array_size(call.body), 1);
    assert_string_equal(text_at(&call, "[0].kind"), "initial");
    assert_true(slice_is_absent(call.response.pagination.next_cursor));
    json_decref(call.body);
    assert_truths(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_simple_product, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_amounts_must_be_in_the_shops_currency, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_options_must_fit, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_members_of_a_single_variant, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_the_whole_list_of_variants, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_variants_only_change_places, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_words_follow_an_edit, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_options_change_under_their_variants, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_stock_does_not_fall_below_what_is_reserved, shop_open,
                                        shop_close),
        cmocka_unit_test_setup_teardown(test_versions, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_variants_one_by_one, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_deleted_product_frees_its_names, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_inactive_products_are_for_staff, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_stock_adjustments, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
