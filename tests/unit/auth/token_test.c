/* Access tokens: what we write and others can read, and every way that we know of to get a token past the
 * check. Each attack is refused beside a control: a token made the same way, rightly, which passes. */
#include "auth/forge.h"

#include <cjose/cjose.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>

struct world {
    struct key_ring *ring;
    struct key_set *set;
    const struct signing_key *key; /* the active one */
    struct signing_key *stranger;  /* of somebody else */
};

static struct world world; /* made once: keys cost time */
static void *fixture_state;

static int world_begin(void **state)
{
    struct slice complaint = SLICE_ABSENT;
    fixture_begin(&fixture_state);
    *state = fixture_state;
    struct fixture *fixture = fixture_state;
    world.ring = key_ring_open(fixture->store, SECRET, &fixture->arena, &complaint);
    assert_non_null(world.ring);
    /* Up to the time of the forged tokens, so that no refresh comes between. */
    key_ring_refresh(world.ring, fixture->db, FORGE_NOW_MS);
    world.set = key_ring_take(world.ring);
    world.key = key_set_active(world.set);
    world.stranger = signing_key_generate();
    return 0;
}

static int world_end(void **state)
{
    (void)state;
    signing_key_release(world.stranger);
    key_set_release(world.set);
    key_ring_free(world.ring);
    return fixture_end(&fixture_state);
}

static enum token_verdict verdict_at(struct fixture *fixture, struct slice token, int64_t now_ms)
{
    struct principal principal = {.kind = PRINCIPAL_ANONYMOUS};
    enum token_verdict verdict =
        token_verify(world.ring, fixture->db, &fixture->arena, token, now_ms, &principal);
    /* Whoever is refused is nobody. */
    assert_int_equal(principal_is_user(&principal), verdict == TOKEN_GOOD);
    return verdict;
}

static void assert_verdict(struct fixture *fixture, const char *label, struct slice token,
                           enum token_verdict wanted)
{
    assert_int_equal(verdict_at(fixture, forge_good(&fixture->arena, world.key), FORGE_NOW_MS), TOKEN_GOOD);
    enum token_verdict verdict = verdict_at(fixture, token, FORGE_NOW_MS);
    if (verdict != wanted)
        fail_msg("%s: %d, not %d", label, verdict, wanted);
    if (verdict_at(fixture, token, FORGE_NOW_MS) != wanted) /* nor the second time, from memory */
        fail_msg("%s: another verdict the second time", label);
}

static void assert_refused(struct fixture *fixture, const char *label, struct slice token)
{
    assert_verdict(fixture, label, token, TOKEN_BAD);
}

/* ---- what we write ---- */

static struct principal somebody(enum role role)
{
    return (struct principal){.kind = PRINCIPAL_USER,
                              .role = role,
                              .user_id = uuid_v7(FORGE_NOW_MS),
                              .session_id = uuid_v7(FORGE_NOW_MS)};
}

static void a_token_says_who_its_bearer_is(void **state)
{
    struct fixture *fixture = *state;
    const enum role roles[] = {ROLE_CUSTOMER, ROLE_STAFF, ROLE_ADMIN};
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        struct principal principal = somebody(roles[i]), read = {.kind = PRINCIPAL_ANONYMOUS};
        struct slice token = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS + 999, 900);
        assert_true(token.len > 0 && token.len < 1024);
        for (int time = 0; time < 2; time++) { /* verified, then remembered */
            assert_int_equal(
                token_verify(world.ring, NULL, &fixture->arena, token, FORGE_NOW_MS + 999, &read),
                TOKEN_GOOD);
            assert_int_equal(read.kind, PRINCIPAL_USER);
            assert_int_equal(read.role, roles[i]);
            assert_int_equal(read.scopes, 0); /* they stand in the database */
            assert_true(uuid_equals(read.user_id, principal.user_id));
            assert_true(uuid_equals(read.session_id, principal.session_id));
            memset(&read, 0, sizeof(read));
        }
    }
}

static void no_two_tokens_are_alike(void **state)
{
    struct fixture *fixture = *state;
    struct principal principal = somebody(ROLE_CUSTOMER);
    struct slice first = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS, 900);
    struct slice second = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS, 900);
    assert_false(slice_equals(first, second));
}

static void a_token_ends_at_its_second(void **state)
{
    struct fixture *fixture = *state;
    struct principal principal = somebody(ROLE_CUSTOMER);
    struct slice token = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS + 999, 900);
    struct slice unseen = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS + 999, 900);
    int64_t end = FORGE_NOW_MS + 900 * 1000;
    assert_int_equal(verdict_at(fixture, token, end - 1), TOKEN_GOOD);
    assert_int_equal(verdict_at(fixture, token, end), TOKEN_EXPIRED); /* remembered, and yet */
    assert_int_equal(verdict_at(fixture, unseen, end), TOKEN_EXPIRED);
    assert_int_equal(verdict_at(fixture, token, FORGE_NOW_MS - TOKEN_CLOCK_SKEW_MS), TOKEN_GOOD);
    assert_int_equal(verdict_at(fixture, token, FORGE_NOW_MS - TOKEN_CLOCK_SKEW_MS - 1), TOKEN_BAD);
    assert_int_equal(verdict_at(fixture, unseen, FORGE_NOW_MS - TOKEN_CLOCK_SKEW_MS - 1), TOKEN_BAD);
}

/* What a thread that must not wait may know: only what was verified, while it holds, by keys looked at
 * lately. */
static void a_verified_token_is_recalled(void **state)
{
    struct fixture *fixture = *state;
    struct principal principal = somebody(ROLE_CUSTOMER), read;
    int64_t now_ms = clock_now_ms();
    key_ring_refresh(world.ring, fixture->db, now_ms);
    struct slice token = token_issue(world.ring, &fixture->arena, &principal, now_ms, 30);
    struct slice longer = token_issue(world.ring, &fixture->arena, &principal, now_ms, 900);
    assert_false(token_recall(world.ring, token, now_ms, &read));
    assert_int_equal(token_verify(world.ring, NULL, &fixture->arena, token, now_ms, &read), TOKEN_GOOD);
    assert_int_equal(token_verify(world.ring, NULL, &fixture->arena, longer, now_ms, &read), TOKEN_GOOD);
    assert_true(token_recall(world.ring, token, now_ms, &read));
    assert_true(uuid_equals(read.user_id, principal.user_id));
    assert_true(uuid_equals(read.session_id, principal.session_id));
    assert_false(token_recall(world.ring, token, now_ms + 31000, &read)); /* it ended */
    assert_true(token_recall(world.ring, longer, now_ms + 31000, &read));
    assert_false(
        token_recall(world.ring, longer, now_ms + 2 * KEYS_REFRESH_MS, &read)); /* its key may have */
    assert_false(token_recall(world.ring, SLICE("x"), now_ms, &read));
}

/* cjose, another implementation, reads our key set and our token. */
static void another_library_verifies_our_tokens(void **state)
{
    struct fixture *fixture = *state;
    cjose_err error;
    struct principal principal = somebody(ROLE_ADMIN);
    struct slice token = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS, 900);
    struct buf text;
    buf_init(&text, &fixture->arena);
    signing_key_write_jwk(world.key, &text);
    cjose_jwk_t *jwk = cjose_jwk_import(text.ptr, text.len, &error);
    cjose_jws_t *jws = cjose_jws_import(token.ptr, token.len, &error);
    assert_non_null(jwk);
    assert_non_null(jws);
    assert_true(cjose_jws_verify(jws, jwk, &error));
    uint8_t *payload = NULL;
    size_t len = 0;
    assert_true(cjose_jws_get_plaintext(jws, &payload, &len, &error));
    assert_non_null(memmem(payload, len, "\"role\":\"admin\"", 14));
    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
}

/* ---- attacks: claims, rightly signed ---- */

static const struct {
    struct edit edit;
    enum token_verdict verdict;
} CLAIM_ATTACKS[] = {
    {{"iss", NULL, NULL}, TOKEN_BAD},
    {{"iss", "\"other\"", NULL}, TOKEN_BAD},
    {{"iss", "\"souk \"", NULL}, TOKEN_BAD},
    {{"iss", "\"SOUK\"", NULL}, TOKEN_BAD},
    {{"iss", "\"souk\\u0000\"", NULL}, TOKEN_BAD},
    {{"iss", "[\"souk\"]", NULL}, TOKEN_BAD},
    {{"iss", "null", NULL}, TOKEN_BAD},
    {{"aud", NULL, NULL}, TOKEN_BAD},
    {{"aud", "\"souk\"", NULL}, TOKEN_BAD},
    {{"aud", "\"other-api\"", NULL}, TOKEN_BAD},
    {{"aud", "[\"souk-api\",\"other\"]", NULL}, TOKEN_BAD},
    {{"aud", "{\"souk-api\":true}", NULL}, TOKEN_BAD},
    {{"sub", NULL, NULL}, TOKEN_BAD},
    {{"sub", "\"admin\"", NULL}, TOKEN_BAD},
    {{"sub", "\"\"", NULL}, TOKEN_BAD},
    {{"sub", "1", NULL}, TOKEN_BAD},
    {{"sub", "\"00000000-0000-0000-0000-000000000000\"", NULL}, TOKEN_BAD},
    {{"sub", "\"0190163d-8694-739b-aea5-966c26f8ad9\"", NULL}, TOKEN_BAD},
    {{"sid", NULL, NULL}, TOKEN_BAD},
    {{"sid", "null", NULL}, TOKEN_BAD},
    {{"sid", "\"x' OR '1'='1\"", NULL}, TOKEN_BAD},
    {{"jti", NULL, NULL}, TOKEN_BAD},
    {{"jti", "7", NULL}, TOKEN_BAD},
    {{"role", NULL, NULL}, TOKEN_BAD},
    {{"role", "\"root\"", NULL}, TOKEN_BAD},
    {{"role", "\"Admin\"", NULL}, TOKEN_BAD},
    {{"role", "2", NULL}, TOKEN_BAD},
    {{"role", "[\"admin\"]", NULL}, TOKEN_BAD},
    {{"exp", NULL, NULL}, TOKEN_BAD},
    {{"exp", "null", NULL}, TOKEN_BAD},
    {{"exp", "\"1900000900\"", NULL}, TOKEN_BAD},
    {{"exp", "1900000900.0", NULL}, TOKEN_BAD},
    {{"exp", "1.9000009e9", NULL}, TOKEN_BAD},
    {{"exp", "true", NULL}, TOKEN_BAD},
    {{"exp", "-1900000900", NULL}, TOKEN_BAD},
    {{"exp", "9223372036854775807", NULL}, TOKEN_BAD},
    {{"exp", "9223372036854775808", NULL}, TOKEN_BAD},
    {{"exp", "1900000000", NULL}, TOKEN_BAD}, /* not after it was issued */
    {{"exp", "1900086401", NULL}, TOKEN_BAD}, /* lives longer than any of ours */
    {{"iat", NULL, NULL}, TOKEN_BAD},
    {{"iat", "\"1900000000\"", NULL}, TOKEN_BAD},
    {{"iat", "1900000000.5", NULL}, TOKEN_BAD},
    {{"iat", "1900000031", NULL}, TOKEN_BAD}, /* issued in the future */
    {{"nbf", "1900000031", NULL}, TOKEN_BAD}, /* not yet valid */
    {{"nbf", "\"0\"", NULL}, TOKEN_BAD},
    {{"nbf", "null", NULL}, TOKEN_BAD},
    {{NULL, NULL, "\"sub\":\"0190163d-8694-739b-aea5-966c26f8ad99\""}, TOKEN_BAD}, /* twice */
    {{NULL, NULL, "\"role\":\"admin\""}, TOKEN_BAD},
    {{NULL, NULL, "\"exp\":1900000901"}, TOKEN_BAD},
    {{NULL, NULL, "\"\\u0065xp\":1900000901"}, TOKEN_BAD}, /* twice, once in disguise */
    {{NULL, NULL, "\"x\":{\"a\":1,\"a\":2}"}, TOKEN_BAD},
    {{NULL, NULL, "\"x\":\"\xff\xfe\""}, TOKEN_BAD},
    {{NULL, NULL, "\"x\":\"\xc0\xaf\""}, TOKEN_BAD},
    {{NULL, NULL, "\"x\":\"\\ud800\""}, TOKEN_BAD},
    {{NULL, NULL, "\"x\":NaN"}, TOKEN_BAD},
    {{NULL, NULL, "'x':1"}, TOKEN_BAD},
    /* and what is not wrong */
    {{"nbf", NULL, NULL}, TOKEN_GOOD},
    {{"nbf", "1900000030", NULL}, TOKEN_GOOD}, /* another node's clock */
    {{"exp", "1900000001", NULL}, TOKEN_GOOD},
    {{"exp", "1900086400", NULL}, TOKEN_GOOD},
    {{NULL, NULL, "\"client_id\":\"of a newer version\""}, TOKEN_GOOD},
};

static void wrong_claims_are_refused(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(CLAIM_ATTACKS); i++) {
        struct slice payload = forge_claims(&fixture->arena, CLAIM_ATTACKS[i].edit);
        struct slice token =
            forge(&fixture->arena, world.key, forge_header(&fixture->arena, world.key), payload);
        assert_verdict(fixture, payload.ptr, token, CLAIM_ATTACKS[i].verdict);
    }
}

static void an_expired_token_is_told_from_a_bad_one(void **state)
{
    struct fixture *fixture = *state;
    struct slice header = forge_header(&fixture->arena, world.key);
    struct edit edit = {.claim = "iat", .value = "1899990000"};
    struct slice payload = forge_claims(&fixture->arena, edit);
    char *end = strstr(payload.ptr, "1900000900");
    assert_non_null(end);
    memcpy(end, "1899999999", 10);
    struct slice token = forge(&fixture->arena, world.key, header, payload);
    struct slice stranger = forge(&fixture->arena, world.stranger, header, payload);
    memcpy(strstr(payload.ptr, "\"nbf\":1900000000"), "\"nbf\":1899990000", 16);
    assert_verdict(fixture, "expired", forge(&fixture->arena, world.key, header, payload), TOKEN_EXPIRED);
    assert_verdict(fixture, "expired before it began", token, TOKEN_EXPIRED);
    assert_refused(fixture, "expired, but not ours", stranger);
}

static void payloads_that_are_no_object_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice header = forge_header(&fixture->arena, world.key);
    struct slice claims = forge_claims(&fixture->arena, (struct edit){0});
    const struct slice payloads[] = {
        SLICE(" "),
        SLICE("{}"),
        SLICE("[]"),
        SLICE("null"),
        SLICE("\"text\""),
        SLICE("1900000000"),
        arena_format(&fixture->arena, "[%.*s]", SLICE_ARG(claims)),
        arena_format(&fixture->arena, "%.*s{}", SLICE_ARG(claims)),
        arena_format(&fixture->arena, "%.*s,", SLICE_ARG(claims)),
        arena_format(&fixture->arena, "\xef\xbb\xbf%.*s", SLICE_ARG(claims)),
        {claims.ptr, claims.len - 1},
        {claims.ptr, claims.len + 1}, /* the NUL behind it */
    };
    for (size_t i = 0; i < COUNT_OF(payloads); i++)
        assert_refused(fixture, payloads[i].ptr, forge(&fixture->arena, world.key, header, payloads[i]));
}

/* ---- attacks: headers ---- */

/* KID stands for the active key's. */
static const char *const HEADER_ATTACKS[] = {
    "{\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"None\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS384\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"PS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"rs256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256 \",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":null,\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":[\"RS256\"],\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"alg\":\"none\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"none\",\"\\u0061lg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"ALG\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"AT+JWT\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"application/at+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"id+jwt\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":1,\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":null}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":0}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":[\"KID\"]}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KIDx\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\\u0000\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"../../../../../../../../../../../../dev/null\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"x' UNION SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaa'\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"kid\":\"KID\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"jku\":\"https://evil.example/jwks\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"x5u\":\"https://evil.example/c\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"x5c\":[]}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"jwk\":{}}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"crit\":[\"exp\"]}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"crit\":[]}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"b64\":false}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"zip\":\"DEF\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\",\"cty\":\"JWT\"}",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"}x",
    "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"KID\"",
    "[\"RS256\",\"at+jwt\",\"KID\"]",
    "\"RS256\"",
    "RS256",
    "{}",
    "null",
};

static void wrong_headers_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice claims = forge_claims(&fixture->arena, (struct edit){0});
    for (size_t i = 0; i < COUNT_OF(HEADER_ATTACKS); i++) {
        struct buf header;
        buf_init(&header, &fixture->arena);
        const char *kid = strstr(HEADER_ATTACKS[i], "KID");
        if (kid != NULL) {
            buf_append(&header, (struct slice){HEADER_ATTACKS[i], (size_t)(kid - HEADER_ATTACKS[i])});
            buf_append(&header, signing_key_kid(world.key));
            kid += 3;
        }
        buf_append(&header, slice_from(kid != NULL ? kid : HEADER_ATTACKS[i]));
        assert_refused(fixture, HEADER_ATTACKS[i],
                       forge(&fixture->arena, world.key, buf_slice(&header), claims));
    }
}

/* The parameters in another order and with white space are still ours to accept. */
static void the_header_may_be_written_otherwise(void **state)
{
    struct fixture *fixture = *state;
    struct slice header =
        arena_format(&fixture->arena, "{ \"kid\":\"%.*s\", \"typ\":\"at+jwt\", \"alg\":\"RS256\" }",
                     SLICE_ARG(signing_key_kid(world.key)));
    struct slice token =
        forge(&fixture->arena, world.key, header, forge_claims(&fixture->arena, (struct edit){0}));
    assert_verdict(fixture, "another order", token, TOKEN_GOOD);
}

/* ---- attacks: signatures ---- */

static void the_attackers_own_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice claims = forge_claims(&fixture->arena, (struct edit){.claim = "role", .value = "\"admin\""});
    struct slice kid = signing_key_kid(world.stranger);
    struct buf jwk;
    buf_init(&jwk, &fixture->arena);
    signing_key_write_jwk(world.stranger, &jwk);
    const struct slice headers[] = {
        forge_header(&fixture->arena, world.key),      /* signed by another than the one named */
        forge_header(&fixture->arena, world.stranger), /* a kid that nobody knows */
        arena_format(&fixture->arena, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"jwk\":%.*s}",
                     SLICE_ARG(buf_slice(&jwk))),
        arena_format(&fixture->arena, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%.*s\",\"jwk\":%.*s}",
                     SLICE_ARG(kid), SLICE_ARG(buf_slice(&jwk))),
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++)
        assert_refused(fixture, headers[i].ptr, forge(&fixture->arena, world.stranger, headers[i], claims));
}

/* A verifier that lets the header choose the algorithm would take our public key, which all know, for an
 * HMAC's secret. */
static void a_public_key_is_no_secret(void **state)
{
    struct fixture *fixture = *state;
    struct buf jwk;
    buf_init(&jwk, &fixture->arena);
    signing_key_write_jwk(world.key, &jwk);
    const char *modulus = strstr(jwk.ptr, "\"n\":\"") + 5;
    EVP_PKEY *pkey =
        forge_public(&fixture->arena, (struct slice){modulus, strcspn(modulus, "\"")}, SLICE("AQAB"));
    BIO *memory = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(PEM_write_bio_PUBKEY(memory, pkey), 1);
    struct slice pem = {NULL, (size_t)BIO_get_mem_data(memory, &text)};
    pem.ptr = text;
    assert_true(slice_starts_with(pem, SLICE("-----BEGIN PUBLIC KEY-----\n")));
    struct slice pem_without_newline = {pem.ptr, pem.len - 1};
    const struct slice secrets[] = {buf_slice(&jwk), pem, pem_without_newline,
                                    key_ring_jwks(world.ring, &fixture->arena), SLICE("")};
    const char *algorithms[] = {"HS256", "RS256"};
    for (size_t i = 0; i < COUNT_OF(secrets) * COUNT_OF(algorithms); i++) {
        struct slice secret = secrets[i / 2];
        struct slice header = base64url_encode(
            &fixture->arena,
            arena_format(&fixture->arena, "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"%.*s\"}",
                         algorithms[i % 2], SLICE_ARG(signing_key_kid(world.key))));
        struct slice payload =
            base64url_encode(&fixture->arena, forge_claims(&fixture->arena, (struct edit){0}));
        struct slice input =
            arena_format(&fixture->arena, "%.*s.%.*s", SLICE_ARG(header), SLICE_ARG(payload));
        uint8_t mac[SHA256_LEN];
        hmac_sha256(secret, input, mac);
        struct slice tail = base64url_encode(&fixture->arena, (struct slice){(const char *)mac, sizeof(mac)});
        assert_refused(fixture, algorithms[i % 2],
                       arena_format(&fixture->arena, "%.*s.%.*s", SLICE_ARG(input), SLICE_ARG(tail)));
    }
    BIO_free(memory);
    EVP_PKEY_free(pkey);
}

static void false_signatures_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice good = forge_good(&fixture->arena, world.key);
    struct slice other = forge_good(&fixture->arena, world.key);
    size_t input = (size_t)((const char *)memrchr(good.ptr, '.', good.len) - good.ptr);
    size_t other_input = (size_t)((const char *)memrchr(other.ptr, '.', other.len) - other.ptr);
    uint8_t bytes[RSA_BYTES + 1];
    struct slice all = {(const char *)bytes, RSA_BYTES};
    memset(bytes, 0, sizeof(bytes));
    struct slice zeros = base64url_encode(&fixture->arena, all);
    memset(bytes, 0xff, sizeof(bytes));
    struct slice ones = base64url_encode(&fixture->arena, all);
    struct slice longer = base64url_encode(&fixture->arena, (struct slice){all.ptr, RSA_BYTES + 1});
    struct slice shorter = base64url_encode(&fixture->arena, (struct slice){all.ptr, RSA_BYTES - 1});
    const struct slice signatures[] = {
        zeros, ones, longer, shorter, SLICE("AA"), SLICE("e30"), slice_skip(other, other_input + 1)};
    for (size_t i = 0; i < COUNT_OF(signatures); i++)
        assert_refused(
            fixture, "a false signature",
            arena_format(&fixture->arena, "%.*s.%.*s", (int)input, good.ptr, SLICE_ARG(signatures[i])));
}

/* ---- attacks: form ---- */

static void wrong_forms_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice good = forge_good(&fixture->arena, world.key);
    const char *dot = memchr(good.ptr, '.', good.len), *last = memrchr(good.ptr, '.', good.len);
    struct slice header = {good.ptr, (size_t)(dot - good.ptr)};
    struct slice payload = {dot + 1, (size_t)(last - dot - 1)};
    struct slice signature = slice_skip(good, (size_t)(last + 1 - good.ptr));
    static const char *const forms[] = {
        "",          ".",
        "..",        "...",
        "....",      "H",
        "H.",        "H.P",
        "H.P.",      "H..S",
        ".P.S",      "..S",
        "H..",       ".P.",
        "H.P.S.",    "H.P.S.S",
        ".H.P.S",    "H.P.S.P.S",
        "H..P.S",    "S.P.H",
        "P.H.S",     "H.H.S",
        "H.P.P",     "H,P,S",
        "H.P S",     " H.P.S",
        "H.P.S ",    "H.P.S\n",
        "H .P.S",    "H.\tP.S",
        "H=.P.S",    "H.P=.S",
        "H.P==.S",   "H.P.S=",
        "H.P.S==",   "Bearer H.P.S",
        "\"H.P.S\"", "H.P.SA",
        "HA.P.S",    "H.PA.S",
        "H.P.S%00",  "H.P.S&x=1",
        "H.P.S#",    "{\"payload\":\"P\",\"signatures\":[{\"protected\":\"H\",\"signature\":\"S\"}]}",
    };
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct buf token;
        buf_init(&token, &fixture->arena);
        for (const char *c = forms[i]; *c != '\0'; c++) {
            if (*c == 'H' || *c == 'P' || *c == 'S')
                buf_append(&token, *c == 'H' ? header : *c == 'P' ? payload : signature);
            else
                buf_append_char(&token, *c);
        }
        assert_refused(fixture, forms[i], buf_slice(&token));
    }
    assert_refused(fixture, "absent", SLICE_ABSENT);
    assert_refused(fixture, "with its NUL", (struct slice){good.ptr, good.len + 1});
    assert_verdict(fixture, "as it is", good, TOKEN_GOOD);
}

static void every_cut_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice good = forge_good(&fixture->arena, world.key);
    for (size_t len = 0; len < good.len; len++) {
        assert_int_equal(verdict_at(fixture, (struct slice){good.ptr, len}, FORGE_NOW_MS), TOKEN_BAD);
        if (len > 0)
            assert_int_equal(verdict_at(fixture, slice_skip(good, len), FORGE_NOW_MS), TOKEN_BAD);
    }
    assert_int_equal(verdict_at(fixture, good, FORGE_NOW_MS), TOKEN_GOOD);
}

/* Also the last characters of each part, some of whose bits mean nothing: a lenient decoder takes several
 * texts for one token. */
static void every_changed_character_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice good = forge_good(&fixture->arena, world.key);
    assert_int_equal(verdict_at(fixture, good, FORGE_NOW_MS), TOKEN_GOOD);
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ";
    char *changed = arena_alloc(&fixture->arena, good.len);
    memcpy(changed, good.ptr, good.len);
    for (size_t i = 0; i < good.len; i++) {
        bool ends = i + 1 == good.len || good.ptr[i + 1] == '.';
        size_t tries = ends ? sizeof(alphabet) - 1 : 1;
        for (size_t j = 0; j < tries; j++) {
            char other = ends ? alphabet[j] : good.ptr[i] == 'A' ? 'B' : 'A';
            if (other == good.ptr[i])
                continue;
            changed[i] = other;
            if (verdict_at(fixture, (struct slice){changed, good.len}, FORGE_NOW_MS) != TOKEN_BAD)
                fail_msg("character %zu as '%c' was not refused", i, other);
        }
        changed[i] = good.ptr[i];
        if (i % 64 == 0)
            assert_int_equal(verdict_at(fixture, forge_good(&fixture->arena, world.key), FORGE_NOW_MS),
                             TOKEN_GOOD);
    }
}

/* The bits of base64url that mean nothing, set, in a part that is rightly signed as it stands. */
static void signed_but_not_canonical_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int tried = 0;
    for (int pad = 0; pad < 3; pad++) { /* one of three lengths has no such bits */
        struct slice extra = arena_format(&fixture->arena, "\"x\":\"%.*s\"", pad, "aaa");
        struct slice claims = forge_claims(&fixture->arena, (struct edit){.extra = extra.ptr});
        struct slice header = base64url_encode(&fixture->arena, forge_header(&fixture->arena, world.key));
        struct slice payload = base64url_encode(&fixture->arena, claims);
        if (claims.len % 3 == 0)
            continue;
        char *text = arena_alloc(&fixture->arena, payload.len);
        memcpy(text, payload.ptr, payload.len);
        text[payload.len -
             1]++; /* canonical ones end in A, E, I, ... or Q, g, w: the next letter differs in a dead bit */
        struct slice input =
            arena_format(&fixture->arena, "%.*s.%.*s", SLICE_ARG(header), (int)payload.len, text);
        uint8_t signature[RSA_BYTES];
        assert_true(signing_key_sign(world.key, input, signature));
        struct slice tail =
            base64url_encode(&fixture->arena, (struct slice){(const char *)signature, sizeof(signature)});
        assert_refused(fixture, "not canonical",
                       arena_format(&fixture->arena, "%.*s.%.*s", SLICE_ARG(input), SLICE_ARG(tail)));
        tried++;
    }
    assert_int_equal(tried, 2);
}

static void huge_tokens_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const size_t sizes[] = {5000, 7000, 1000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *filler = arena_alloc(&fixture->arena, sizes[i] + 1);
        memset(filler, 'a', sizes[i]);
        filler[sizes[i]] = '\0';
        struct slice extra = arena_format(&fixture->arena, "\"x\":\"%s\"", filler);
        struct slice token = forge(&fixture->arena, world.key, forge_header(&fixture->arena, world.key),
                                   forge_claims(&fixture->arena, (struct edit){.extra = extra.ptr}));
        assert_verdict(fixture, "huge", token, token.len <= TOKEN_BYTES_MAX ? TOKEN_GOOD : TOKEN_BAD);
        memset(filler, '.', sizes[i]);
        assert_refused(fixture, "all dots", (struct slice){filler, sizes[i]});
        memset(filler, '[', sizes[i]);
        struct slice deep = forge(&fixture->arena, world.key, (struct slice){filler, sizes[i]},
                                  forge_claims(&fixture->arena, (struct edit){0}));
        assert_refused(fixture, "deep", deep);
    }
}

/* ---- at the same time ---- */

#define VERIFIERS 4

struct verifier {
    pthread_t thread;
    struct store *store;
    struct slice token;
    const _Atomic bool *stop;
    int64_t verified;
    bool failed;
};

static void *verify_all_the_time(void *arg)
{
    struct verifier *verifier = arg;
    struct db *db = store_connect(verifier->store);
    struct arena arena;
    verifier->failed = db == NULL || !arena_init(&arena, 1 << 20);
    while (!verifier->failed && !atomic_load(verifier->stop)) {
        struct principal principal = somebody(ROLE_CUSTOMER), read;
        struct slice token = token_issue(world.ring, &arena, &principal, FORGE_NOW_MS, 900);
        for (int i = 0; i < 20; i++) {
            struct slice which = i % 2 ? token : verifier->token;
            verifier->failed = verifier->failed ||
                               token_verify(world.ring, db, &arena, which, FORGE_NOW_MS, &read) != TOKEN_GOOD;
            verifier->verified++;
        }
        arena_reset(&arena);
    }
    arena_release(&arena);
    store_disconnect(db);
    return NULL;
}

static void threads_verify_while_keys_rotate(void **state)
{
    struct fixture *fixture = *state;
    struct verifier verifiers[VERIFIERS];
    static _Atomic bool stop;
    struct slice shared = forge_good(&fixture->arena, world.key), complaint;
    for (size_t i = 0; i < VERIFIERS; i++) {
        verifiers[i] = (struct verifier){.store = fixture->store, .token = shared, .stop = &stop};
        assert_int_equal(pthread_create(&verifiers[i].thread, NULL, verify_all_the_time, &verifiers[i]), 0);
    }
    for (int64_t i = 1; i <= 5; i++) {
        assert_true(keys_rotate(fixture->store, SECRET, FORGE_NOW_MS, &fixture->arena, &complaint));
        key_ring_refresh(world.ring, fixture->db, FORGE_NOW_MS + i * 2000);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < VERIFIERS; i++) {
        pthread_join(verifiers[i].thread, NULL);
        assert_false(verifiers[i].failed);
        assert_true(verifiers[i].verified > 0);
    }
}

/* ---- cost: printed, not judged ---- */

#define COSTED 2000

static void what_it_costs(void **state)
{
    struct fixture *fixture = *state;
    struct principal principal = somebody(ROLE_CUSTOMER), read;
    static struct slice tokens[COSTED];
    int64_t begin = clock_monotonic_us();
    for (size_t i = 0; i < COSTED; i++)
        tokens[i] = token_issue(world.ring, &fixture->arena, &principal, FORGE_NOW_MS, 900);
    int64_t issued = clock_monotonic_us();
    int64_t rounds[3];
    for (int round = 0; round < 3; round++) {
        int64_t from = clock_monotonic_us();
        for (size_t i = 0; i < COSTED; i++)
            assert_int_equal(token_verify(world.ring, NULL, &fixture->arena, tokens[i], FORGE_NOW_MS, &read),
                             TOKEN_GOOD);
        rounds[round] = clock_monotonic_us() - from;
    }
    print_message("token: issue %.1f us, verify %.1f us, again %.2f us\n", (double)(issued - begin) / COSTED,
                  (double)rounds[0] / COSTED, (double)rounds[2] / COSTED);
}

#define TEST(function) cmocka_unit_test(function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_says_who_its_bearer_is),
        TEST(no_two_tokens_are_alike),
        TEST(a_token_ends_at_its_second),
        TEST(a_verified_token_is_recalled),
        TEST(another_library_verifies_our_tokens),
        TEST(wrong_claims_are_refused),
        TEST(an_expired_token_is_told_from_a_bad_one),
        TEST(payloads_that_are_no_object_are_refused),
        TEST(wrong_headers_are_refused),
        TEST(the_header_may_be_written_otherwise),
        TEST(the_attackers_own_key_is_refused),
        TEST(a_public_key_is_no_secret),
        TEST(false_signatures_are_refused),
        TEST(wrong_forms_are_refused),
        TEST(every_cut_is_refused),
        TEST(every_changed_character_is_refused),
        TEST(signed_but_not_canonical_is_refused),
        TEST(huge_tokens_are_refused),
        TEST(what_it_costs),
        TEST(threads_verify_while_keys_rotate),
    };
    return cmocka_run_group_tests(tests, world_begin, world_end);
}
