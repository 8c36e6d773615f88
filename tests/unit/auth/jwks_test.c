/* JWK sets and claims of other issuers, as texts: what is taken beside what is not. Rightly and wrongly
 * signed tokens are the matter of tests/api/token-attacks.test.ts. */
#include "auth/issuer.h"
#include "auth/jwks.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* The keys of RFC 7515, appendices A.2 and A.3, with the signatures that stand there. */
#define RSA_N                                                                                                                  \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_" \
    "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define RSA(extra) "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"kid\":\"r\"" extra "}"
#define EC(extra)                                                                                            \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"kid\":\"e\"" extra "}"
#define SET(keys) "{\"keys\":[" keys "]}"

static struct arena arena;

static struct jwk_set *parse(const char *text)
{
    const char *why;
    return jwk_set_parse(&arena, slice_from(text), &why);
}

static void the_examples_of_the_standard_verify(void **state)
{
    (void)state;
    static const char INPUT[] =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    struct slice signature = base64url_decode(
        &arena,
        SLICE("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"));
    struct jwk_set *set = parse(SET(RSA("") "," EC("")));
    assert_non_null(set);
    assert_int_equal(jwk_set_count(set), 2);
    const struct jwk *key = jwk_set_find(set, SLICE("e"));
    assert_true(jwk_verify(key, SLICE("ES256"), slice_from(INPUT), signature));
    assert_false(jwk_verify(key, SLICE("RS256"), slice_from(INPUT), signature));
    assert_false(jwk_verify(key, SLICE("ES256"), SLICE("other"), signature));
    assert_false(jwk_verify(jwk_set_find(set, SLICE("r")), SLICE("ES256"), slice_from(INPUT), signature));
    assert_null(jwk_set_find(set, SLICE("x")));
    assert_null(jwk_set_find(set, SLICE("")));
    jwk_set_release(set);
}

static void keys_of_no_use_are_passed_over(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        SET(RSA("")), SET(EC("")), SET(RSA(",\"alg\":\"RS256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]")),
        SET("{},7,null,[]," RSA("")), SET(RSA("") "," RSA(""))}; /* the same twice is one */
    static const char *const BAD[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"keys\":{}}",
        SET(""),
        SET("{}"),
        SET("7"),
        "{\"keys\":[" RSA("") "],\"keys\":[]}",
        SET(RSA("")) "x",
        SET(RSA(",\"alg\":\"RS512\"")),
        SET(RSA(",\"alg\":\"PS256\"")),
        SET(RSA(",\"use\":\"enc\"")),
        SET(RSA(",\"key_ops\":[\"encrypt\"]")),
        SET(RSA(",\"d\":\"AQAB\"")),
        SET(EC(",\"alg\":\"ES384\"")),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\",\"kid\":\"r\"}"),    /* an exponent of 1 */
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Ag\",\"kid\":\"r\"}"),    /* an even one */
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "=\",\"e\":\"AQAB\",\"kid\":\"r\"}"), /* padded */
        SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"r\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"kid\":\"\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"kid\":7}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\",\"kid\":\"e\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X
            "\",\"kid\":\"e\"}"), /* not on the curve */
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"" EC_Y "\",\"kid\":\"e\"}"),
        SET("{\"kty\":\"oct\",\"k\":\"AQAB\",\"kid\":\"o\",\"alg\":\"HS256\"}"),
        SET(RSA("") ",{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
                    "\",\"kid\":\"r\"}"), /* whose kid? */
    };
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        struct jwk_set *set = parse(GOOD[i]);
        if (set == NULL || jwk_set_count(set) != 1)
            fail_msg("not taken: %s", GOOD[i]);
        jwk_set_release(set);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        if (parse(BAD[i]) != NULL)
            fail_msg("taken: %s", BAD[i]);
    }
}

static void a_set_knows_what_it_lost(void **state)
{
    (void)state;
    struct jwk_set *both = parse(SET(RSA("") "," EC(""))), *one = parse(SET(EC("")));
    assert_true(jwk_set_is_within(one, both));
    assert_false(jwk_set_is_within(both, one));
    assert_true(jwk_set_is_within(both, both));
    jwk_set_release(both);
    jwk_set_release(one);
}

/* ---- settings and claims ---- */

static void no_more_keys_are_kept_than_there_is_room_for(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, &arena);
    buf_append(&text, SLICE("{\"keys\":["));
    for (int i = 0; i < JWKS_KEYS_MAX + 40; i++)
        buf_format(&text,
                   "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y
                   "\",\"kid\":\"k%d\"}",
                   i > 0 ? "," : "", i);
    buf_append(&text, SLICE("]}"));
    const char *why;
    struct jwk_set *set = jwk_set_parse(&arena, buf_slice(&text), &why);
    assert_non_null(set);
    assert_int_equal(jwk_set_count(set), JWKS_KEYS_MAX);
    jwk_set_release(set);
}

static void a_session_is_the_log_in_not_the_token(void **state)
{
    (void)state;
    const struct issuer_settings settings = {.provider = AUTH_OIDC,
                                             .issuer = SLICE("https://i.example"),
                                             .audience = SLICE("api"),
                                             .role_claim = SLICE("groups"),
                                             .role_map = SLICE("a=b=staff,c=admin")};
#define CLAIMS(rest)                                                                                         \
    "{\"iss\":\"https://i.example\",\"aud\":\"api\",\"sub\":\"s\",\"iat\":100,\"exp\":200" rest "}"
    static const char *const TEXTS[] = {CLAIMS(",\"sid\":\"1\",\"jti\":\"x\",\"groups\":[\"a=b\"]"),
                                        CLAIMS(",\"sid\":\"1\",\"jti\":\"y\",\"groups\":[\"c\",\"a=b\"]"),
                                        CLAIMS(",\"sid\":\"2\",\"jti\":\"x\",\"groups\":\"c\""),
                                        CLAIMS(",\"jti\":\"1\",\"groups\":[]")};
    static const char *const ROLES[] = {"staff", "staff", "admin", "customer"};
    struct issued_token issued[COUNT_OF(TEXTS)];
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        issued[i] = (struct issued_token){.text = SLICE("t")};
        assert_true(issuer_claims_check(&settings, &arena, slice_from(TEXTS[i]), 150000, &issued[i]));
        assert_true(slice_is(issued[i].role, ROLES[i]));
    }
    assert_true(uuid_equals(issued[0].session_id, issued[1].session_id));
    assert_false(uuid_equals(issued[0].session_id, issued[2].session_id));
    assert_false(uuid_equals(issued[0].session_id, issued[3].session_id)); /* a jti is no sid */
    /* The leeway, to the millisecond. */
    struct issued_token last;
    last = (struct issued_token){.text = SLICE("t")};
    assert_true(issuer_claims_check(&settings, &arena, slice_from(TEXTS[0]), 229999, &last));
    assert_false(issuer_claims_check(&settings, &arena, slice_from(TEXTS[0]), 230000, &last));
    assert_true(issuer_claims_check(&settings, &arena, slice_from(TEXTS[0]), 70000, &last));
    assert_false(issuer_claims_check(&settings, &arena, slice_from(TEXTS[0]), 69999, &last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_verify),
        cmocka_unit_test(keys_of_no_use_are_passed_over),
        cmocka_unit_test(a_set_knows_what_it_lost),
        cmocka_unit_test(no_more_keys_are_kept_than_there_is_room_for),
        cmocka_unit_test(a_session_is_the_log_in_not_the_token),
    };
    CHECK(arena_init(&arena, (size_t)64 << 20));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
