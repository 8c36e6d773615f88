/* The signature, held to the vectors that AWS publishes (aws-sig-v4-test-suite), by their names there. */
#include "base/check.h"
#include "base/crypto.h"
#include "net/aws_sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARENA_BYTES ((size_t)1 << 20)
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define SESSION_TOKEN                                                                                          \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflf" \
    "KD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd" \
    "8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3i" \
    "SIlTJabIQwj2ICCR/oLxBA=="
#define EXTRA_MAX 3

struct vector {
    const char *name, *method, *path, *query, *body, *signed_headers, *signature;
    struct {
        const char *name, *value;
    } extra[EXTRA_MAX]; /* beside Host and X-Amz-Date */
};

static const struct vector VECTORS[] = {
    {"get-vanilla",
     "GET",
     "/",
     "",
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
     {{0}}},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     "",
     "host;x-amz-date",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
     {{0}}},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
     {{0}}},
    {"get-vanilla-query-order-value",
     "GET",
     "/",
     "Param1=value2&Param1=value1",
     "",
     "host;x-amz-date",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
     {{0}}},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     UNRESERVED "=" UNRESERVED,
     "",
     "host;x-amz-date",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
     {{0}}},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "\xe1\x88\xb4=bar",
     "",
     "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
     {{0}}},
    {"get-unreserved",
     "GET",
     "/" UNRESERVED,
     "",
     "",
     "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
     {{0}}},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     "",
     "",
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
     {{0}}},
    {"get-space",
     "GET",
     "/example space/",
     "",
     "",
     "host;x-amz-date",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
     {{0}}},
    {"get-header-key-duplicate",
     "GET",
     "/",
     "",
     "",
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}},
    {"post-vanilla",
     "POST",
     "/",
     "",
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
     {{0}}},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     "",
     "host;x-amz-date",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
     {{0}}},
    {"post-header-key-sort",
     "POST",
     "/",
     "",
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
     {{"My-Header1", "value1"}}},
    {"post-header-value-case",
     "POST",
     "/",
     "",
     "",
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
     {{"My-Header1", "VALUE1"}}},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
     {{"Content-Type", "application/x-www-form-urlencoded"}}},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     "",
     "Param1=value1",
     "content-type;host;x-amz-date",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}}},
    {"post-sts-header-before",
     "POST",
     "/",
     "",
     "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
     {{"X-Amz-Security-Token", SESSION_TOKEN}}},
    /* The token is added behind the signature: what is signed is post-vanilla. */
    {"post-sts-header-after",
     "POST",
     "/",
     "",
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
     {{0}}},
};

static const struct aws_credentials CREDENTIALS = {
    .access_key_id = {"AKIDEXAMPLE", 11},
    .secret_access_key = {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40},
};

static void sign(struct arena *arena, const struct vector *vector, struct aws_signature *signature)
{
    struct aws_signed_header headers[2 + EXTRA_MAX] = {{SLICE("X-Amz-Date"), SLICE("20150830T123600Z")}};
    size_t count = 1;
    for (size_t i = 0; i < EXTRA_MAX && vector->extra[i].name != NULL; i++)
        headers[count++] =
            (struct aws_signed_header){slice_from(vector->extra[i].name), slice_from(vector->extra[i].value)};
    headers[count++] = (struct aws_signed_header){SLICE("Host"), SLICE("example.amazonaws.com")};
    const struct aws_signing signing = {
        .method = slice_from(vector->method),
        .path = slice_from(vector->path),
        .query = slice_from(vector->query),
        .headers = headers,
        .header_count = count,
        .body = slice_from(vector->body),
        .time = SLICE("20150830T123600Z"),
        .region = SLICE("us-east-1"),
        .service = SLICE("service"),
    };
    aws_sign(arena, &CREDENTIALS, &signing, signature);
}

static void the_published_vectors_hold(void **state)
{
    struct arena arena;
    (void)state;
    assert_true(arena_init(&arena, ARENA_BYTES));
    for (size_t i = 0; i < COUNT_OF(VECTORS); i++) {
        const struct vector *vector = &VECTORS[i];
        struct aws_signature signature;
        struct slice expected =
            arena_format(&arena,
                         "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
                         "aws4_request, SignedHeaders=%s, Signature=%s",
                         vector->signed_headers, vector->signature);
        sign(&arena, vector, &signature);
        if (!slice_equals(signature.authorization, expected))
            fail_msg("%s: %.*s\n%.*s", vector->name, SLICE_ARG(signature.authorization),
                     SLICE_ARG(signature.canonical_request));
        arena_reset(&arena);
    }
    arena_release(&arena);
}

static void each_step_is_as_published(void **state)
{
    struct arena arena;
    struct aws_signature signature;
    (void)state;
    assert_true(arena_init(&arena, ARENA_BYTES));
    sign(&arena, &VECTORS[0], &signature);
    assert_true(
        slice_is(signature.canonical_request,
                 "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n"
                 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    sign(&arena, &(struct vector){.method = "POST", .path = "/", .query = "", .body = ""}, &signature);
    assert_true(slice_is(signature.string_to_sign,
                         "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n"
                         "553f88c9e4d10fc9e109e2aeb65f030801b70c2f6468faca261d401ae622fc87"));
    arena_release(&arena);
}

/* What is escaped in the path is escaped once more, in the query it is not. */
static void escapes_of_a_path_are_escaped_again(void **state)
{
    struct arena arena;
    struct aws_signature signature;
    (void)state;
    assert_true(arena_init(&arena, ARENA_BYTES));
    sign(&arena, &(struct vector){.method = "GET", .path = "/a%20b", .query = "c=%2Fd&e", .body = ""},
         &signature);
    assert_true(slice_starts_with(signature.canonical_request, SLICE("GET\n/a%2520b\nc=%2Fd&e=\n")));
    arena_release(&arena);
}

static void times_are_written_as_aws_wants_them(void **state)
{
    struct arena arena;
    (void)state;
    assert_true(arena_init(&arena, ARENA_BYTES));
    assert_true(slice_is(aws_time(&arena, INT64_C(1440938160999)), "20150830T123600Z"));
    assert_true(slice_is(aws_time(&arena, INT64_C(1709164800000)), "20240229T000000Z"));
    arena_release(&arena);
}

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_hold),
        cmocka_unit_test(each_step_is_as_published),
        cmocka_unit_test(escapes_of_a_path_are_escaped_again),
        cmocka_unit_test(times_are_written_as_aws_wants_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
