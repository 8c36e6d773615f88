/* The log: a line is built in a fixed buffer on the caller's stack, whatever is put in comes out as valid
 * JSON, and it leaves with one write(2). */
#include "base/log.h"

#include "base/clock.h"
#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <unistr.h>

#define LINE_END_BYTES 2 /* "}\n", for which room is always kept */
#define CUT_MARK "..."

/* Set once at the start; atomic only so that a reader in another thread is well defined. */
static _Atomic int shown_level = LOG_REQUEST;

static const char *const LEVEL_NAMES[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn",   [LOG_REQUEST] = "request",
    [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

void log_start(enum log_level level)
{
    atomic_store_explicit(&shown_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level != LOG_OFF && (int)level <= atomic_load_explicit(&shown_level, memory_order_relaxed);
}

bool log_level_parse(struct slice name, enum log_level *level)
{
    if (slice_is(name, "off")) {
        *level = LOG_OFF;
        return true;
    }
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (slice_is(name, LEVEL_NAMES[i])) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level == LOG_OFF ? "off" : LEVEL_NAMES[level];
}

static size_t line_room(const struct log_line *line)
{
    return LOG_LINE_MAX - LINE_END_BYTES - line->len;
}

static void line_put(struct log_line *line, struct slice text)
{
    memcpy(line->text + line->len, text.ptr, text.len);
    line->len += text.len;
}

/* One character of `value` as it stands in JSON: at most 6 bytes into `out`; `*used` is how many bytes it
 * was. */
static size_t escape_one(struct slice value, char out[8], size_t *used)
{
    static const char HEX[] = "0123456789abcdef";
    unsigned char c = (unsigned char)value.ptr[0];
    *used = 1;
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c == '\n') {
        memcpy(out, "\\n", 2);
        return 2;
    }
    if (c < 0x20 || c == 0x7f) {
        memcpy(out, "\\u00", 4);
        out[4] = HEX[c >> 4];
        out[5] = HEX[c & 15];
        return 6;
    }
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    ucs4_t point;
    int len = u8_mbtoucr(&point, (const uint8_t *)value.ptr, value.len);
    if (len <= 0) {
        memcpy(out, "\xef\xbf\xbd", 3); /* U+FFFD for each byte that is not UTF-8 */
        return 3;
    }
    memcpy(out, value.ptr, (size_t)len);
    *used = (size_t)len;
    return (size_t)len;
}

/* The quoted, escaped value; it is cut so that it, the mark and the closing quote fit. There is room for
 * those two. */
static void line_put_quoted(struct log_line *line, struct slice value)
{
    const size_t tail = sizeof(CUT_MARK) - 1 + 1;
    line_put(line, SLICE("\""));
    while (value.len > 0) {
        char escaped[8];
        size_t used;
        size_t len = escape_one(value, escaped, &used);
        if (len + tail > line_room(line)) {
            line_put(line, SLICE(CUT_MARK));
            break;
        }
        line_put(line, (struct slice){escaped, len});
        value = slice_skip(value, used);
    }
    line_put(line, SLICE("\""));
}

/* Writes ,"key": when at least `room` bytes are left behind it. */
static bool line_put_key(struct log_line *line, const char *key, size_t room)
{
    size_t len = strlen(key);
    if (line->len == 0 || len + 4 + room > line_room(line))
        return false;
    line_put(line, SLICE(",\""));
    line_put(line, (struct slice){key, len});
    line_put(line, SLICE("\":"));
    return true;
}

void log_begin(struct log_line *line, enum log_level level, const char *message)
{
    line->level = level;
    line->len = 0; /* which makes the other functions do nothing */
    if (!log_enabled(level))
        return;
    char time[CLOCK_RFC3339_LEN];
    clock_format_rfc3339(clock_now_ms(), time);
    line_put(line, SLICE("{\"time\":\""));
    line_put(line, (struct slice){time, sizeof(time)});
    line_put(line, SLICE("\",\"level\":\""));
    line_put(line, slice_from(LEVEL_NAMES[level]));
    line_put(line, SLICE("\",\"message\":"));
    line_put_quoted(line, slice_from(message));
    const struct trace *trace = trace_current();
    if (trace != NULL)
        log_string(line, "trace", slice_from(trace->text));
}

void log_string(struct log_line *line, const char *key, struct slice value)
{
    if (slice_is_absent(value)) {
        if (line_put_key(line, key, 4))
            line_put(line, SLICE("null"));
        return;
    }
    /* An empty string or the mark, and the quotes. */
    if (line_put_key(line, key, 2 + sizeof(CUT_MARK) - 1))
        line_put_quoted(line, value);
}

void log_int(struct log_line *line, const char *key, int64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%lld", (long long)value);
    if (line_put_key(line, key, (size_t)len))
        line_put(line, (struct slice){digits, (size_t)len});
}

void log_end(struct log_line *line)
{
    if (line->len == 0)
        return;
    memcpy(line->text + line->len, "}\n", LINE_END_BYTES);
    line->len += LINE_END_BYTES;
    int fd = line->level == LOG_REQUEST ? STDOUT_FILENO : STDERR_FILENO;
    while (write(fd, line->text, line->len) < 0 && errno == EINTR)
        continue;
    line->len = 0;
}

void log_message(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char message[LOG_LINE_MAX];
    va_list list;
    va_start(list, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it was started on the line above */
    (void)vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    struct log_line line;
    log_begin(&line, level, message);
    log_end(&line);
}
