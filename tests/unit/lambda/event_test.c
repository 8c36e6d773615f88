/* Events of every front as exchanges, and replies as their answers. The events are those of AWS's
 * documentation
 * ("Set up Lambda proxy integrations", "Create AWS Lambda proxy integrations for HTTP APIs", "Invoking Lambda
 * function URLs", "Use Lambda functions as targets of an Application Load Balancer"), cut to what is read. */
#include "lambda/event.h"

#include "base/check.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;

#define REST(path, resource, more)                                                                           \
    "{\"resource\":\"" resource "\",\"path\":\"" path "\",\"httpMethod\":\"GET\",\"requestContext\":{"       \
    "\"stage\":\"prod\",\"identity\":{\"sourceIp\":\"192.0.2.1\"}}" more "}"
#define HTTP(path, route, query, more)                                                                          \
    "{\"version\":\"2.0\",\"routeKey\":\"" route "\",\"rawPath\":\"" path "\",\"rawQueryString\":\"" query      \
    "\",\"requestContext\":{\"stage\":\"prod\",\"http\":{\"method\":\"POST\",\"sourceIp\":\"192.0.2.2\"}}" more \
    "}"
#define ALB(more)                                                                                                 \
    "{\"requestContext\":{\"elb\":{\"targetGroupArn\":\"arn\"}},\"httpMethod\":\"GET\",\"path\":\"/lambda\"" more \
    "}"

static const struct {
    const char *about;
    const char *event;
    const char *target;
    const char *address;
} TARGETS[] = {
    {"a REST API's greedy route",
     REST("/my/path", "/{proxy+}", ",\"pathParameters\":{\"proxy\":\"my/path\"}"), "/my/path", "192.0.2.1"},
    {"a route with a parameter", REST("/products/7", "/products/{id}", ",\"pathParameters\":{\"id\":\"7\"}"),
     "/products/7", "192.0.2.1"},
    {"a custom domain's base path", REST("/shop/v1/products/7", "/products/{id}", ""), "/products/7",
     "192.0.2.1"},
    {"a base path before a greedy route",
     REST("/shop/a/b", "/{proxy+}", ",\"pathParameters\":{\"proxy\":\"a/b\"}"), "/a/b", "192.0.2.1"},
    {"a greedy route without its value", REST("/a/b", "/{proxy+}", ""), "/a/b", "192.0.2.1"},
    {"the root", REST("/", "/", ""), "/", "192.0.2.1"},
    {"the root under a base path", REST("/shop", "/", ""), "/", "192.0.2.1"},
    {"an HTTP API in format 1.0", REST("/prod/my/path", "$default", ""), "/my/path", "192.0.2.1"},
    {"parameters came unescaped and are escaped once",
     REST(
         "/p", "/p",
         ",\"queryStringParameters\":{\"q\":\"c\"},\"multiValueQueryStringParameters\":{\"q\":[\"a b+c&d=e%\","
         "\"\\u00e9\"],\"x y\":[\"\"]}"),
     "/p?q=a%20b%2Bc%26d%3De%25&q=%C3%A9&x%20y=", "192.0.2.1"},
    {"single values where there are no lists",
     REST("/p", "/p", ",\"queryStringParameters\":{\"a\":\"1\",\"b\":\"/\"}"), "/p?a=1&b=%2F", "192.0.2.1"},
    {"no parameters", REST("/p", "/p", ",\"multiValueQueryStringParameters\":null"), "/p", "192.0.2.1"},
    {"a path that came unescaped", REST("/caf\\u00e9 #1?", "/{a}", ""), "/caf%C3%A9%20%231%3F", "192.0.2.1"},
    {"a path with escapes", REST("/a%2Fb", "/{a}", ""), "/a%2Fb", "192.0.2.1"},
    {"a trial call has no address",
     "{\"resource\":\"/\",\"path\":\"/\",\"httpMethod\":\"GET\",\"requestContext\":{\"identity\":{"
     "\"sourceIp\":\"test-invoke-source-ip\"}}}",
     "/", ""},
    {"an HTTP API's stage", HTTP("/prod/my/path", "$default", "parameter1=value1&parameter1=value2", ""),
     "/my/path?parameter1=value1&parameter1=value2", "192.0.2.2"},
    {"a path that only begins like the stage", HTTP("/products", "$default", "", ""), "/products",
     "192.0.2.2"},
    {"the stage alone", HTTP("/prod", "$default", "", ""), "/", "192.0.2.2"},
    {"a named route", HTTP("/prod/products/7", "GET /products/{id}", "", ""), "/products/7", "192.0.2.2"},
    {"a raw query goes on as it is", HTTP("/a", "$default", "q=a%20b+c&x=%zz&y=\\u00e9", ""),
     "/a?q=a%20b+c&x=%zz&y=%C3%A9", "192.0.2.2"},
    {"a load balancer hands on what was sent",
     ALB(",\"queryStringParameters\":{\"query\":\"1234%20ABCD+e\"},\"headers\":{\"x-forwarded-for\":\"10.9.9.9, "
         "72.12.164.125\"}"),
     "/lambda?query=1234%20ABCD+e", "72.12.164.125"},
    {"its lists",
     ALB(",\"multiValueQueryStringParameters\":{\"k\":[\"v1\",\"v=2\"]},\"multiValueHeaders\":{"
         "\"X-Forwarded-For\":[\"1.2.3.4\",\"5.6.7.8, 2001:DB8::0:1\"]}"),
     "/lambda?k=v1&k=v=2", "2001:db8::1"},
    {"its health check", ALB(",\"headers\":{\"user-agent\":\"ELB-HealthChecker/2.0\"},\"body\":\"\""),
     "/lambda", ""},
    {"a client's address that is none", ALB(",\"headers\":{\"x-forwarded-for\":\"unknown\"}"), "/lambda", ""},
};

static struct exchange *read(const char *text, enum event_result expected, struct lambda_event *event,
                             struct slice *complaint)
{
    arena_reset(&arena);
    struct exchange *x = exchange_new(&arena);
    enum event_result result = event_read(slice_from(text), x, event, complaint);
    if (result != expected)
        fail_msg("%d, not %d (%.*s): %s", result, expected, SLICE_ARG(*complaint), text);
    return x;
}

static struct exchange *read_good(const char *text, struct lambda_event *event)
{
    struct slice complaint;
    return read(text, EVENT_GOOD, event, &complaint);
}

static void assert_slice(struct slice got, const char *wanted, const char *about)
{
    if (!slice_is(got, wanted) || slice_is_absent(got))
        fail_msg("%s: \"%.*s\", not \"%s\"", about, SLICE_ARG(got), wanted);
}

static void test_targets(void **state)
{
    (void)state;
    struct lambda_event event;
    for (size_t i = 0; i < COUNT_OF(TARGETS); i++) {
        struct exchange *x = read_good(TARGETS[i].event, &event);
        assert_slice(x->target, TARGETS[i].target, TARGETS[i].about);
        assert_slice(x->address, TARGETS[i].address, TARGETS[i].about);
        assert_false(x->is_loopback);
    }
}

static void test_methods_and_fronts(void **state)
{
    (void)state;
    struct lambda_event event;
    assert_int_equal(read_good(REST("/", "/", ""), &event)->method, METHOD_GET);
    assert_int_equal(event.front, FRONT_REST_API);
    assert_int_equal(read_good(HTTP("/", "$default", "", ""), &event)->method, METHOD_POST);
    assert_int_equal(event.front, FRONT_HTTP_API);
    read_good(ALB(",\"headers\":{}"), &event);
    assert_int_equal(event.front, FRONT_ALB);
    assert_false(event.has_multi_values);
    read_good(ALB(",\"multiValueHeaders\":{}"), &event);
    assert_true(event.has_multi_values);
    struct exchange *x = read_good("{\"httpMethod\":\"get\",\"path\":\"/\",\"requestContext\":{}}", &event);
    assert_int_equal(x->method, METHOD_OTHER); /* methods are case-sensitive */
}

static void test_headers(void **state)
{
    (void)state;
    struct lambda_event event;
    struct exchange *x = read_good(
        REST(
            "/", "/",
            ",\"headers\":{\"Accept\":\"no\"},\"multiValueHeaders\":{\"ACCEPT\":[\"text/html\",\"application/json\"],"
            "\"authorization\":[\" Bearer abc \"],\"X-Forwarded-For\":[\"1.2.3.4\"],\"Forwarded\":[\"for=1.2.3.4\"]}"),
        &event);
    assert_slice(x->headers[HEADER_ACCEPT], "text/html, application/json", "lists beat single values");
    assert_slice(x->headers[HEADER_AUTHORIZATION], "Bearer abc", "trimmed");
    assert_true(slice_is_absent(x->headers[HEADER_X_FORWARDED_FOR]));
    assert_true(slice_is_absent(x->headers[HEADER_FORWARDED]));
    x = read_good(HTTP("/", "$default", "",
                       ",\"cookies\":[\"a=1\",\"b=2\"],\"headers\":{\"header1\":\"value1,value2\"}"),
                  &event);
    assert_slice(x->headers[HEADER_COOKIE], "a=1; b=2", "cookies of format 2.0");
}

static void test_bodies(void **state)
{
    (void)state;
    struct lambda_event event;
    struct exchange *x =
        read_good(REST("/", "/", ",\"body\":\"{\\\"a\\\":1}\",\"isBase64Encoded\":false"), &event);
    assert_slice(x->body, "{\"a\":1}", "text");
    x = read_good(REST("/", "/", ",\"body\":\"AP8Q\",\"isBase64Encoded\":true"), &event);
    assert_int_equal(x->body.len, 3);
    assert_memory_equal(x->body.ptr, "\x00\xff\x10", 3);
    x = read_good(REST("/", "/", ",\"body\":\"\",\"isBase64Encoded\":true"), &event);
    assert_int_equal(x->body.len, 0);
    assert_true(slice_is_absent(read_good(REST("/", "/", ",\"body\":null"), &event)->body));
    x = read_good(REST("/", "/", ",\"body\":\"a\\u0000b\""), &event);
    assert_int_equal(x->body.len, 3);
}

/* ---- what is no event, and what no client may send ---- */

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        const char *names;
    } CASES[] = {
        {"", "no JSON"},
        {"{", "no JSON"},
        {"[]", "JSON object"},
        {"null", "JSON object"},
        {"{\"a\":1,\"a\":2}", "no JSON"},
        {"{}", "requestContext"},
        {"{\"requestContext\":[]}", "requestContext"},
        {"{\"Records\":[],\"requestContext\":{}}", "httpMethod"},
        {"{\"httpMethod\":\"GET\",\"requestContext\":{}}", "path"},
        {"{\"version\":\"2.0\",\"requestContext\":{\"http\":{\"method\":\"GET\"}}}", "rawPath"},
        {"{\"version\":\"2.0\",\"rawPath\":\"/\",\"requestContext\":{}}", "requestContext.http.method"},
        {REST("/", "/", ",\"headers\":[]"), "headers"},
        {REST("/", "/", ",\"headers\":{\"a\":1}"), "headers"},
        {REST("/", "/", ",\"multiValueHeaders\":{\"a\":\"b\"}"), "multiValueHeaders"},
        {REST("/", "/", ",\"multiValueHeaders\":{\"a\":[1]}"), "multiValueHeaders"},
        {REST("/", "/", ",\"multiValueQueryStringParameters\":{\"a\":\"b\"}"),
         "multiValueQueryStringParameters"},
        {REST("/", "/", ",\"queryStringParameters\":7"), "queryStringParameters"},
        {REST("/", "/", ",\"body\":7"), "body"},
        {REST("/", "/", ",\"body\":\"a\",\"isBase64Encoded\":1"), "isBase64Encoded"},
        {REST("/", "/", ",\"body\":\"a!\",\"isBase64Encoded\":true"), "base64"},
        {REST("/", "/", ",\"body\":\"YWI\",\"isBase64Encoded\":true"), "base64"},
        {HTTP("/", "$default", "", ",\"cookies\":\"a=1\""), "cookies"},
        {HTTP("/", "$default", "", ",\"cookies\":[1]"), "cookies"},
    };
    struct lambda_event event;
    struct slice complaint;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        read(CASES[i].event, EVENT_MALFORMED, &event, &complaint);
        if (memmem(complaint.ptr, complaint.len, CASES[i].names, strlen(CASES[i].names)) == NULL)
            fail_msg("%.*s names no %s", SLICE_ARG(complaint), CASES[i].names);
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct lambda_event event;
    struct slice complaint;
    struct exchange *x =
        read(REST("/", "/", ",\"multiValueHeaders\":{\"Authorization\":[\"Bearer a\",\"Bearer b\"]}"),
             EVENT_REFUSED, &event, &complaint);
    assert_slice(x->target, "/", "the reply still goes to somebody");
    read(REST("/", "/", ",\"headers\":{\"a b\":\"c\"}"), EVENT_REFUSED, &event, &complaint);
    read(REST("/", "/", ",\"headers\":{\"a\":\"b\\r\\nc: d\"}"), EVENT_REFUSED, &event, &complaint);
    read(REST("/", "/", ",\"headers\":{\"a\":\"b\\u0000\"}"), EVENT_REFUSED, &event, &complaint);
    /* of "?%00=1": what a client can send is never an error of the function */
    x = read(REST("/", "/", ",\"multiValueQueryStringParameters\":{\"\\u0000\":[\"1\"]}"), EVENT_REFUSED,
             &event, &complaint);
    assert_slice(x->target, "/", "the reply still goes to somebody");
}

static void test_cookies_of_a_list_are_one_field(void **state)
{
    (void)state;
    struct lambda_event event;
    struct exchange *x =
        read_good(REST("/", "/", ",\"multiValueHeaders\":{\"cookie\":[\"a=1\",\"b=2\"]}"), &event);
    assert_slice(x->headers[HEADER_COOKIE], "a=1; b=2", "RFC 9113, 8.2.3");
}

static void test_a_load_balancer_takes_less(void **state)
{
    (void)state;
    static char body[LAMBDA_ANSWER_BYTES_MAX_OF_ALB];
    memset(body, 'x', sizeof(body));
    struct reply reply = {.status = HTTP_STATUS_OK, .body = {body, sizeof(body)}};
    arena_reset(&arena);
    const struct lambda_event balancer = {.front = FRONT_ALB}, api = {.front = FRONT_REST_API};
    assert_true(slice_is_absent(event_answer(&balancer, &reply, true, &arena)));
    assert_false(slice_is_absent(event_answer(&api, &reply, true, &arena)));
    reply.body.len -= 1000; /* room for what stands around it */
    assert_false(slice_is_absent(event_answer(&balancer, &reply, true, &arena)));
}

/* ---- answers ---- */

static struct reply reply_of(struct slice body)
{
    struct reply reply = {.status = HTTP_STATUS_OK, .header_count = 4, .body = body};
    reply.headers[0] = (struct response_header){"Content-Type", SLICE("application/json")};
    reply.headers[1] = (struct response_header){"Set-Cookie", SLICE("a=1; Secure")};
    reply.headers[2] = (struct response_header){"Set-Cookie", SLICE("b=\"2\"")};
    reply.headers[3] = (struct response_header){"Vary", SLICE("Origin")};
    return reply;
}

static void assert_answer(struct lambda_event event, struct slice body, const char *wanted)
{
    arena_reset(&arena);
    struct reply reply = reply_of(body);
    assert_slice(event_answer(&event, &reply, true, &arena), wanted, "answer");
}

static void test_answers(void **state)
{
    (void)state;
    assert_answer((struct lambda_event){.front = FRONT_REST_API}, SLICE("{\"a\":\"\xc3\xa9\"}"),
                  "{\"statusCode\":200,\"multiValueHeaders\":{\"Content-Type\":[\"application/json\"],"
                  "\"Set-Cookie\":[\"a=1; Secure\",\"b=\\\"2\\\"\"],\"Vary\":[\"Origin\"]},"
                  "\"body\":\"{\\\"a\\\":\\\"\xc3\xa9\\\"}\",\"isBase64Encoded\":false}");
    assert_answer(
        (struct lambda_event){.front = FRONT_HTTP_API}, SLICE("x"),
        "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\",\"Vary\":\"Origin\"},"
        "\"cookies\":[\"a=1; Secure\",\"b=\\\"2\\\"\"],\"body\":\"x\",\"isBase64Encoded\":false}");
    assert_answer((struct lambda_event){.front = FRONT_ALB}, SLICE("\x1f\x8b\x00"),
                  "{\"statusCode\":200,\"statusDescription\":\"200 OK\",\"headers\":{\"Content-Type\":"
                  "\"application/json\",\"Set-Cookie\":\"a=1; Secure\",\"set-Cookie\":\"b=\\\"2\\\"\","
                  "\"Vary\":\"Origin\"},\"body\":\"H4sA\",\"isBase64Encoded\":true}");
    assert_answer(
        (struct lambda_event){.front = FRONT_ALB, .has_multi_values = true}, SLICE(""),
        "{\"statusCode\":200,\"statusDescription\":\"200 OK\",\"multiValueHeaders\":{\"Content-Type\":"
        "[\"application/json\"],\"Set-Cookie\":[\"a=1; Secure\",\"b=\\\"2\\\"\"],\"Vary\":[\"Origin\"]},"
        "\"body\":\"\",\"isBase64Encoded\":false}");
}

static void test_without_body(void **state)
{
    (void)state;
    const struct lambda_event event = {.front = FRONT_HTTP_API};
    struct reply reply = {.status = HTTP_STATUS_OK, .body = SLICE("a GET would get this")};
    arena_reset(&arena);
    assert_slice(event_answer(&event, &reply, false, &arena),
                 "{\"statusCode\":200,\"headers\":{},\"cookies\":[],\"body\":\"\",\"isBase64Encoded\":false}",
                 "HEAD");
}

/* The limit counts what is sent: escapes and base64 too. */
static void test_limit(void **state)
{
    (void)state;
    static char bytes[LAMBDA_ANSWER_BYTES_MAX + 1];
    const struct lambda_event event = {.front = FRONT_REST_API};
    struct reply reply = {.status = HTTP_STATUS_OK};
    arena_reset(&arena);
    memset(bytes, 'x', sizeof(bytes));
    reply.body = (struct slice){bytes, LAMBDA_ANSWER_BYTES_MAX};
    assert_true(slice_is_absent(event_answer(&event, &reply, true, &arena)));
    arena_reset(&arena);
    struct reply empty = {.status = HTTP_STATUS_OK, .body = SLICE("")};
    size_t around = event_answer(&event, &empty, true, &arena).len;
    reply.body.len = LAMBDA_ANSWER_BYTES_MAX - around;
    assert_int_equal(event_answer(&event, &reply, true, &arena).len, LAMBDA_ANSWER_BYTES_MAX);
    bytes[0] = '"'; /* one byte more as \" */
    arena_reset(&arena);
    assert_true(slice_is_absent(event_answer(&event, &reply, true, &arena)));
    arena_reset(&arena);
    memset(bytes, 0xff, sizeof(bytes));
    reply.body.len = LAMBDA_ANSWER_BYTES_MAX / 4 * 3;
    assert_true(slice_is_absent(event_answer(&event, &reply, true, &arena)));
}

static void test_stream(void **state)
{
    (void)state;
    const struct lambda_event event = {.front = FRONT_HTTP_API};
    struct reply reply = reply_of(SLICE("body"));
    arena_reset(&arena);
    struct slice prelude = event_stream_prelude(&event, &reply, &arena);
    static const char WANTED[] =
        "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\",\"Vary\":\"Origin\"},"
        "\"cookies\":[\"a=1; Secure\",\"b=\\\"2\\\"\"]}\0\0\0\0\0\0\0\0";
    assert_int_equal(prelude.len, sizeof(WANTED) - 1);
    assert_memory_equal(prelude.ptr, WANTED, prelude.len);
}

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, (size_t)96 << 20) ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_methods_and_fronts),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cookies_of_a_list_are_one_field),
        cmocka_unit_test(test_a_load_balancer_takes_less),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_without_body),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_stream),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
