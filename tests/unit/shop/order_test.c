/* Orders: every transition of every status, changes decided on an old version, the history, replays, and a
 * payment racing the expiry of its order. */
#include "shop/order.h"

#include "fixture.h"
#include "shop/cart.h"

#include <pthread.h>

/* ---- the tables ---- */

/* A row for what is, a column for what may follow; in the order of the contract. */
static void test_order_status_table(void **state)
{
    (void)state;
    /* pending confirmed processing shipped delivered cancelled refunded partially_refunded */
    static const char *const ALLOWED[] = {
        ".x...x..", /* pending */
        "..xx.x..", /* confirmed */
        "...x.x..", /* processing */
        "....x.xx", /* shipped */
        "......xx", /* delivered */
        "........", /* cancelled */
        "........", /* refunded */
        "......x.", /* partially_refunded */
    };
    for (int from = 0; from < 8; from++)
        for (int to = 0; to < 8; to++)
            assert_int_equal(order_status_allows((enum order_status)from, (enum order_status)to),
                             ALLOWED[from][to] == 'x');
}

static void test_payment_status_table(void **state)
{
    (void)state;
    /* pending paid partially_paid failed cancelled refunded partially_refunded */
    static const char *const ALLOWED[] = {
        ".xxxx..", /* pending */
        ".....xx", /* paid */
        ".x...xx", /* partially_paid */
        ".....x.", /* failed: a charge that came too late is given back */
        ".......", /* cancelled */
        ".......", /* refunded */
        ".....x.", /* partially_refunded */
    };
    for (int from = 0; from < 7; from++)
        for (int to = 0; to < 7; to++)
            assert_int_equal(payment_status_allows((enum payment_status)from, (enum payment_status)to),
                             ALLOWED[from][to] == 'x');
}

/* ---- an order ---- */

static const struct actor STAFF = {.kind = "staff"};

struct placed {
    struct order order;
    struct arena *arena;
    struct uuid product_id, variant_id;
};

static enum db_result place(struct db *db, void *arg)
{
    struct placed *placed = arg;
    struct stock_line line = {placed->product_id, placed->variant_id, 2};
    const struct stock_line *short_line = NULL;
    enum db_result result = stock_reserve(db, &line, 1, &short_line);
    return result == DB_DONE ? order_insert(db, &placed->order, SLICE("a@example.com")) : result;
}

/* An unpaid order of two pieces of a variant that has five. */
static void order_make(struct shop *shop, struct placed *placed)
{
    char product[UUID_TEXT_LEN];
    char variant[UUID_TEXT_LEN];
    char number[ORDER_NUMBER_LEN];
    *placed = (struct placed){.arena = &shop->arena, .product_id = uuid_v4(), .variant_id = uuid_v4()};
    shop_stock(shop, placed->product_id, placed->variant_id, 5, true, false);
    uuid_format(placed->product_id, product);
    uuid_format(placed->variant_id, variant);
    order_number_make(number);
    placed->order = (struct order){
        .id = uuid_v7(1000),
        .order_number = arena_copy(&shop->arena, (struct slice){number, sizeof(number)}),
        .cart_id = uuid_v4(),
        .email = SLICE("a@example.com"),
        .currency = SLICE("USD"),
        .subtotal_minor = 1000,
        .shipping_minor = 999,
        .tax_minor = 88,
        .total_minor = 2087,
        .items =
            arena_format(&shop->arena, "[{\"productId\":\"%.*s\",\"variantId\":\"%.*s\",\"quantity\":2}]",
                         UUID_TEXT_LEN, product, UUID_TEXT_LEN, variant),
        .shipping_address = SLICE("{}"),
        .shipping_method = SLICE("standard"),
        .payment_method = SLICE("manual"),
        .hold_minutes = 1,
        .hold_expires_at_ms = 61000,
        .version = 1,
        .created_at_ms = 1000,
        .updated_at_ms = 1000,
    };
    assert_int_equal(db_transaction(shop->db, place, placed), DB_DONE);
}

DB_STATEMENT(RESERVED) = {
    .sql = "SELECT reserved FROM variant_stock WHERE variant_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

static int64_t reserved(struct shop *shop, const struct placed *placed)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(shop->db, &RESERVED, DB_ARGS(db_uuid(placed->variant_id)), &value), DB_ROW);
    return value;
}

struct change {
    struct order *order;
    struct order next;
};

static enum db_result change_run(struct db *db, void *arg)
{
    struct change *change = arg;
    return order_change(db, change->order, &change->next, STAFF, SLICE("because"), 2000);
}

static void test_a_change_is_versioned_and_told(void **state)
{
    struct shop *shop = *state;
    struct placed placed;
    order_make(shop, &placed);
    struct order stale = placed.order;
    struct change confirm = {.order = &placed.order, .next = placed.order};
    confirm.next.status = ORDER_STATUS_CONFIRMED;
    confirm.next.hold_expires_at_ms = 0;
    assert_int_equal(db_transaction(shop->db, change_run, &confirm), DB_DONE);
    assert_int_equal(placed.order.version, 2);
    assert_int_equal(placed.order.status, ORDER_STATUS_CONFIRMED);

    struct change late = {.order = &stale, .next = stale};
    late.next.status = ORDER_STATUS_CANCELLED;
    assert_int_equal(db_transaction(shop->db, change_run, &late), DB_CONFLICT);
    struct change forbidden = {.order = &placed.order, .next = placed.order};
    forbidden.next.status = ORDER_STATUS_DELIVERED;
    assert_int_equal(db_transaction(shop->db, change_run, &forbidden), DB_CONFLICT);

    struct order now;
    assert_int_equal(order_read(shop->db, &shop->arena, placed.order.id, &now), DB_ROW);
    assert_int_equal(now.status, ORDER_STATUS_CONFIRMED);
    assert_int_equal(now.version, 2);
    assert_int_equal(now.hold_expires_at_ms, 0);
    struct buf text;
    struct json_writer json;
    buf_init(&text, &shop->arena);
    json_init(&json, &text);
    assert_int_equal(order_write(&json, shop->db, &now, ORDER_VIEW_STAFF), DB_DONE);
    const char *told = strstr(arena_copy(&shop->arena, buf_slice(&text)).ptr, "\"history\":");
    assert_non_null(told);
    assert_non_null(strstr(
        told,
        "{\"at\":\"1970-01-01T00:00:01.000Z\",\"type\":\"order_status\",\"from\":null,\"to\":\"pending\","
        "\"note\":null,\"actor\":\"customer\"},{\"at\":\"1970-01-01T00:00:02.000Z\",\"type\":"
        "\"order_status\",\"from\":\"pending\",\"to\":\"confirmed\",\"note\":\"because\","
        "\"actor\":\"staff\"}]"));
}

static struct slice as_placed(struct shop *shop, const struct order *order)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, &shop->arena);
    json_init(&json, &text);
    order_write_as_placed(&json, order);
    return arena_copy(&shop->arena, buf_slice(&text));
}

static void test_a_replay_is_the_same_whatever_came_after(void **state)
{
    struct shop *shop = *state;
    struct placed placed;
    order_make(shop, &placed);
    struct slice at_birth = as_placed(shop, &placed.order);
    struct change change = {.order = &placed.order, .next = placed.order};
    change.next.status = ORDER_STATUS_CONFIRMED;
    change.next.payment_status = PAYMENT_STATUS_PAID;
    change.next.paid_minor = 2087;
    change.next.hold_expires_at_ms = 0;
    assert_int_equal(db_transaction(shop->db, change_run, &change), DB_DONE);
    struct order now;
    assert_int_equal(order_read(shop->db, &shop->arena, placed.order.id, &now), DB_ROW);
    assert_int_equal(now.payment_status, PAYMENT_STATUS_PAID);
    assert_true(slice_equals(as_placed(shop, &now), at_birth));
}

/* ---- paying against the clock ---- */

struct race {
    struct shop *shop;
    struct placed *placed;
    pthread_barrier_t *start;
    enum db_result result;
    bool is_payer;
};

static enum db_result pay_run(struct db *db, void *arg)
{
    struct placed *placed = arg;
    struct order order;
    enum db_result result = order_read(db, placed->arena, placed->order.id, &order);
    if (result != DB_ROW)
        return DB_ERROR;
    return payment_credit(db, placed->arena, &order, order.total_minor, STAFF, SLICE_ABSENT, 70000);
}

static enum db_result cancel_run(struct db *db, void *arg)
{
    struct placed *placed = arg;
    struct order order;
    enum db_result result = order_read(db, placed->arena, placed->order.id, &order);
    if (result != DB_ROW)
        return DB_ERROR;
    if (order.payment_status != PAYMENT_STATUS_PENDING)
        return DB_CONFLICT;
    return order_cancel_now(db, placed->arena, &order, (struct actor){.kind = "system"}, SLICE_ABSENT, 70000);
}

static void *race_run(void *arg)
{
    struct race *race = arg;
    struct db *db = store_connect(race->shop->store);
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)1 << 20));
    struct placed mine = *race->placed;
    mine.arena = &arena;
    pthread_barrier_wait(race->start);
    race->result = db_transaction(db, race->is_payer ? pay_run : cancel_run, &mine);
    arena_release(&arena);
    store_disconnect(db);
    return NULL;
}

static void test_paying_races_expiring(void **state)
{
    struct shop *shop = *state;
    for (int round = 0; round < 20; round++) {
        struct placed placed;
        order_make(shop, &placed);
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, 2);
        struct race payer = {.shop = shop, .placed = &placed, .start = &start, .is_payer = true};
        struct race expirer = {.shop = shop, .placed = &placed, .start = &start};
        pthread_t threads[2];
        assert_int_equal(pthread_create(&threads[0], NULL, race_run, &payer), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, race_run, &expirer), 0);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        pthread_barrier_destroy(&start);
        struct order now;
        assert_int_equal(order_read(shop->db, &shop->arena, placed.order.id, &now), DB_ROW);
        if (payer.result == DB_DONE) {
            assert_int_equal(expirer.result, DB_CONFLICT);
            assert_int_equal(now.status, ORDER_STATUS_PENDING);
            assert_int_equal(now.payment_status, PAYMENT_STATUS_PAID);
            assert_int_equal(now.paid_minor, 2087);
            assert_int_equal(reserved(shop, &placed), 2);
        } else {
            assert_int_equal(payer.result, DB_CONFLICT);
            assert_int_equal(expirer.result, DB_DONE);
            assert_int_equal(now.status, ORDER_STATUS_CANCELLED);
            assert_int_equal(now.payment_status, PAYMENT_STATUS_CANCELLED);
            assert_int_equal(now.paid_minor, 0);
            assert_int_equal(reserved(shop, &placed), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_status_table),
        cmocka_unit_test(test_payment_status_table),
        cmocka_unit_test_setup_teardown(test_a_change_is_versioned_and_told, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_replay_is_the_same_whatever_came_after, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_paying_races_expiring, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
