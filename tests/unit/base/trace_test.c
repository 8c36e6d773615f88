/* trace.h: what the recommendations take and refuse, who decides about sampling, what is told of a request.
 */
#include "base_test.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/trace_json.h"

#include <stdio.h>

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, (size_t)4 << 20) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    trace_start(NULL, 0);
    arena_release(&arena);
    return 0;
}

/* Cases of the W3C's own test suite (https://github.com/w3c/trace-context/blob/main/test/test.py), as far as
 * they speak of one header's text. */
static void reads_traceparent_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
    } CASES[] = {
        {GOOD, true},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", true},
        {"", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false},
        {GOOD "-what", false},
        {GOOD ".", false},
        {"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false},
        {"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"0G-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
        {"00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.1", false},
        {"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false},
        {" " GOOD, false},
        {GOOD "," GOOD, false},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct trace trace = {.is_sampled = false};
        if (traceparent_parse(slice_from(CASES[i].text), &trace) != CASES[i].is_good)
            fail_msg("%s", CASES[i].text);
    }
    struct trace trace = {.is_sampled = false};
    assert_true(traceparent_parse(SLICE(GOOD), &trace));
    assert_true(trace.is_sampled && trace.has_parent);
    assert_int_equal(trace.id[0], 0x4b);
    assert_int_equal(trace.parent_id[7], 0xb7);
}

static void reads_amazons_header(void **state)
{
    (void)state;
    struct trace trace = {.is_sampled = false};
    bool is_decided;
    assert_true(amazon_trace_parse(
        SLICE("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"), &trace,
        &is_decided));
    assert_true(is_decided && trace.is_sampled && trace.has_parent);
    assert_int_equal(trace.id[0], 0x57);
    assert_int_equal(trace.id[4], 0xbd);
    assert_int_equal(trace.id[15], 0x93);
    trace = (struct trace){.is_sampled = false};
    assert_true(amazon_trace_parse(SLICE("Self=1-67891234-12456789abcdef012345678;"
                                         "Root=1-67891233-abcdef012345678912345678"),
                                   &trace, &is_decided));
    assert_false(is_decided || trace.has_parent);
    assert_false(amazon_trace_parse(SLICE("Parent=53995c3f42cd8ad8;Sampled=1"), &trace, &is_decided));
    assert_false(amazon_trace_parse(SLICE("Root=2-5759e988-bd862e3fe1be46a994272793"), &trace, &is_decided));
    assert_false(amazon_trace_parse(SLICE("Root=1-00000000-000000000000000000000000"), &trace, &is_decided));
    assert_false(amazon_trace_parse(SLICE(";;=;"), &trace, &is_decided));
}

static struct trace begun(const char *traceparent, struct uuid id)
{
    struct trace trace = {.is_sampled = false};
    const struct trace_headers headers = {.traceparent = slice_from(traceparent)};
    trace_begin(&trace, &arena, &headers, id);
    return trace;
}

static unsigned told;
static struct slice json;

static void sink(const struct trace_report *report)
{
    struct buf out;
    buf_init(&out, report->arena);
    trace_write_otlp(report, &out);
    json = buf_slice(&out);
    told++;
}

static void the_caller_decides_then_the_share(void **state)
{
    (void)state;
    unsigned sampled = 0;
    struct uuid id = uuid_v7(1);
    assert_false(begun(GOOD, id).is_sampled); /* off */
    trace_start(sink, 0);
    assert_true(begun(GOOD, id).is_sampled);
    assert_false(begun(NULL, id).is_sampled);
    trace_start(sink, 1000000);
    assert_true(begun(NULL, id).is_sampled);
    assert_false(begun("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", id).is_sampled);
    trace_start(sink, 250000);
    for (int i = 0; i < 4000; i++) {
        arena_reset(&arena);
        sampled += begun(NULL, uuid_v4()).is_sampled;
    }
    assert_in_range(sampled, 800, 1200);
}

static void without_a_parent_the_request_is_the_trace(void **state)
{
    (void)state;
    struct uuid id;
    struct uuid nil = {{0}};
    assert_true(uuid_parse(SLICE("0190a6d3-3a0b-7c7e-8f7a-2f0d4c1b9e55"), &id));
    struct trace trace = begun("no traceparent", id);
    assert_string_equal(trace.text, "0190a6d33a0b7c7e8f7a2f0d4c1b9e55");
    assert_string_not_equal(begun(NULL, nil).text, "00000000000000000000000000000000");
}

static void outgoing_calls_are_told(void **state)
{
    (void)state;
    char text[TRACEPARENT_LEN + 1], child[TRACEPARENT_LEN + 1];
    struct trace passed = begun(GOOD, uuid_v4()); /* off: what came goes on, not sampled here */
    assert_true(traceparent_format(&passed, NULL, text));
    assert_string_equal(text, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    struct trace own = begun(NULL, uuid_v4());
    assert_false(traceparent_format(&own, NULL, text));
    trace_start(sink, 0);
    struct trace sampled = begun(GOOD, uuid_v4());
    struct trace *before = trace_enter(&sampled);
    struct span *span = span_begin("POST", SPAN_HTTP);
    span_end(span, false);
    assert_true(traceparent_format(&sampled, NULL, text));
    assert_true(traceparent_format(&sampled, span, child));
    (void)trace_enter(before);
    assert_memory_equal(text, GOOD, 36);
    assert_memory_equal(child, GOOD, 36);
    assert_string_not_equal(text, child);
    assert_string_not_equal(text, GOOD);
}

static void spans_are_bounded(void **state)
{
    (void)state;
    trace_start(sink, 1000000);
    struct trace trace = begun(NULL, uuid_v4());
    assert_null(span_begin("SELECT", SPAN_POSTGRES)); /* of no trace */
    struct trace *before = trace_enter(&trace);
    for (int i = 0; i < TRACE_SPANS_MAX + 5; i++)
        span_end(span_begin("SELECT", SPAN_POSTGRES), false);
    (void)trace_enter(before);
    assert_int_equal(trace.span_count, TRACE_SPANS_MAX);
    assert_int_equal(trace.spans_left_out, 5);
    assert_null(trace_current());
}

static bool json_has(const char *text)
{
    return memmem(json.ptr, json.len, text, strlen(text)) != NULL;
}

static void tells_what_was_done(void **state)
{
    (void)state;
    trace_start(sink, 0);
    struct trace trace = begun(GOOD, uuid_v4());
    struct trace *before = trace_enter(&trace);
    span_end(span_begin("SELECT", SPAN_POSTGRES), true);
    (void)trace_enter(before);
    told = 0;
    trace_end(&(struct trace_report){.trace = &trace,
                                     .arena = &arena,
                                     .method = "GET",
                                     .route = "/cart/{id}",
                                     .operation = "cart_show",
                                     .status = 503,
                                     .began_us = 1000,
                                     .ended_us = 3500,
                                     .now_ms = 1700000000000,
                                     .now_us = 4000});
    assert_int_equal(told, 1);
    assert_true(json_has("\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\""));
    assert_true(json_has("\"parentSpanId\":\"00f067aa0ba902b7\""));
    assert_true(json_has("\"name\":\"GET /cart/{id}\""));
    assert_true(json_has("\"startTimeUnixNano\":\"1699999999997000000\""));
    assert_true(json_has("\"endTimeUnixNano\":\"1699999999999500000\""));
    assert_true(json_has("{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"503\"}}"));
    assert_true(json_has("{\"key\":\"db.system.name\",\"value\":{\"stringValue\":\"postgresql\"}}"));
    assert_true(json_has("\"status\":{\"code\":2}"));
    struct trace unsampled = begun(NULL, uuid_v4());
    trace_end(&(struct trace_report){.trace = &unsampled, .arena = &arena, .method = "GET"});
    assert_int_equal(told, 1);
}

static void writes_segments_for_xray(void **state)
{
    (void)state;
    struct buf out;
    const struct trace_source source = {
        .service = SLICE("souk"), .stage = SLICE("test"), .is_function = true};
    trace_start(sink, 0);
    struct trace trace = begun(GOOD, uuid_v4());
    buf_init(&out, &arena);
    trace_write_xray(&(struct trace_report){.trace = &trace,
                                            .arena = &arena,
                                            .method = "GET",
                                            .route = "/products",
                                            .operation = "products_list",
                                            .status = 429,
                                            .began_us = 0,
                                            .ended_us = 1500000,
                                            .now_ms = 1700000000000,
                                            .now_us = 1500000},
                     &source, &out);
    json = buf_slice(&out);
    const char *head = "{\"format\": \"json\", \"version\": 1}\n{\"name\":\"souk\",\"id\":\"";
    assert_memory_equal(json.ptr, head, strlen(head));
    assert_true(
        json_has("\"trace_id\":\"1-4bf92f35-77b34da6a3ce929d0e0e4736\",\"parent_id\":\"00f067aa0ba902b7\","
                 "\"type\":\"subsegment\""));
    assert_true(json_has("\"start_time\":1699999998.500000,\"end_time\":1700000000.000000"));
    assert_true(json_has("\"error\":true,\"throttle\":true"));
}

static void the_log_names_the_trace(void **state)
{
    (void)state;
    struct log_line line;
    struct trace trace = begun(GOOD, uuid_v4());
    struct trace *before = trace_enter(&trace);
    log_begin(&line, LOG_ERROR, "x");
    (void)trace_enter(before);
    assert_non_null(memmem(line.text, line.len, "\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\"", 42));
    log_begin(&line, LOG_ERROR, "x");
    assert_null(memmem(line.text, line.len, "trace", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_traceparent_strictly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_amazons_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_caller_decides_then_the_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_parent_the_request_is_the_trace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outgoing_calls_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spans_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_what_was_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_segments_for_xray, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_log_names_the_trace, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
