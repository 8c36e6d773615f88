/* log.h: exact lines, what is cut and how, which stream a line goes to. */
#include "base_test.h"

#include "base/log.h"
#include "base/text.h"

#include <stdio.h>

/* Reads what `act` writes to a descriptor; the text stays until the next call. */
static struct slice captured(int fd, void (*act)(void))
{
    static char text[65536];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    int saved = dup(fd);
    dup2(ends[1], fd);
    close(ends[1]);
    act();
    dup2(saved, fd);
    close(saved);
    size_t len = 0;
    ssize_t count;
    while ((count = read(ends[0], text + len, sizeof(text) - len)) > 0)
        len += (size_t)count;
    close(ends[0]);
    return (struct slice){text, len};
}

static const char *find(struct slice line, const char *text)
{
    return memmem(line.ptr, line.len, text, strlen(text));
}

/* Checks {"time":"2026-01-31T12:34:56.789Z", in front and returns the rest. */
static struct slice without_time(struct slice line)
{
    assert_true(slice_starts_with(line, SLICE("{\"time\":\"2")));
    assert_true(line.len > 35);
    assert_memory_equal(line.ptr + 32, "Z\",", 3);
    return slice_skip(line, 35);
}

static void everything(void)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a \"message\"");
    log_string(&line, "text", SLICE("b\\\n\t\x01\x7f\xc3\xa9"));
    log_string(&line, "absent", SLICE_ABSENT);
    log_string(&line, "empty", SLICE(""));
    log_int(&line, "min", INT64_MIN);
    log_int(&line, "n", 42);
    log_end(&line);
}

static void writes_exact_lines(void **state)
{
    (void)state;
    log_start(LOG_DEBUG);
    assert_text(without_time(captured(STDERR_FILENO, everything)),
                "\"level\":\"error\",\"message\":\"a \\\"message\\\"\","
                "\"text\":\"b\\\\\\n\\u0009\\u0001\\u007f\xc3\xa9\",\"absent\":null,\"empty\":\"\","
                "\"min\":-9223372036854775808,\"n\":42}\n");
    assert_text(captured(STDOUT_FILENO, everything), "");
}

static void not_utf8(void)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "\xff");
    log_string(&line, "path", SLICE("/a\xc3(\xe2\x82\xed\xa0\x80"));
    log_end(&line);
}

static void replaces_what_is_not_utf8(void **state)
{
    (void)state;
    log_start(LOG_INFO);
    struct slice line = captured(STDERR_FILENO, not_utf8);
    assert_true(text_is_valid(line));
    assert_non_null(find(line, "\"/a\xef\xbf\xbd("));
    assert_non_null(find(line, "\"message\":\"\xef\xbf\xbd\""));
}

static void request(void)
{
    struct log_line line;
    log_begin(&line, LOG_REQUEST, "request");
    log_int(&line, "status", 200);
    log_end(&line);
}

static void sends_requests_to_standard_output(void **state)
{
    (void)state;
    log_start(LOG_REQUEST);
    assert_text(without_time(captured(STDOUT_FILENO, request)),
                "\"level\":\"request\",\"message\":\"request\",\"status\":200}\n");
    assert_text(captured(STDERR_FILENO, request), "");
}

static void every_level(void)
{
    log_message(LOG_ERROR, "E%d", 1);
    log_message(LOG_WARN, "W");
    log_message(LOG_INFO, "I");
    log_message(LOG_DEBUG, "D");
    log_message(LOG_OFF, "never");
}

static size_t lines_of(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '\n';
    return count;
}

static void shows_up_to_its_level(void **state)
{
    (void)state;
    log_start(LOG_OFF);
    assert_int_equal(captured(STDERR_FILENO, every_level).len, 0);
    assert_int_equal(captured(STDOUT_FILENO, request).len, 0);
    assert_false(log_enabled(LOG_ERROR));
    assert_false(log_enabled(LOG_OFF));
    log_start(LOG_ERROR);
    assert_text(without_time(captured(STDERR_FILENO, every_level)),
                "\"level\":\"error\",\"message\":\"E1\"}\n");
    assert_int_equal(captured(STDOUT_FILENO, request).len, 0);
    log_start(LOG_REQUEST);
    assert_int_equal(lines_of(captured(STDERR_FILENO, every_level)), 2);
    log_start(LOG_INFO);
    assert_int_equal(lines_of(captured(STDERR_FILENO, every_level)), 3);
    assert_int_equal(lines_of(captured(STDOUT_FILENO, request)), 1);
    log_start(LOG_DEBUG);
    assert_int_equal(lines_of(captured(STDERR_FILENO, every_level)), 4);
    assert_false(log_enabled(LOG_OFF));
}

static size_t value_len;
static char value_char;

static void long_value(void)
{
    char value[6000];
    memset(value, value_char, value_len);
    struct log_line line;
    log_begin(&line, LOG_INFO, "m");
    log_string(&line, "long", (struct slice){value, value_len});
    log_int(&line, "after", 1234567890123456789);
    log_string(&line, "more", SLICE("x"));
    log_end(&line);
}

/* Whatever the length, the line ends properly, within the limit, and a field is whole or left out. */
static void cuts_long_lines(void **state)
{
    (void)state;
    log_start(LOG_INFO);
    static const char CHARS[] = {'a', '"', '\x01', '\xff'};
    for (size_t c = 0; c < sizeof(CHARS); c++) {
        value_char = CHARS[c];
        size_t each = c == 0 ? 1 : c == 1 ? 2 : c == 2 ? 6 : 3;
        for (value_len = 3900 / each; value_len < 4200 / each; value_len++) {
            struct slice line = captured(STDERR_FILENO, long_value);
            assert_true(line.len <= LOG_LINE_MAX);
            assert_int_equal(lines_of(line), 1);
            assert_true(text_is_valid(line));
            bool cut = find(line, "...\"") != NULL;
            bool whole_after = find(line, "\",\"after\":1234567890123456789") != NULL;
            bool any_after = find(line, "after") != NULL;
            assert_int_equal(whole_after, any_after);
            assert_memory_equal(line.ptr + line.len - 2, "}\n", 2);
            if (cut)
                assert_true(line.len > LOG_LINE_MAX - 12);
            else
                assert_true(line.len + 40 > value_len * each);
        }
    }
    value_len = 6000;
    value_char = 'a';
    assert_int_equal(captured(STDERR_FILENO, long_value).len, LOG_LINE_MAX);
}

static void long_message(void)
{
    log_message(LOG_ERROR, "%6000d", 1);
}

static void cuts_long_messages(void **state)
{
    (void)state;
    log_start(LOG_INFO);
    struct slice line = captured(STDERR_FILENO, long_message);
    assert_int_equal(line.len, LOG_LINE_MAX);
    assert_memory_equal(line.ptr + line.len - 6, "...\"}\n", 6);
}

static void parses_levels(void **state)
{
    (void)state;
    static const enum log_level LEVELS[] = {LOG_OFF, LOG_ERROR, LOG_WARN, LOG_REQUEST, LOG_INFO, LOG_DEBUG};
    static const char *const NAMES[] = {"off", "error", "warn", "request", "info", "debug"};
    for (size_t i = 0; i < 6; i++) {
        enum log_level level = LOG_DEBUG;
        assert_true(log_level_parse(slice_from(NAMES[i]), &level));
        assert_int_equal(level, LEVELS[i]);
        assert_string_equal(log_level_name(LEVELS[i]), NAMES[i]);
    }
    enum log_level level;
    assert_false(log_level_parse(SLICE("INFO"), &level));
    assert_false(log_level_parse(SLICE("err"), &level));
    assert_false(log_level_parse(SLICE(""), &level));
    assert_false(log_level_parse(SLICE_ABSENT, &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_exact_lines),
        cmocka_unit_test(replaces_what_is_not_utf8),
        cmocka_unit_test(sends_requests_to_standard_output),
        cmocka_unit_test(shows_up_to_its_level),
        cmocka_unit_test(cuts_long_lines),
        cmocka_unit_test(cuts_long_messages),
        cmocka_unit_test(parses_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
