/* The signing keys: first start, secrets, rotation with overlap, refreshing, deriving; and RSA by known
 * answers. */
#include "auth/forge.h"

#include <openssl/x509.h>
#include <pthread.h>

#define HOUR INT64_C(3600000)

DB_STATEMENT(COUNT_STATE) = {
    .sql = "SELECT COUNT(*) FROM signing_keys WHERE state = $1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};
DB_STATEMENT(SEALED_OF_STATE) = {
    .sql = "SELECT sealed_private, kid, public_jwk FROM signing_keys WHERE state = $1",
    .params = {DB_TEXT},
    .columns = {DB_BLOB, DB_TEXT, DB_JSON},
};
DB_STATEMENT(SWAP_SEALED) = {
    .sql = "UPDATE signing_keys SET sealed_private = $2 WHERE state = $1",
    .params = {DB_TEXT, DB_BLOB},
};
DB_STATEMENT(INSERT_RETIRED) = {
    .sql = "INSERT INTO signing_keys (kid, state, sealed_private, public_jwk, created_at, retired_at) "
           "VALUES ($1, 'retired', $2, '{}', $3, $3)",
    .params = {DB_TEXT, DB_BLOB, DB_TIME},
};
DB_STATEMENT(DELETE_ALL) = {
    .sql = "DELETE FROM signing_keys",
};
DB_STATEMENT(DELETE_STATE) = {
    .sql = "DELETE FROM signing_keys WHERE state = $1",
    .params = {DB_TEXT},
};

static int64_t count_of(struct fixture *fixture, const char *state)
{
    return fixture_int(fixture, &COUNT_STATE, DB_ARGS(db_text(slice_from(state))));
}

static struct slice sealed_of(struct fixture *fixture, const char *state, int column)
{
    struct db_rows *rows = db_query(fixture->db, &SEALED_OF_STATE, DB_ARGS(db_text(slice_from(state))));
    assert_int_equal(db_next(rows), DB_ROW);
    struct slice copy = db_copy_text(rows, column, &fixture->arena);
    db_close(rows);
    return copy;
}

static struct key_ring *ring_open(struct fixture *fixture)
{
    struct slice complaint = SLICE_ABSENT;
    struct key_ring *ring = key_ring_open(fixture->store, SECRET, &fixture->arena, &complaint);
    if (ring == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return ring;
}

static void rotate(struct fixture *fixture, int64_t now_ms)
{
    struct slice complaint = SLICE_ABSENT;
    if (!keys_rotate(fixture->store, SECRET, now_ms, &fixture->arena, &complaint))
        fail_msg("%.*s", SLICE_ARG(complaint));
}

static struct slice issue(struct fixture *fixture, struct key_ring *ring, int64_t now_ms)
{
    struct principal principal = {
        .kind = PRINCIPAL_USER, .role = ROLE_CUSTOMER, .user_id = uuid_v4(), .session_id = uuid_v4()};
    struct slice token = token_issue(ring, &fixture->arena, &principal, now_ms, 900);
    assert_false(slice_is_absent(token));
    return token;
}

static enum token_verdict verdict(struct fixture *fixture, struct key_ring *ring, struct db *db,
                                  struct slice token, int64_t now_ms)
{
    struct principal principal;
    return token_verify(ring, db, &fixture->arena, token, now_ms, &principal);
}

static bool contains(struct slice text, struct slice part)
{
    return memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}

/* ---- known answers ---- */

/* A key that only verifies, from the numbers of a JWK. */
static struct signing_key *public_key(struct arena *arena, struct slice modulus, struct slice exponent)
{
    unsigned char *der = NULL;
    uint8_t seal_key[32] = {1};
    EVP_PKEY *pkey = forge_public(arena, modulus, exponent);
    int len = i2d_PUBKEY(pkey, &der);
    assert_true(len > 0);
    char *plain = arena_alloc(arena, (size_t)len + 1);
    plain[0] = 'P';
    memcpy(plain + 1, der, (size_t)len);
    struct slice sealed = secret_seal(arena, seal_key, (struct slice){plain, (size_t)len + 1});
    struct signing_key *key = signing_key_open(arena, seal_key, sealed);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    return key;
}

/* RFC 7638 section 3.1. */
static void the_kid_is_the_thumbprint_of_rfc_7638(void **state)
{
    struct fixture *fixture = *state;
    struct signing_key *key = public_key(
        &fixture->arena,
        SLICE(
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
            "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
            "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1"
            "jF44-csFCur-kEgU8awapJzKnqDKgw"),
        SLICE("AQAB"));
    assert_non_null(key);
    assert_true(slice_is(signing_key_kid(key), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    signing_key_release(key);
}

/* RFC 7515 appendix A.2. */
static void the_signature_is_that_of_rfc_7515(void **state)
{
    struct fixture *fixture = *state;
    const struct slice input =
        SLICE("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
              "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    const struct slice text = SLICE(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
        "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383"
        "LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy"
        "wlVmtVrBp0igcN_IoypGlUPQGe77Rw");
    struct signing_key *key = public_key(
        &fixture->arena,
        SLICE(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
            "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo"
            "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM"
            "Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ"),
        SLICE("AQAB"));
    struct slice signature = base64url_decode(&fixture->arena, text);
    uint8_t made[RSA_BYTES];
    assert_true(signing_key_verify(key, input, signature));
    assert_false(signing_key_verify(key, slice_skip(input, 1), signature));
    assert_false(signing_key_verify(key, input, (struct slice){signature.ptr, signature.len - 1}));
    assert_false(signing_key_verify(key, input, SLICE_ABSENT));
    assert_false(signing_key_sign(key, input, made)); /* it knows no private part */
    signing_key_release(key);
}

static void derived_keys_are_those_of_hkdf(void **state)
{
    struct fixture *fixture = *state;
    const struct slice secret = SLICE("0123456789abcdef0123456789abcdef");
    const struct {
        const char *purpose;
        const char *hex;
    } answers[] = {
        {"cursor", "741e7fa20ca9a683d29b8ee4a5fd1ac576cfc4ab5f2e37418b35c7c4e8bb2bce"},
        {"signing-keys", "37633825e3480309266473d78e5bfc72bc0badf5e63cd20dac838e2af6b0b8e0"},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        uint8_t key[32], other[32];
        struct buf hex;
        key_derive(secret, answers[i].purpose, key);
        buf_init(&hex, &fixture->arena);
        for (size_t j = 0; j < sizeof(key); j++)
            buf_format(&hex, "%02x", key[j]);
        assert_true(slice_is(buf_slice(&hex), answers[i].hex));
        key_derive(slice_skip(secret, 1), answers[i].purpose, other);
        assert_memory_not_equal(key, other, sizeof(key));
    }
}

static void a_sealed_key_opens_as_itself(void **state)
{
    struct fixture *fixture = *state;
    uint8_t seal_key[32] = {7}, other_key[32] = {8}, signature[RSA_BYTES];
    struct signing_key *key = signing_key_generate();
    struct slice sealed = signing_key_seal(key, &fixture->arena, seal_key, true);
    struct slice without = signing_key_seal(key, &fixture->arena, seal_key, false);
    struct signing_key *again = signing_key_open(&fixture->arena, seal_key, sealed);
    struct signing_key *verifier = signing_key_open(&fixture->arena, seal_key, without);
    assert_true(slice_equals(signing_key_kid(key), signing_key_kid(again)));
    assert_true(slice_equals(signing_key_kid(key), signing_key_kid(verifier)));
    assert_true(signing_key_sign(again, SLICE("text"), signature));
    assert_true(
        signing_key_verify(verifier, SLICE("text"), (struct slice){(const char *)signature, RSA_BYTES}));
    assert_false(signing_key_sign(verifier, SLICE("text"), signature));
    assert_null(signing_key_open(&fixture->arena, other_key, sealed));
    assert_null(signing_key_open(&fixture->arena, seal_key, SLICE_ABSENT));
    assert_null(signing_key_open(&fixture->arena, seal_key,
                                 secret_seal(&fixture->arena, seal_key, SLICE("Srubbish"))));
    assert_null(
        signing_key_open(&fixture->arena, seal_key, secret_seal(&fixture->arena, seal_key, SLICE("S"))));
    assert_null(
        signing_key_open(&fixture->arena, seal_key, secret_seal(&fixture->arena, seal_key, SLICE("?x"))));
    assert_false(contains(sealed, (struct slice){without.ptr + 60, 40}));
    signing_key_release(key);
    signing_key_release(again);
    signing_key_release(verifier);
}

/* ---- the first start ---- */

static void the_first_start_makes_two_keys(void **state)
{
    struct fixture *fixture = *state;
    struct key_listing list[4];
    struct key_ring *ring = ring_open(fixture);
    assert_int_equal(keys_list(fixture->store, &fixture->arena, list, 4), 2);
    assert_int_equal(count_of(fixture, "active"), 1);
    assert_int_equal(count_of(fixture, "next"), 1);
    assert_int_equal(list[0].kid.len, KID_LEN);
    struct slice jwks = key_ring_jwks(ring, &fixture->arena);
    for (int i = 0; i < 2; i++)
        assert_true(contains(jwks, list[i].kid)); /* the next one is published before it signs */
    assert_true(slice_starts_with(
        jwks, SLICE("{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"")));
    assert_false(contains(jwks, SLICE("\"d\":")) || contains(jwks, SLICE("\"p\":")));
    assert_true(contains(jwks, sealed_of(fixture, "active", 2))); /* the same text as the table publishes */
    key_ring_free(ring);

    ring = ring_open(fixture);
    struct slice again = key_ring_jwks(ring, &fixture->arena);
    assert_true(slice_equals(jwks, again));
    key_ring_free(ring);
    assert_int_equal(keys_list(fixture->store, &fixture->arena, list, 1), 1);
}

#define STARTERS 4

struct starter {
    pthread_t thread;
    struct fixture *fixture;
    struct arena arena;
    struct store *store;
    struct key_ring *ring;
};

static void *start(void *arg)
{
    struct starter *starter = arg;
    struct slice complaint;
    starter->ring = key_ring_open(starter->store, SECRET, &starter->arena, &complaint);
    return NULL;
}

/* Each has a store and so a lane of its own, as two processes have. */
static void starters_at_once_end_with_one_active_key(void **state)
{
    struct fixture *fixture = *state;
    struct starter starters[STARTERS];
    for (size_t i = 0; i < STARTERS; i++) {
        starters[i] = (struct starter){.fixture = fixture, .store = fixture_store(fixture)};
        assert_true(arena_init(&starters[i].arena, 4 << 20));
    }
    for (size_t i = 0; i < STARTERS; i++)
        assert_int_equal(pthread_create(&starters[i].thread, NULL, start, &starters[i]), 0);
    for (size_t i = 0; i < STARTERS; i++) {
        pthread_join(starters[i].thread, NULL);
        assert_non_null(starters[i].ring);
    }
    assert_int_equal(count_of(fixture, "active"), 1);
    assert_int_equal(count_of(fixture, "next"), 1);
    struct slice token = issue(fixture, starters[0].ring, FORGE_NOW_MS);
    for (size_t i = 0; i < STARTERS; i++) {
        assert_int_equal(verdict(fixture, starters[i].ring, NULL, token, FORGE_NOW_MS), TOKEN_GOOD);
        key_ring_free(starters[i].ring);
        store_close(starters[i].store);
        arena_release(&starters[i].arena);
    }
}

/* ---- the secret ---- */

static void another_secret_is_a_clear_complaint(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT;
    key_ring_free(ring_open(fixture));
    assert_null(key_ring_open(fixture->store, SLICE("another secret, also long enough"), &fixture->arena,
                              &complaint));
    assert_true(slice_starts_with(complaint, SLICE("SOUK_SECRET does not fit this database")));
    complaint = SLICE_ABSENT;
    assert_false(keys_rotate(fixture->store, SLICE("another secret, also long enough"), clock_now_ms(),
                             &fixture->arena, &complaint));
    assert_true(slice_starts_with(complaint, SLICE("SOUK_SECRET does not fit this database")));
    assert_int_equal(count_of(fixture, "active"), 1);
    assert_int_equal(count_of(fixture, "retired"), 0);
    key_ring_free(ring_open(fixture));
}

/* Whoever can write the table but does not know the secret can neither bring a key of theirs nor exchange
 * ours. */
static void only_what_the_secret_sealed_counts(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT;
    uint8_t foreign[32] = {9};
    key_ring_free(ring_open(fixture));
    struct slice active = sealed_of(fixture, "active", 0);
    struct signing_key *evil = signing_key_generate();
    const struct slice written[] = {
        signing_key_seal(evil, &fixture->arena, foreign, true), /* sealed under another secret */
        sealed_of(fixture, "next", 0),                          /* a good key, but not the one of this kid */
        SLICE("not sealed at all"),
    };
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        fixture_write(fixture, &SWAP_SEALED, DB_ARGS(db_text(SLICE("active")), db_blob(written[i])));
        assert_null(key_ring_open(fixture->store, SECRET, &fixture->arena, &complaint));
    }
    fixture_write(fixture, &SWAP_SEALED, DB_ARGS(db_text(SLICE("active")), db_blob(active)));
    key_ring_free(ring_open(fixture));
    signing_key_release(evil);
}

/* ---- rotation ---- */

static void rotation_overlaps(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *ring = ring_open(fixture);
    int64_t now = clock_now_ms();
    struct slice next = sealed_of(fixture, "next", 1);
    struct slice before = issue(fixture, ring, now);
    rotate(fixture, now);
    assert_true(slice_equals(sealed_of(fixture, "active", 1), next));
    key_ring_refresh(ring, fixture->db, now + 2000);
    struct slice after = issue(fixture, ring, now + 2000);
    assert_int_equal(verdict(fixture, ring, NULL, before, now + 2000), TOKEN_GOOD);
    assert_int_equal(verdict(fixture, ring, NULL, after, now + 2000), TOKEN_GOOD);
    struct slice jwks = key_ring_jwks(ring, &fixture->arena);
    const char *states[] = {"active", "next", "retired"};
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        assert_int_equal(count_of(fixture, states[i]), 1);
        assert_true(contains(jwks, sealed_of(fixture, states[i], 1)));
    }
    key_ring_free(ring);
    ring = ring_open(fixture); /* a new start reads the retired key too */
    assert_int_equal(verdict(fixture, ring, NULL, before, now + 2000), TOKEN_GOOD);
    key_ring_free(ring);
}

static void a_retired_key_keeps_no_private_part(void **state)
{
    struct fixture *fixture = *state;
    uint8_t seal_key[32], signature[RSA_BYTES];
    key_ring_free(ring_open(fixture));
    rotate(fixture, clock_now_ms());
    key_derive(SECRET, "signing-keys", seal_key);
    struct signing_key *retired =
        signing_key_open(&fixture->arena, seal_key, sealed_of(fixture, "retired", 0));
    assert_non_null(retired);
    assert_false(signing_key_sign(retired, SLICE("x"), signature));
    signing_key_release(retired);
}

static void another_node_learns_of_a_rotation(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *here = ring_open(fixture), *there = ring_open(fixture);
    int64_t now = clock_now_ms();
    rotate(fixture, now);
    rotate(fixture, now); /* twice, so that `there` has never heard of the active key */
    key_ring_refresh(here, fixture->db, now + 1500);
    struct slice token = issue(fixture, here, now + 1500);
    assert_int_equal(verdict(fixture, there, NULL, token, now + 1500), TOKEN_BAD);
    assert_int_equal(verdict(fixture, there, fixture->db, token, now + 1500), TOKEN_GOOD);
    assert_int_equal(verdict(fixture, there, NULL, token, now + 1500), TOKEN_GOOD);
    key_ring_free(here);
    key_ring_free(there);
}

static void an_unknown_kid_asks_at_most_once_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *here = ring_open(fixture), *there = ring_open(fixture);
    int64_t now = clock_now_ms();
    struct signing_key *unknown = signing_key_generate();
    struct slice header = forge_header(&fixture->arena, unknown);
    struct slice stranger =
        forge(&fixture->arena, unknown, header, forge_claims(&fixture->arena, (struct edit){0}));
    assert_int_equal(verdict(fixture, there, fixture->db, stranger, now + 1500), TOKEN_BAD);
    rotate(fixture, now + 1600);
    rotate(fixture, now + 1600);
    key_ring_refresh(here, fixture->db, now + 1700);
    struct slice token = issue(fixture, here, now + 1700);
    assert_int_equal(verdict(fixture, there, fixture->db, token, now + 1700),
                     TOKEN_BAD); /* it has just asked */
    assert_int_equal(verdict(fixture, there, fixture->db, token, now + 2500), TOKEN_GOOD);
    signing_key_release(unknown);
    key_ring_free(here);
    key_ring_free(there);
}

static void a_ring_looks_again_by_itself(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *ring = ring_open(fixture);
    int64_t now = clock_now_ms();
    struct slice old = sealed_of(fixture, "active", 1);
    struct slice token = issue(fixture, ring, now);
    rotate(fixture, now);
    /* By a request that brings any token ... */
    assert_int_equal(verdict(fixture, ring, fixture->db, token, now + KEYS_REFRESH_MS + 1000), TOKEN_GOOD);
    struct key_set *set = key_ring_take(ring);
    assert_false(slice_equals(signing_key_kid(key_set_active(set)), old));
    key_set_release(set);
    /* ... or, on a node that only issues, by issuing. */
    old = sealed_of(fixture, "active", 1);
    rotate(fixture, now);
    issue(fixture, ring, now + 7 * KEYS_REFRESH_MS);
    set = key_ring_take(ring);
    assert_false(slice_equals(signing_key_kid(key_set_active(set)), old));
    key_set_release(set);
    key_ring_free(ring);
}

static void retired_keys_go_when_their_tokens_are_gone(void **state)
{
    struct fixture *fixture = *state;
    int64_t now = clock_now_ms(), keep = KEYS_RETIRED_KEEP_SECONDS * INT64_C(1000);
    struct principal principal = {
        .kind = PRINCIPAL_USER, .role = ROLE_ADMIN, .user_id = uuid_v4(), .session_id = uuid_v4()};
    struct key_ring *ring = ring_open(fixture);
    struct slice longest =
        token_issue(ring, &fixture->arena, &principal, now, 10 * TOKEN_LIFETIME_SECONDS_MAX);
    rotate(fixture, now);
    struct slice kid = sealed_of(fixture, "retired", 1);
    int64_t last = now + TOKEN_LIFETIME_SECONDS_MAX * INT64_C(1000) - 2000;
    assert_int_equal(verdict(fixture, ring, fixture->db, longest, last), TOKEN_GOOD);
    assert_int_equal(verdict(fixture, ring, fixture->db, longest, last + 2000), TOKEN_EXPIRED);
    assert_true(contains(key_ring_jwks(ring, &fixture->arena), kid));
    /* Past its time the ring forgets it, and the next rotation deletes it. */
    key_ring_refresh(ring, fixture->db, now + keep + 1);
    assert_false(contains(key_ring_jwks(ring, &fixture->arena), kid));
    assert_int_equal(count_of(fixture, "retired"), 1);
    rotate(fixture, now + keep + 1);
    assert_int_equal(count_of(fixture, "retired"), 1);
    assert_false(slice_equals(sealed_of(fixture, "retired", 1), kid));
    key_ring_free(ring);
}

/* A key that somebody deletes (it leaked) takes its tokens with it, remembered or not. */
static void a_deleted_key_ends_its_tokens(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *ring = ring_open(fixture);
    int64_t now = clock_now_ms();
    struct slice token = issue(fixture, ring, now);
    assert_int_equal(verdict(fixture, ring, fixture->db, token, now), TOKEN_GOOD);
    rotate(fixture, now);
    fixture_write(fixture, &DELETE_STATE, DB_ARGS(db_text(SLICE("retired"))));
    assert_int_equal(verdict(fixture, ring, fixture->db, token, now), TOKEN_GOOD); /* not known yet */
    key_ring_refresh(ring, fixture->db, now + 2000);
    assert_int_equal(verdict(fixture, ring, fixture->db, token, now + 2000), TOKEN_BAD);
    struct slice newer = issue(fixture, ring, now + 2000);
    assert_int_equal(verdict(fixture, ring, fixture->db, newer, now + 2000), TOKEN_GOOD);
    key_ring_free(ring);
}

static void rotating_too_often_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT;
    int64_t now = clock_now_ms();
    key_ring_free(ring_open(fixture));
    for (int i = 2; i < KEYS_MAX;
         i++) { /* retired, as rotations would leave them, but making keys costs time */
        struct slice kid = arena_format(&fixture->arena, "retired %d", i);
        fixture_write(fixture, &INSERT_RETIRED,
                      DB_ARGS(db_text(kid), db_blob(SLICE("sealed")), db_time(now)));
    }
    assert_false(keys_rotate(fixture->store, SECRET, now + HOUR, &fixture->arena, &complaint));
    assert_true(contains(complaint, SLICE("too often")));
    assert_int_equal(count_of(fixture, "active"), 1);
    rotate(fixture, now + KEYS_RETIRED_KEEP_SECONDS * INT64_C(1000) + HOUR);
    key_ring_free(ring_open(fixture));
}

static void rotating_an_empty_table_makes_the_first_keys(void **state)
{
    struct fixture *fixture = *state;
    rotate(fixture, clock_now_ms());
    assert_int_equal(count_of(fixture, "active"), 1);
    assert_int_equal(count_of(fixture, "next"), 1);
    assert_int_equal(count_of(fixture, "retired"), 0);
}

static void an_emptied_table_verifies_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct key_ring *ring = ring_open(fixture);
    int64_t now = clock_now_ms();
    struct slice token = issue(fixture, ring, now);
    struct principal principal = {.kind = PRINCIPAL_USER, .role = ROLE_CUSTOMER};
    fixture_write(fixture, &DELETE_ALL, DB_NO_ARGS);
    key_ring_refresh(ring, fixture->db, now + 2000);
    assert_int_equal(verdict(fixture, ring, fixture->db, token, now + 2000), TOKEN_BAD);
    assert_true(slice_is_absent(token_issue(ring, &fixture->arena, &principal, now + 2000, 900)));
    assert_true(slice_is(key_ring_jwks(ring, &fixture->arena), "{\"keys\":[]}"));
    key_ring_free(ring);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_begin, fixture_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_kid_is_the_thumbprint_of_rfc_7638),
        TEST(the_signature_is_that_of_rfc_7515),
        TEST(derived_keys_are_those_of_hkdf),
        TEST(a_sealed_key_opens_as_itself),
        TEST(the_first_start_makes_two_keys),
        TEST(starters_at_once_end_with_one_active_key),
        TEST(another_secret_is_a_clear_complaint),
        TEST(only_what_the_secret_sealed_counts),
        TEST(rotation_overlaps),
        TEST(a_retired_key_keeps_no_private_part),
        TEST(another_node_learns_of_a_rotation),
        TEST(an_unknown_kid_asks_at_most_once_a_second),
        TEST(a_ring_looks_again_by_itself),
        TEST(retired_keys_go_when_their_tokens_are_gone),
        TEST(a_deleted_key_ends_its_tokens),
        TEST(rotating_too_often_is_refused),
        TEST(rotating_an_empty_table_makes_the_first_keys),
        TEST(an_emptied_table_verifies_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
