/* Problems as JSON, and what a response keeps and forgets. */
#include "data/cache.h"
#include "http/response.h"

#include "base/crypto.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;
static struct response response;
static struct metric COUNT = METRIC("souk_test_problem", "Test", NULL, METRIC_COUNTER);

static int begin(void **state)
{
    (void)state;
    crypto_start();
    if (!arena_init(&arena, 4 << 20))
        return -1;
    response_init(&response, &arena, false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static json_t *parse(void)
{
    json_error_t error;
    struct slice body = buf_slice(&response.body);
    json_t *json = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        fail_msg("%s: %.*s", error.text, SLICE_ARG(body));
    return json;
}

static const char *member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    assert_non_null(text);
    return text;
}

static void test_problem(void **state)
{
    (void)state;
    assert_int_equal(problem(&response, PROBLEM_OUT_OF_STOCK, "Only %d of \"%s\"\n", 3, "tea"), 409);
    problem_extra_string(&response, "orderNumber", SLICE("SK-1"));
    problem_extra_int(&response, "retryAfterSeconds", 5);
    problem_close(&response, SLICE("id-1"));
    json_t *json = parse();
    assert_string_equal(member(json, "type"), "about:blank");
    assert_string_equal(member(json, "code"), "OUT_OF_STOCK");
    assert_string_equal(member(json, "detail"), "Only 3 of \"tea\"\n");
    assert_string_equal(member(json, "title"), "Not enough stock");
    assert_string_equal(member(json, "orderNumber"), "SK-1");
    assert_string_equal(member(json, "requestId"), "id-1");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 409);
    assert_int_equal(json_integer_value(json_object_get(json, "retryAfterSeconds")), 5);
    json_decref(json);
    assert_string_equal(response.content_type, "application/problem+json");
    assert_string_equal(response.problem_code, "OUT_OF_STOCK");
}

static void test_fields(void **state)
{
    (void)state;
    struct field_error errors[] = {{SLICE("items[0].quantity"), "MAX", SLICE("At most 99")},
                                   {SLICE("email"), "FORMAT", SLICE("No \xe2\x82\xac")}};
    assert_int_equal(problem_fields(&response, errors, 2), 400);
    problem_close(&response, SLICE("x"));
    json_t *json = parse();
    json_t *list = json_object_get(json, "errors");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member(json_array_get(list, 0), "field"), "items[0].quantity");
    assert_string_equal(member(json_array_get(list, 0), "code"), "MAX");
    assert_string_equal(member(json_array_get(list, 1), "message"), "No \xe2\x82\xac");
    json_decref(json);
    assert_int_equal(problem_field(&response, "cursor", "INVALID", "It is %s", "old"), 400);
    problem_close(&response, SLICE("x"));
    json = parse();
    assert_string_equal(member(json, "detail"), "cursor: It is old");
    json_decref(json);
}

/* A detail that is too long is cut between characters. */
static void test_long_detail(void **state)
{
    (void)state;
    char text[2001];
    for (size_t pad = 0; pad < 3; pad++) {
        memset(text, 'a', pad);
        for (size_t i = pad; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        problem(&response, PROBLEM_CONFLICT, "%s", text);
        problem_close(&response, SLICE("x"));
        json_t *json = parse(); /* jansson refuses broken UTF-8 */
        assert_true(strlen(member(json, "detail")) > 400);
        json_decref(json);
    }
}

/* A problem stands in place of everything that was there. */
static void test_replaces(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct cache_ticket ticket = cache_ticket(cache);
    struct slice tag = SLICE("products");
    cache_put(cache, ticket, SLICE("k"), SLICE("v"), &tag, 1, 60);
    json_object_begin(&response.json);
    json_field_int(&response.json, "half", 1);
    response_header(&response, "Location", SLICE("/x"));
    response_version(&response, 3);
    response_drop(&response, "products");
    response_count(&response, &COUNT, 1);
    response_tag(&response, "product", (struct uuid){{1}});
    problem(&response, PROBLEM_NOT_FOUND, "Gone");
    assert_int_equal(response.header_count, 0);
    assert_int_equal(response.version, 0);
    assert_int_equal(response.tag_count, 0);
    response_run_effects(&response, cache);
    assert_int_equal(COUNT.value, 0);
    struct slice value;
    int64_t age;
    assert_true(cache_get(cache, SLICE("k"), &arena, &value, &age));
    /* what a handler adds after the problem counts */
    response_drop(&response, "products");
    response_count(&response, &COUNT, 2);
    response_run_effects(&response, cache);
    response_run_effects(&response, cache); /* once */
    assert_int_equal(COUNT.value, 2);
    assert_false(cache_get(cache, SLICE("k"), &arena, &value, &age));
    problem_close(&response, SLICE("x"));
    json_decref(parse());
    cache_free(cache);
}

static void test_database(void **state)
{
    (void)state;
    assert_int_equal(problem_database(&response, DB_CONFLICT), 409);
    assert_false(response.database_failed);
    assert_int_equal(problem_database(&response, DB_ERROR), 503);
    assert_true(response.database_failed);
    assert_true(slice_is(response_header_value(&response, "Retry-After"), "1"));
}

static void test_table(void **state)
{
    (void)state;
#define X(code, status, title)                                                                               \
    assert_string_equal(problem_code_name(PROBLEM_##code), #code);                                           \
    assert_int_equal(problem(&response, PROBLEM_##code, "d"), status);
    PROBLEM_TABLE(X)
#undef X
}

static void test_response(void **state)
{
    (void)state;
    assert_true(slice_is(response_content(&response), ""));
    json_text(&response.json, SLICE("x"));
    assert_true(slice_is(response_content(&response), "\"x\""));
    response_location(&response, "/products/", (struct uuid){{0xab}});
    assert_true(slice_is(response_header_value(&response, "Location"),
                         "/products/ab000000-0000-0000-0000-000000000000"));
    assert_true(slice_is_absent(response_header_value(&response, "location")));
    response_tag(&response, "product", (struct uuid){{0xab}});
    assert_true(slice_is(response.tags[0], "product:ab000000-0000-0000-0000-000000000000"));
    for (size_t i = 0; i < COUNT_OF(response.tags); i++)
        response_tag(&response, "product", (struct uuid){{1}});
    assert_true(response.is_uncacheable); /* rather than an entry that misses a tag */
    struct request request = {.has_if_match = false};
    assert_int_equal(response_precondition(&response, &request, 5), 0);
    request.has_if_match = true;
    request.if_match_version = 5;
    assert_int_equal(response_precondition(&response, &request, 5), 0);
    assert_int_equal(response_precondition(&response, &request, 6), 412);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {TEST(test_problem),  TEST(test_fields),   TEST(test_long_detail),
                                       TEST(test_replaces), TEST(test_database), TEST(test_table),
                                       TEST(test_response)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
