/* The tree of categories, and that listings and counts follow whatever is done to it and to the products in
 * it. */
#include "catalogue.h"

static struct uuid make(struct shop *shop, const char *name, struct uuid parent_id)
{
    struct call call;
    struct category_create_input input = {
        .name = slice_from(name), .parent_id = parent_id, .has_parent_id = !uuid_is_nil(parent_id)};
    MUST(201, call_write(shop, &call, category_create, &input));
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    return id;
}

static enum http_status move(struct shop *shop, struct call *call, struct uuid id, struct uuid parent_id)
{
    struct category_update_input *input = ARENA_NEW(&shop->arena, struct category_update_input);
    *input = (struct category_update_input){
        .id = id, .parent_id = parent_id, .has_parent_id = true, .parent_id_is_null = uuid_is_nil(parent_id)};
    return call_write(shop, call, category_update, input);
}

static struct uuid put(struct shop *shop, struct uuid category_id)
{
    struct call call;
    struct product_create_input input = {.name = SLICE("Thing"),
                                         .price = usd(100),
                                         .category_id = category_id,
                                         .has_category_id = !uuid_is_nil(category_id)};
    MUST(201, call_write(shop, &call, product_create, &input));
    struct uuid id = id_at(&call, "id");
    json_decref(call.body);
    return id;
}

static int64_t count_of(struct shop *shop, struct uuid id)
{
    static struct call call;
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    struct category_get_input input = {.id = {text, sizeof(text)}};
    MUST(200, call_read(shop, &call, category_get, &input, true));
    int64_t count = int_at(&call, "productCount");
    json_decref(call.body);
    return count;
}

static const struct uuid NONE;

static void test_a_move_takes_listings_along(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid old_root = make(shop, "Old", NONE);
    struct uuid middle = make(shop, "Middle", old_root);
    struct uuid leaf = make(shop, "Leaf", middle);
    struct uuid new_root = make(shop, "New", NONE);
    (void)put(shop, old_root);
    (void)put(shop, middle);
    (void)put(shop, leaf);
    (void)put(shop, leaf);
    assert_int_equal(count_of(shop, old_root), 4);
    MUST(200, move(shop, &call, middle, new_root));
    json_decref(call.body);
    assert_truths(shop);
    assert_int_equal(count_of(shop, old_root), 1);
    assert_int_equal(count_of(shop, new_root), 3);
    MUST(200, move(shop, &call, leaf, new_root)); /* within one root: it keeps its count */
    json_decref(call.body);
    assert_truths(shop);
    assert_int_equal(count_of(shop, new_root), 3);
    assert_int_equal(count_of(shop, middle), 1);
    MUST(200, move(shop, &call, leaf, NONE));
    json_decref(call.body);
    assert_truths(shop);
    assert_int_equal(count_of(shop, new_root), 1);
}

static void test_no_category_stands_below_itself(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid chain[CATEGORY_DEPTH_MAX];
    for (size_t i = 0; i < CATEGORY_DEPTH_MAX; i++)
        chain[i] = make(shop, "Link", i == 0 ? NONE : chain[i - 1]);
    for (size_t i = 0; i < CATEGORY_DEPTH_MAX; i++) {
        MUST(409, move(shop, &call, chain[0], chain[i]));
        assert_string_equal(text_at(&call, "code"), "CATEGORY_CYCLE");
        json_decref(call.body);
    }
    struct category_create_input deeper = {
        .name = SLICE("x"), .parent_id = chain[CATEGORY_DEPTH_MAX - 1], .has_parent_id = true};
    MUST(409, call_write(shop, &call, category_create, &deeper));
    assert_string_equal(text_at(&call, "code"), "LIMIT_REACHED");
    json_decref(call.body);
    struct uuid root = make(shop, "Root", NONE);
    MUST(409, move(shop, &call, chain[0], root)); /* its whole subtree would be one too deep */
    assert_string_equal(text_at(&call, "code"), "LIMIT_REACHED");
    json_decref(call.body);
    MUST(200, move(shop, &call, chain[1], root));
    json_decref(call.body);
    struct categories_list_input tree = {.view = CATEGORIES_LIST_VIEW_TREE, .limit = 20};
    MUST(200, call_read(shop, &call, categories_list, &tree,
                        false)); /* the deepest tree that there may be is written whole */
    assert_int_equal(json_array_size(call.body), 2);
    assert_non_null(at(
        &call,
        "[1].children[0].children[0].children[0].children[0].children[0].children[0].children[0].children"));
    json_decref(call.body);
}

DB_STATEMENT(PRETEND_COUNT) = {
    .sql = "UPDATE categories SET product_count = $2 WHERE id = $1",
    .params = {DB_UUID, DB_INT},
};

/* Other writes wait while a move rewrites listings: so many and no more, each level that is left or entered
 * counting. */
static void test_a_move_has_its_limit(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid root = make(shop, "Root", NONE);
    struct uuid child = make(shop, "Child", root);
    struct uuid other = make(shop, "Other", NONE);
    shop_write(shop, &PRETEND_COUNT, DB_ARGS(db_uuid(child), db_int(CATEGORY_MOVE_LISTINGS_MAX / 2 + 1)));
    MUST(409, move(shop, &call, child, other));
    assert_string_equal(text_at(&call, "code"), "LIMIT_REACHED");
    json_decref(call.body);
    shop_write(shop, &PRETEND_COUNT, DB_ARGS(db_uuid(root), db_int(CATEGORY_MOVE_LISTINGS_MAX)));
    MUST(200, move(shop, &call, child, NONE)); /* only one level is left */
    json_decref(call.body);
}

static void test_only_empty_categories_go(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid root = make(shop, "Root", NONE);
    struct uuid child = make(shop, "Child", root);
    struct category_delete_input gone = {.id = root};
    MUST(409, call_write(shop, &call, category_delete, &gone));
    json_decref(call.body);
    struct uuid product = put(shop, child);
    gone.id = child;
    MUST(409, call_write(shop, &call, category_delete, &gone));
    assert_string_equal(text_at(&call, "code"), "CATEGORY_NOT_EMPTY");
    json_decref(call.body);
    struct product_delete_input remove = {.id = product};
    MUST(204, call_write(shop, &call, product_delete, &remove));
    MUST(204, call_write(shop, &call, category_delete, &gone)); /* a deleted product does not hold it */
    gone.id = root;
    MUST(204, call_write(shop, &call, category_delete, &gone));
    assert_truths(shop);
}

static void test_inactive_ones_are_hidden_with_what_leads_to_them(void **state)
{
    struct shop *shop = *state;
    struct call call;
    struct uuid root = make(shop, "Root", NONE);
    struct uuid child = make(shop, "Child", root);
    struct category_update_input hide = {.id = root, .has_is_active = true};
    MUST(200, call_write(shop, &call, category_update, &hide));
    json_decref(call.body);
    struct categories_list_input tree = {.view = CATEGORIES_LIST_VIEW_TREE, .limit = 20};
    MUST(200, call_read(shop, &call, categories_list, &tree, false));
    assert_int_equal(json_array_size(call.body), 0);
    json_decref(call.body);
    char text[UUID_TEXT_LEN];
    uuid_format(child, text);
    struct category_get_input get = {.id = {text, sizeof(text)}};
    MUST(200, call_read(shop, &call, category_get, &get, false));
    assert_int_equal(json_array_size(at(&call, "path")), 0); /* the name of what is hidden does not show */
    json_decref(call.body);
    MUST(200, call_read(shop, &call, category_get, &get, true));
    assert_string_equal(text_at(&call, "path[0].name"), "Root");
    json_decref(call.body);
}

static void test_pages_of_categories(void **state)
{
    struct shop *shop = *state;
    for (int i = 0; i < 10; i++)
        (void)make(shop, "Same", NONE); /* alike in every key but the id */
    struct categories_list_input input = {.limit = 3};
    struct uuid seen[10];
    size_t count = 0;
    do {
        struct call call;
        MUST(200, call_read(shop, &call, categories_list, &input, false));
        for (size_t i = 0; i < json_array_size(call.body); i++) {
            char path[40];
            snprintf(path, sizeof(path), "[%zu].id", i);
            seen[count++] = id_at(&call, path);
        }
        json_decref(call.body);
        input.cursor = call.response.pagination.next_cursor;
        input.has_cursor = true;
    } while (!slice_is_absent(input.cursor));
    assert_int_equal(count, 10);
    for (size_t i = 1; i < count; i++)
        assert_true(uuid_compare(seen[i - 1], seen[i]) < 0);
}

/* ---- whatever is done, in whatever order ---- */

static uint32_t random_state;

static size_t pick(size_t count)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % count;
}

#define MANY 12

static void act_on_categories(struct shop *shop, struct uuid categories[MANY])
{
    struct call call;
    size_t which = pick(MANY);
    struct uuid other = pick(4) == 0 ? NONE : categories[pick(MANY)];
    if (uuid_is_nil(categories[which])) {
        struct category_create_input input = {
            .name = SLICE("C"), .parent_id = other, .has_parent_id = !uuid_is_nil(other)};
        if (call_write(shop, &call, category_create, &input) == 201)
            categories[which] = id_at(&call, "id");
    } else if (pick(4) == 0) {
        struct category_delete_input input = {.id = categories[which]};
        if (call_write(shop, &call, category_delete, &input) == 204)
            categories[which] = NONE;
    } else {
        (void)move(shop, &call, categories[which], other);
    }
    json_decref(call.body);
}

static void act_on_products(struct shop *shop, struct uuid products[MANY], const struct uuid categories[MANY])
{
    struct call call;
    size_t which = pick(MANY);
    struct uuid category = categories[pick(MANY)];
    if (uuid_is_nil(products[which])) {
        products[which] = put(shop, category);
        return;
    }
    struct product_update_input input = {.id = products[which]};
    switch (pick(5)) {
    case 0: {
        struct product_delete_input gone = {.id = products[which]};
        assert_int_equal(call_write(shop, &call, product_delete, &gone), 204);
        products[which] = NONE;
        break;
    }
    case 1:
        input.has_category_id = true;
        input.category_id = category;
        input.category_id_is_null = uuid_is_nil(category);
        assert_int_equal(call_write(shop, &call, product_update, &input), 200);
        break;
    case 2:
        input.has_is_active = true;
        input.is_active = pick(3) > 0;
        assert_int_equal(call_write(shop, &call, product_update, &input), 200);
        break;
    case 3:
        input.has_price = true;
        input.price = usd((int64_t)pick(1000));
        assert_int_equal(call_write(shop, &call, product_update, &input), 200);
        break;
    default:
        input.has_name = true;
        input.name = pick(2) ? SLICE("Other") : SLICE("Thing");
        assert_int_equal(call_write(shop, &call, product_update, &input), 200);
        break;
    }
    json_decref(call.body);
}

static void test_listings_follow_whatever_is_done(void **state)
{
    struct shop *shop = *state;
    struct uuid categories[MANY] = {0}, products[MANY] = {0};
    for (uint32_t seed = 1; seed <= 4; seed++) {
        random_state = seed;
        for (int step = 0; step < 150; step++) {
            if (pick(2))
                act_on_categories(shop, categories);
            else
                act_on_products(shop, products, categories);
            if (step % 10 == 9)
                assert_truths(shop);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_move_takes_listings_along, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_no_category_stands_below_itself, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_move_has_its_limit, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_only_empty_categories_go, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_inactive_ones_are_hidden_with_what_leads_to_them, shop_open,
                                        shop_close),
        cmocka_unit_test_setup_teardown(test_pages_of_categories, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_listings_follow_whatever_is_done, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
