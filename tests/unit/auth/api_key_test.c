/* Keys: their form, what makes one good, and what is remembered of one. */
#include "auth/api_key.h"

#include "auth/fixture.h"

#include "base/buf.h"
#include "base/check.h"

#define START INT64_C(1800000000000)

DB_STATEMENT(PLAN_MAKE) = {
    .sql =
        "INSERT INTO plans (id, name, rate_per_minute, burst, monthly_quota, quota_binds, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    .params = {DB_UUID, DB_TEXT, DB_INT, DB_INT, DB_INT, DB_TEXT, DB_TIME},
};
DB_STATEMENT(KEY_MAKE) = {
    .sql =
        "INSERT INTO api_keys (id, kind, name, plan_id, scopes, expires_at, created_by, created_at, updated_at)"
        " VALUES ($1, $2, 'k', $3, $4, $5, $1, $6, $6)",
    .params = {DB_UUID, DB_TEXT, DB_UUID, DB_TEXT, DB_TIME, DB_TIME},
};
DB_STATEMENT(SECRET_MAKE) = {
    .sql = "INSERT INTO api_key_secrets (hash, key_id, prefix, last4, created_at, valid_until)"
           " VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_BLOB, DB_UUID, DB_TEXT, DB_TEXT, DB_TIME, DB_TIME},
};
DB_STATEMENT(KEY_REVOKE) = {
    .sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TIME},
};

struct made {
    struct uuid id;
    struct uuid plan_id;
    struct api_key_secret secret;
};

struct wish {
    enum api_key_kind kind;
    const char *scopes;
    const char *quota_binds;
    int64_t expires_at_ms; /* 0: never */
    int64_t valid_until_ms;
};

static struct made make(struct fixture *f, struct wish wish)
{
    struct made made = {.id = uuid_v7(START), .plan_id = uuid_v7(START)};
    char name[UUID_TEXT_LEN];
    uuid_format(made.plan_id, name);
    api_key_make(&f->arena, wish.kind, &made.secret);
    fixture_write(f, &PLAN_MAKE,
                  DB_ARGS(db_uuid(made.plan_id), db_text((struct slice){name, UUID_TEXT_LEN}), db_int(60),
                          db_int(7), db_int(1000), db_text(slice_from(wish.quota_binds)), db_time(START)));
    fixture_write(f, &KEY_MAKE,
                  DB_ARGS(db_uuid(made.id), db_text(slice_from(api_key_kind_name(wish.kind))),
                          db_uuid(made.plan_id), db_text(slice_from(wish.scopes)),
                          db_if(wish.expires_at_ms != 0, db_time(wish.expires_at_ms)), db_time(START)));
    fixture_write(f, &SECRET_MAKE,
                  DB_ARGS(db_blob((struct slice){(const char *)made.secret.hash, SHA256_LEN}),
                          db_uuid(made.id), db_text(made.secret.prefix), db_text(made.secret.last4),
                          db_time(START), db_if(wish.valid_until_ms != 0, db_time(wish.valid_until_ms))));
    return made;
}

static void test_form(void **state)
{
    struct fixture *f = *state;
    struct api_key_secret one, other;
    enum api_key_kind kind;
    api_key_make(&f->arena, API_KEY_KIND_SECRET, &one);
    api_key_make(&f->arena, API_KEY_KIND_SECRET, &other);
    assert_false(slice_equals(one.text, other.text));
    assert_int_equal(one.text.len, API_KEY_TEXT_LEN);
    assert_true(slice_starts_with(one.text, one.prefix));
    assert_true(slice_equals(slice_skip(one.text, API_KEY_TEXT_LEN - 4), one.last4));
    assert_true(api_key_form(one.text, &kind) && kind == API_KEY_KIND_SECRET);
    uint8_t hash[SHA256_LEN];
    sha256(one.text, hash);
    assert_memory_equal(hash, one.hash, SHA256_LEN);
    api_key_make(&f->arena, API_KEY_KIND_PUBLISHABLE, &other);
    assert_true(api_key_form(other.text, &kind) && kind == API_KEY_KIND_PUBLISHABLE);
    /* one wrong byte anywhere */
    char text[API_KEY_TEXT_LEN];
    for (size_t i = 0; i < sizeof(text); i++) {
        memcpy(text, one.text.ptr, sizeof(text));
        text[i] = i % 2 == 0 ? '\0' : '=';
        assert_false(api_key_form((struct slice){text, sizeof(text)}, &kind));
    }
    assert_false(api_key_form((struct slice){one.text.ptr, API_KEY_TEXT_LEN - 1}, &kind));
    assert_false(api_key_form(SLICE(""), &kind));
    assert_false(api_key_form(SLICE_ABSENT, &kind));
}

static enum db_result check(struct fixture *f, const struct made *made, int64_t now_ms, struct api_key *key)
{
    return api_key_check(f->db, made->secret.hash, now_ms, key);
}

static void test_good_and_bad(void **state)
{
    struct fixture *f = *state;
    struct api_key key;
    struct made made =
        make(f, (struct wish){API_KEY_KIND_SECRET, "orders:read catalogue:write", "secret", 0, 0});
    assert_int_equal(check(f, &made, START, &key), DB_ROW);
    assert_true(uuid_equals(key.id, made.id) && uuid_equals(key.plan_id, made.plan_id));
    assert_int_equal(key.scopes, SCOPE_ORDERS_READ | SCOPE_CATALOGUE_WRITE);
    assert_int_equal(key.rate_per_minute, 60);
    assert_int_equal(key.burst, 7);
    assert_int_equal(key.monthly_quota, 1000);
    assert_int_equal(key.good_until_ms, 0);
    uint8_t other[SHA256_LEN];
    memcpy(other, made.secret.hash, sizeof(other));
    other[31] ^= 1;
    assert_int_equal(api_key_check(f->db, other, START, &key), DB_DONE);
    fixture_write(f, &KEY_REVOKE, DB_ARGS(db_uuid(made.id), db_time(START)));
    assert_int_equal(check(f, &made, START, &key), DB_DONE);

    made = make(f, (struct wish){API_KEY_KIND_SECRET, "", "secret", START + 2000, START + 1000});
    assert_int_equal(check(f, &made, START + 999, &key), DB_ROW);
    assert_int_equal(key.good_until_ms, START + 1000);
    assert_int_equal(check(f, &made, START + 1000, &key), DB_DONE);
    made = make(f, (struct wish){API_KEY_KIND_SECRET, "", "secret", START + 2000, 0});
    assert_int_equal(check(f, &made, START + 1999, &key), DB_ROW);
    assert_int_equal(check(f, &made, START + 2000, &key), DB_DONE);
}

/* Whatever stands in the table, a key gets no more than keys can have. */
static void test_scopes(void **state)
{
    struct fixture *f = *state;
    struct api_key key;
    struct made made = make(f, (struct wish){API_KEY_KIND_SECRET, "*", "secret", 0, 0});
    assert_int_equal(check(f, &made, START, &key), DB_ROW);
    assert_int_equal(key.scopes, API_KEY_SCOPES);
    made = make(f, (struct wish){API_KEY_KIND_SECRET, "settings:write customers:write staff:write orders:all",
                                 "secret", 0, 0});
    assert_int_equal(check(f, &made, START, &key), DB_ROW);
    assert_int_equal(key.scopes, SCOPE_NONE);
    made = make(f, (struct wish){API_KEY_KIND_PUBLISHABLE, "", "secret", 0, 0});
    assert_int_equal(check(f, &made, START, &key), DB_ROW);
    assert_int_equal(key.scopes, SCOPE_NONE);
    assert_int_equal(key.monthly_quota, 0);
    made = make(f, (struct wish){API_KEY_KIND_PUBLISHABLE, "", "all", 0, 0});
    assert_int_equal(check(f, &made, START, &key), DB_ROW);
    assert_int_equal(key.monthly_quota, 1000);
}

static struct slice tag_of(struct fixture *f, const char *kind, struct uuid id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    return arena_format(&f->arena, "%s:%.*s", kind, UUID_TEXT_LEN, text);
}

/* Remembered until its tag or its plan's is dropped, or it ends; what could not be found is not. */
static void test_remembered(void **state)
{
    struct fixture *f = *state;
    struct cache *cache = cache_new((size_t)1 << 20);
    struct api_key key, again;
    struct made made = make(f, (struct wish){API_KEY_KIND_SECRET, "orders:read", "secret", START + 60000, 0});
    const uint8_t *hash = made.secret.hash;
    assert_false(api_key_remembered(cache, &f->arena, hash, START, &key));
    assert_int_equal(api_key_check_cached(cache, f->db, &f->arena, hash, START, &key), DB_ROW);
    assert_true(api_key_remembered(cache, &f->arena, hash, START, &again));
    assert_true(uuid_equals(again.id, key.id) && uuid_equals(again.plan_id, key.plan_id));
    assert_int_equal(again.kind, key.kind);
    assert_int_equal(again.scopes, key.scopes);
    assert_int_equal(again.good_until_ms, key.good_until_ms);
    assert_int_equal(again.rate_per_minute, key.rate_per_minute);
    assert_int_equal(again.burst, key.burst);
    assert_int_equal(again.monthly_quota, key.monthly_quota);
    assert_false(api_key_remembered(cache, &f->arena, hash, START + 60000, &again));

    fixture_write(f, &KEY_REVOKE, DB_ARGS(db_uuid(made.id), db_time(START)));
    cache_drop_tag(cache, tag_of(f, "api_key", made.id));
    assert_false(api_key_remembered(cache, &f->arena, hash, START, &again));
    assert_int_equal(api_key_check_cached(cache, f->db, &f->arena, hash, START, &key), DB_DONE);
    assert_false(api_key_remembered(cache, &f->arena, hash, START, &again));

    made = make(f, (struct wish){API_KEY_KIND_SECRET, "", "secret", 0, 0});
    assert_int_equal(api_key_check_here(cache, f->db, &f->arena, made.secret.hash, START, &key), DB_ROW);
    assert_true(api_key_remembered(cache, &f->arena, made.secret.hash, START, &again));
    cache_drop_tag(cache, tag_of(f, "plan", made.plan_id));
    assert_false(api_key_remembered(cache, &f->arena, made.secret.hash, START, &again));
    assert_int_equal(api_key_check_here(NULL, f->db, &f->arena, made.secret.hash, START, &key), DB_ROW);
    cache_free(cache);
}

/* What nobody wrote is not believed. */
static void test_garbage_in_the_cache(void **state)
{
    struct fixture *f = *state;
    struct cache *cache = cache_new((size_t)1 << 20);
    struct made made = make(f, (struct wish){API_KEY_KIND_SECRET, "orders:read", "secret", 0, 0});
    struct api_key key;
    char id[UUID_TEXT_LEN];
    uuid_format(made.id, id);
    static const char *const GARBAGE[] = {"",
                                          "1",
                                          "2 %s %s secret 0 1 1 1 ",
                                          "1 %s secret 0 1 1 1 ",
                                          "1 %s %s admin 0 1 1 1 ",
                                          "1 %s %s secret 0 1 1 ",
                                          "1 %s %s secret 0 1 x 1 ",
                                          "1 %s %s secret 0 1 1 1",
                                          "1 not-an-id %s secret 0 1 1 1 "};
    struct buf cache_key;
    buf_init(&cache_key, &f->arena);
    buf_append(&cache_key, SLICE("api_key_hash:"));
    for (size_t i = 0; i < SHA256_LEN; i++)
        buf_format(&cache_key, "%02x", made.secret.hash[i]);
    for (size_t i = 0; i < COUNT_OF(GARBAGE); i++) {
        struct buf value;
        buf_init(&value, &f->arena);
        for (const char *at = GARBAGE[i]; *at != '\0'; at++) {
            if (at[0] == '%') {
                buf_append(&value, (struct slice){id, UUID_TEXT_LEN});
                at++;
            } else {
                buf_append_char(&value, *at);
            }
        }
        cache_put(cache, cache_ticket(cache), buf_slice(&cache_key), buf_slice(&value), NULL, 0, 60);
        if (api_key_remembered(cache, &f->arena, made.secret.hash, START, &key))
            fail_msg("%s was believed", GARBAGE[i]);
        assert_int_equal(api_key_check_cached(cache, f->db, &f->arena, made.secret.hash, START, &key),
                         DB_ROW);
        assert_int_equal(key.scopes, SCOPE_ORDERS_READ);
        cache_flush(cache);
    }
    cache_free(cache);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(test_form),       TEST(test_good_and_bad),         TEST(test_scopes),
        TEST(test_remembered), TEST(test_garbage_in_the_cache),
    };
    crypto_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
