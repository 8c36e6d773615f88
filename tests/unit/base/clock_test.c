/* clock.h: RFC 3339 both ways, against known answers and against the C library over every day. */
#include "base_test.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LAST_MS INT64_C(253402300799999)
#define FIRST_MS INT64_C(-62167219200000)

static struct slice formatted(int64_t time_ms)
{
    static char text[CLOCK_RFC3339_LEN];
    clock_format_rfc3339(time_ms, text);
    return (struct slice){text, sizeof(text)};
}

static void formats_known_times(void **state)
{
    (void)state;
    assert_text(formatted(0), "1970-01-01T00:00:00.000Z");
    assert_text(formatted(1), "1970-01-01T00:00:00.001Z");
    assert_text(formatted(951782400000), "2000-02-29T00:00:00.000Z");
    assert_text(formatted(1709251199999), "2024-02-29T23:59:59.999Z");
    assert_text(formatted(1769862896789), "2026-01-31T12:34:56.789Z");
    assert_text(formatted(4107542400000), "2100-03-01T00:00:00.000Z"); /* 2100 has no leap day */
    assert_text(formatted(LAST_MS), "9999-12-31T23:59:59.999Z");
    assert_text(formatted(-1), "1969-12-31T23:59:59.999Z");
    assert_text(formatted(FIRST_MS), "0000-01-01T00:00:00.000Z");
    assert_text(formatted(LAST_MS + 1), "9999-12-31T23:59:59.999Z");
    assert_text(formatted(INT64_MAX), "9999-12-31T23:59:59.999Z");
    assert_text(formatted(INT64_MIN), "0000-01-01T00:00:00.000Z");
}

/* Every day of the years 0000..9999: as gmtime says, and back again. */
static void agrees_with_the_library_on_every_day(void **state)
{
    (void)state;
    int64_t day_ms = 86400000;
    for (int64_t time = FIRST_MS, i = 0; time <= LAST_MS; time += day_ms, i++) {
        int64_t ms = time + i * 7919 % day_ms;
        time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        char expected[64];
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)((ms % 1000 + 1000) % 1000));
        struct slice text = formatted(ms);
        if (memcmp(text.ptr, expected, CLOCK_RFC3339_LEN) != 0)
            assert_text(text, expected);
        int64_t back = -1;
        if (!clock_parse_rfc3339(text, &back) || back != ms)
            assert_int_equal(back, ms);
    }
}

static void parses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } ROWS[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01T00:00:00.1Z", 100},
        {"1970-01-01T00:00:00.12Z", 120},
        {"1970-01-01T00:00:00.123456789Z", 123},
        {"1970-01-01T00:00:00.999999999Z", 999},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T18:30:00-05:30", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T23:59:00+23:59", 0},
        {"2026-01-31T12:34:56.789Z", 1769862896789},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"9999-12-31T23:59:59.999Z", LAST_MS},
        {"0000-01-01T00:00:00Z", FIRST_MS},
        {"2016-12-31T23:59:60Z", 1483228800000},      /* a leap second: as the next one */
        {"2017-01-01T00:59:60+01:00", 1483228800000}, /* the same, elsewhere */
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        int64_t ms = -1;
        if (!clock_parse_rfc3339(slice_from(ROWS[i].text), &ms))
            fail_msg("refused: %s", ROWS[i].text);
        assert_int_equal(ms, ROWS[i].ms);
    }
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const ROWS[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31 12:34:56Z",
        "2026-01-31T12:34:56",
        "2026-01-31T12:34Z",
        "2026-01-31T12:34:56.Z",
        "2026-01-31T12:34:56.1234567890Z",
        "2026-01-31T12:34:56,1Z",
        "2026-01-31T12:34:56+1:00",
        "2026-01-31T12:34:56+0100",
        "2026-01-31T12:34:56+24:00",
        "2026-01-31T12:34:56+01:60",
        "2026-01-31T12:34:56+01",
        "2026-01-31T12:34:56ZZ",
        "2026-01-31T12:34:56Z ",
        " 2026-01-31T12:34:56Z",
        "2026-00-31T12:34:56Z",
        "2026-13-31T12:34:56Z",
        "2026-01-00T12:34:56Z",
        "2026-01-32T12:34:56Z",
        "2026-04-31T12:34:56Z",
        "2026-02-29T12:34:56Z",
        "2100-02-29T12:34:56Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:34:61Z",
        "2026-01-31T12:34:60Z",
        "2026-01-31T23:59:60+01:00",
        "26-01-31T12:34:56Z",
        "-026-01-31T12:34:56Z",
        "+2026-01-31T12:34:56Z",
        "2026/01/31T12:34:56Z",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00+00:01",
        "2026-01-31T1a:34:56Z",
        "2026-01-2:T12:34:56Z", /* the neighbours of the digits */
        "2026-01-3/T12:34:56Z",
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        int64_t ms = -1;
        if (clock_parse_rfc3339(slice_from(ROWS[i]), &ms))
            fail_msg("taken: %s", ROWS[i]);
        assert_int_equal(ms, -1);
    }
    int64_t ms;
    assert_false(clock_parse_rfc3339(SLICE_ABSENT, &ms));
    /* Every prefix of a good one is a bad one. */
    struct slice whole = SLICE("2026-01-31T12:34:56.789+01:00");
    for (size_t len = 0; len < whole.len; len++)
        assert_false(clock_parse_rfc3339((struct slice){whole.ptr, len}, &ms));
    assert_true(clock_parse_rfc3339(whole, &ms));
}

static void reads_the_clocks(void **state)
{
    (void)state;
    assert_true(llabs(clock_now_ms() / 1000 - (long long)time(NULL)) <= 1);
    int64_t before = clock_monotonic_us();
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    int64_t passed = clock_monotonic_us() - before;
    assert_true(passed >= 2000 && passed < 10000000);
}

/* ---- waiting ---- */

struct meeting {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_ending;
};

static void meeting_init(struct meeting *meeting)
{
    *meeting = (struct meeting){.is_ending = false};
    pthread_mutex_init(&meeting->mutex, NULL);
    clock_cond_init(&meeting->cond);
}

static void meeting_release(struct meeting *meeting)
{
    pthread_cond_destroy(&meeting->cond);
    pthread_mutex_destroy(&meeting->mutex);
}

static void *end_it(void *arg)
{
    struct meeting *meeting = arg;
    pthread_mutex_lock(&meeting->mutex);
    meeting->is_ending = true;
    pthread_cond_signal(&meeting->cond);
    pthread_mutex_unlock(&meeting->mutex);
    return NULL;
}

static void a_wait_ends_at_its_time_on_the_monotonic_clock(void **state)
{
    (void)state;
    struct meeting meeting;
    meeting_init(&meeting);
    pthread_mutex_lock(&meeting.mutex);
    int64_t until_us = clock_monotonic_us() + 20000;
    while (clock_cond_wait(&meeting.cond, &meeting.mutex, until_us) == 0)
        ;
    int64_t late_us = clock_monotonic_us() - until_us;
    assert_true(late_us >= 0 && late_us < 10000000);
    /* What is past does not wait. */
    assert_int_equal(clock_cond_wait(&meeting.cond, &meeting.mutex, until_us), ETIMEDOUT);
    pthread_mutex_unlock(&meeting.mutex);
    meeting_release(&meeting);
}

static void a_wait_ends_when_it_is_signalled(void **state)
{
    (void)state;
    struct meeting meeting;
    pthread_t thread;
    meeting_init(&meeting);
    pthread_mutex_lock(&meeting.mutex);
    assert_int_equal(pthread_create(&thread, NULL, end_it, &meeting), 0);
    int64_t until_us = clock_monotonic_us() + 60000000;
    while (!meeting.is_ending)
        assert_int_equal(clock_cond_wait(&meeting.cond, &meeting.mutex, until_us), 0);
    pthread_mutex_unlock(&meeting.mutex);
    pthread_join(thread, NULL);
    meeting_release(&meeting);
}

static void a_pause_lasts_its_time_or_until_the_end(void **state)
{
    (void)state;
    struct meeting meeting;
    pthread_t thread;
    meeting_init(&meeting);
    int64_t before_us = clock_monotonic_us();
    assert_true(clock_pause(&meeting.cond, &meeting.mutex, &meeting.is_ending, 20000));
    assert_true(clock_monotonic_us() - before_us >= 20000);
    assert_int_equal(pthread_create(&thread, NULL, end_it, &meeting), 0);
    before_us = clock_monotonic_us();
    assert_false(clock_pause(&meeting.cond, &meeting.mutex, &meeting.is_ending, 60000000));
    assert_false(clock_pause(&meeting.cond, &meeting.mutex, &meeting.is_ending, 60000000));
    assert_true(clock_monotonic_us() - before_us < 30000000);
    pthread_join(thread, NULL);
    meeting_release(&meeting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_known_times),
        cmocka_unit_test(agrees_with_the_library_on_every_day),
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(reads_the_clocks),
        cmocka_unit_test(a_wait_ends_at_its_time_on_the_monotonic_clock),
        cmocka_unit_test(a_wait_ends_when_it_is_signalled),
        cmocka_unit_test(a_pause_lasts_its_time_or_until_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
