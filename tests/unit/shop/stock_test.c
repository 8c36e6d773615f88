/* Stock: what is reserved, given back and shipped adds up, and the last unit is sold once. */
#include "shop/stock.h"

#include "fixture.h"

#include <pthread.h>

DB_STATEMENT(LEVEL) = {
    .sql = "SELECT on_hand * 1000 + reserved FROM variant_stock WHERE variant_id = $1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

/* On hand and reserved as one figure: 5003 is five in the house, three of them promised. */
static int64_t level(struct shop *shop, struct uuid variant_id)
{
    int64_t value = -1;
    assert_int_equal(db_one_int(shop->db, &LEVEL, DB_ARGS(db_uuid(variant_id)), &value), DB_ROW);
    return value;
}

enum move { RESERVE, RELEASE, SHIP };

struct step {
    enum move move;
    struct stock_line lines[3];
    size_t count;
    const struct stock_line *short_line;
    struct uuid order_id;
};

static enum db_result step_run(struct db *db, void *arg)
{
    struct step *step = arg;
    step->short_line = NULL;
    switch (step->move) {
    case RESERVE:
        return stock_reserve(db, step->lines, step->count, &step->short_line);
    case RELEASE:
        return stock_release(db, step->lines, step->count);
    case SHIP:
        return stock_ship(db, step->lines, step->count, step->order_id, (struct uuid){{0}}, 1000,
                          &step->short_line);
    }
    return DB_ERROR;
}

static enum db_result move(struct shop *shop, enum move kind, struct uuid product, struct uuid variant,
                           int64_t quantity)
{
    struct step step = {.move = kind, .lines = {{product, variant, quantity}}, .count = 1};
    return db_transaction(shop->db, step_run, &step);
}

static void test_lines_are_summed_and_sorted(void **state)
{
    (void)state;
    struct uuid p = {{1}}, a = {{2}}, b = {{3}};
    struct stock_line lines[] = {{p, b, 2}, {p, a, 1}, {p, b, 3}};
    assert_int_equal(stock_lines_normalize(lines, 3), 2);
    assert_true(uuid_equals(lines[0].variant_id, a));
    assert_int_equal(lines[0].quantity, 1);
    assert_true(uuid_equals(lines[1].variant_id, b));
    assert_int_equal(lines[1].quantity, 5);
    assert_int_equal(stock_lines_normalize(lines, 0), 0);
}

static void test_reserve_release_ship(void **state)
{
    struct shop *shop = *state;
    struct uuid p = uuid_v4(), v = uuid_v4();
    shop_stock(shop, p, v, 5, true, false);
    assert_int_equal(move(shop, RESERVE, p, v, 3), DB_DONE);
    assert_int_equal(level(shop, v), 5003);
    assert_int_equal(move(shop, RESERVE, p, v, 3), DB_CONFLICT);
    assert_int_equal(level(shop, v), 5003);
    assert_int_equal(move(shop, RELEASE, p, v, 1), DB_DONE);
    assert_int_equal(move(shop, SHIP, p, v, 2), DB_DONE);
    assert_int_equal(level(shop, v), 3000);
    assert_int_equal(move(shop, SHIP, p, v, 1), DB_CONFLICT); /* nothing of it is reserved */
    assert_int_equal(move(shop, RELEASE, p, v, 1), DB_CONFLICT);
    assert_int_equal(level(shop, v), 3000);
}

static void test_a_short_line_takes_nothing_of_the_others(void **state)
{
    struct shop *shop = *state;
    struct uuid p = uuid_v4(), plenty = {{1}}, scarce = {{2}};
    shop_stock(shop, p, plenty, 10, true, false);
    shop_stock(shop, p, scarce, 1, true, false);
    struct step step = {.move = RESERVE, .lines = {{p, plenty, 4}, {p, scarce, 2}}, .count = 2};
    assert_int_equal(db_transaction(shop->db, step_run, &step), DB_CONFLICT);
    assert_ptr_equal(step.short_line, &step.lines[1]);
    assert_int_equal(level(shop, plenty), 10000);
    assert_int_equal(level(shop, scarce), 1000);
}

static void test_untracked_and_backordered(void **state)
{
    struct shop *shop = *state;
    struct uuid p = uuid_v4(), untracked = uuid_v4(), backorder = uuid_v4();
    shop_stock(shop, p, untracked, 0, false, false);
    shop_stock(shop, p, backorder, 1, true, true);
    assert_int_equal(move(shop, RESERVE, p, untracked, 7), DB_DONE);
    assert_int_equal(move(shop, SHIP, p, untracked, 7), DB_DONE);
    assert_int_equal(level(shop, untracked), 0);
    assert_int_equal(move(shop, RESERVE, p, backorder, 3), DB_DONE);
    assert_int_equal(level(shop, backorder), 1003);
    assert_int_equal(move(shop, SHIP, p, backorder, 3), DB_CONFLICT); /* two are not in the house yet */
    assert_int_equal(move(shop, SHIP, p, backorder, 1), DB_DONE);
    assert_int_equal(level(shop, backorder), 2);
}

DB_STATEMENT(MOVEMENTS) = {
    .sql =
        "SELECT quantity * 1000 + on_hand_after FROM stock_movements WHERE variant_id = $1 ORDER BY id DESC LIMIT 1",
    .params = {DB_UUID},
    .columns = {DB_INT},
};

struct correction {
    struct uuid product, variant;
    struct stock_change change;
    struct stock_level level;
    enum db_result read;
    bool is_short;
};

static enum db_result correction_run(struct db *db, void *arg)
{
    struct correction *one = arg;
    one->read = stock_read(db, one->product, one->variant, &one->level);
    if (one->read != DB_ROW)
        return one->read;
    return stock_set_level(db, one->product, one->variant, &one->change, clock_now_ms(), &one->level,
                           &one->is_short);
}

static void test_corrections(void **state)
{
    struct shop *shop = *state;
    struct uuid p = uuid_v4(), v = uuid_v4();
    shop_stock(shop, p, v, 5, true, false);
    assert_int_equal(move(shop, RESERVE, p, v, 3), DB_DONE);
    static const struct {
        bool is_absolute;
        int64_t value;
        enum db_result result;
        int64_t on_hand;
    } CASES[] = {
        {false, 4, DB_DONE, 9},      {false, -6, DB_DONE, 3},
        {false, -1, DB_CONFLICT, 3}, {true, 2, DB_CONFLICT, 3},
        {true, 3, DB_DONE, 3},       {true, -1, DB_CONFLICT, 3},
        {true, 1000, DB_DONE, 1000}, {false, INT64_MAX, DB_CONFLICT, 1000},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct correction one = {.product = p, .variant = v};
        one.change = (struct stock_change){.has_delta = !CASES[i].is_absolute,
                                           .has_on_hand = CASES[i].is_absolute,
                                           .delta = CASES[i].value,
                                           .on_hand = CASES[i].value};
        assert_int_equal(db_transaction(shop->db, correction_run, &one), CASES[i].result);
        assert_int_equal(one.is_short, CASES[i].result == DB_CONFLICT);
        assert_int_equal(one.level.on_hand, CASES[i].on_hand);
        assert_int_equal(level(shop, v), CASES[i].on_hand * 1000 + 3);
    }
    int64_t newest = 0;
    assert_int_equal(db_one_int(shop->db, &MOVEMENTS, DB_ARGS(db_uuid(v)), &newest), DB_ROW);
    assert_int_equal(newest, 997 * 1000 + 1000); /* 997 came in, 1000 are there */
    struct correction unknown = {.product = p, .variant = uuid_v4()};
    assert_int_equal(db_transaction(shop->db, correction_run, &unknown), DB_DONE);
    assert_int_equal(unknown.read, DB_DONE);
}

/* ---- many at once ---- */

#define RACERS 16
#define ATTEMPTS 20
#define RACE_STOCK 50

struct racer {
    struct shop *shop;
    struct uuid p, v;
    int sold;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct db *db = store_connect(racer->shop->store);
    for (int i = 0; i < ATTEMPTS; i++) {
        struct step step = {.move = RESERVE, .lines = {{racer->p, racer->v, 1}}, .count = 1};
        racer->sold += db_transaction(db, step_run, &step) == DB_DONE;
    }
    store_disconnect(db);
    return NULL;
}

static void test_racers_sell_what_there_is_and_no_more(void **state)
{
    struct shop *shop = *state;
    struct uuid p = uuid_v4(), v = uuid_v4();
    shop_stock(shop, p, v, RACE_STOCK, true, false);
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    int sold = 0;
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){shop, p, v, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        sold += racers[i].sold;
    }
    assert_int_equal(sold, RACE_STOCK);
    assert_int_equal(level(shop, v), RACE_STOCK * 1000 + RACE_STOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_summed_and_sorted),
        cmocka_unit_test_setup_teardown(test_reserve_release_ship, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_a_short_line_takes_nothing_of_the_others, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_untracked_and_backordered, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_corrections, shop_open, shop_close),
        cmocka_unit_test_setup_teardown(test_racers_sell_what_there_is_and_no_more, shop_open, shop_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
