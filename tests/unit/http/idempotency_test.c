/* The records of idempotent requests: new, replayed, reused, expired, raced, purged. */
#include "http/fixture.h"

static struct request request_of(struct fixture *f, uint8_t scope, uint8_t body, int64_t now_ms)
{
    struct request request = {.arena = &f->arena, .now_ms = now_ms, .idempotency = {.is_present = true}};
    memset(request.idempotency.scope, scope, SHA256_LEN);
    memset(request.idempotency.body, body, SHA256_LEN);
    return request;
}

struct store_call {
    struct request *request;
    struct idempotency_record record;
};

static enum db_result store_run(struct db *db, void *arg)
{
    struct store_call *call = arg;
    return idempotency_store(call->request, db, &call->record);
}

static enum db_result store(struct fixture *f, struct request *request, struct idempotency_record record)
{
    struct store_call call = {request, record};
    return db_transaction(f->db, store_run, &call);
}

static enum idempotency_state find(struct fixture *f, struct request *request,
                                   struct idempotency_record *record)
{
    enum idempotency_state state;
    assert_int_equal(idempotency_find(request, f->db, &state, record), DB_DONE);
    return state;
}

static void test_states(void **state)
{
    struct fixture *f = *state;
    int64_t now = 1800000000000;
    struct request request = request_of(f, 1, 1, now);
    struct request other_body = request_of(f, 1, 2, now);
    struct request other_scope = request_of(f, 2, 1, now);
    struct idempotency_record record;
    assert_int_equal(find(f, &request, &record), IDEMPOTENCY_NEW);
    assert_int_equal(
        store(f, &request, (struct idempotency_record){.status = 201, .body = SLICE("{\"a\":1}")}), DB_DONE);
    assert_int_equal(find(f, &request, &record), IDEMPOTENCY_REPLAY);
    assert_int_equal(record.status, 201);
    assert_true(slice_is(record.body, "{\"a\":1}"));
    assert_true(uuid_is_nil(record.order_id));
    assert_int_equal(find(f, &other_body, &record), IDEMPOTENCY_OTHER);
    assert_int_equal(find(f, &other_scope, &record), IDEMPOTENCY_NEW);
    /* an order in place of a body */
    struct uuid order = uuid_v7(now);
    assert_int_equal(store(f, &other_scope, (struct idempotency_record){.status = 201, .order_id = order}),
                     DB_DONE);
    assert_int_equal(find(f, &other_scope, &record), IDEMPOTENCY_REPLAY);
    assert_true(slice_is_absent(record.body));
    assert_true(uuid_equals(record.order_id, order));
    /* the first one stays */
    assert_int_equal(store(f, &other_body, (struct idempotency_record){.status = 200, .body = SLICE("{}")}),
                     DB_CONFLICT);
    assert_int_equal(find(f, &request, &record), IDEMPOTENCY_REPLAY);
    assert_int_equal(record.status, 201);
}

static void test_expiry(void **state)
{
    struct fixture *f = *state;
    int64_t born = 1800000000000;
    struct request request = request_of(f, 1, 1, born);
    struct idempotency_record record;
    assert_int_equal(store(f, &request, (struct idempotency_record){.status = 201, .body = SLICE("old")}),
                     DB_DONE);
    struct request last = request_of(f, 1, 2, born + IDEMPOTENCY_KEEP_MS - 1);
    assert_int_equal(find(f, &last, &record), IDEMPOTENCY_OTHER);
    assert_int_equal(store(f, &last, (struct idempotency_record){.status = 200, .body = SLICE("new")}),
                     DB_CONFLICT);
    /* past its time it is gone, and gives way, though the purge has not met it */
    struct request late = request_of(f, 1, 2, born + IDEMPOTENCY_KEEP_MS);
    assert_int_equal(find(f, &late, &record), IDEMPOTENCY_NEW);
    assert_int_equal(store(f, &late, (struct idempotency_record){.status = 200, .body = SLICE("new")}),
                     DB_DONE);
    assert_int_equal(find(f, &late, &record), IDEMPOTENCY_REPLAY);
    assert_true(slice_is(record.body, "new"));
}

struct purge_call {
    int64_t now_ms;
    int64_t limit;
    int64_t deleted;
};

static enum db_result purge_run(struct db *db, void *arg)
{
    struct purge_call *call = arg;
    return idempotency_purge(db, call->now_ms, call->limit, &call->deleted);
}

static int64_t purge(struct fixture *f, int64_t now_ms, int64_t limit)
{
    struct purge_call call = {now_ms, limit, -1};
    assert_int_equal(db_transaction(f->db, purge_run, &call), DB_DONE);
    return call.deleted;
}

static void test_purge(void **state)
{
    struct fixture *f = *state;
    int64_t born = 1800000000000;
    for (uint8_t i = 0; i < 5; i++) {
        struct request request = request_of(f, i, 1, born + i);
        assert_int_equal(store(f, &request, (struct idempotency_record){.status = 200}), DB_DONE);
    }
    int64_t now = born + IDEMPOTENCY_KEEP_MS;
    assert_int_equal(purge(f, now - 1, 10), 0);
    assert_int_equal(purge(f, now + 3, 2), 2);
    assert_int_equal(purge(f, now + 3, 10), 2);
    assert_int_equal(purge(f, now + 3, 10), 0);
    struct request youngest = request_of(f, 4, 1, now + 3);
    struct idempotency_record record;
    assert_int_equal(find(f, &youngest, &record), IDEMPOTENCY_REPLAY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {TEST(test_states), TEST(test_expiry), TEST(test_purge)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
