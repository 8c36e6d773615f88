/* Appending to a growing buffer. Growth doubles; the newest block of an arena grows in place, so a reply that
 * is written alone is never copied. */
#include "base/buf.h"

#include "base/check.h"

#include <stdio.h>

#define BUF_FIRST_BYTES ((size_t)512)
#define INT64_DIGITS_MAX 20 /* "-9223372036854775808" */

void buf_init(struct buf *buf, struct arena *arena)
{
    *buf = (struct buf){.arena = arena};
}

bool buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->overflow)
        return false;
    if (extra <= buf->cap - buf->len)
        return true;
    size_t needed;
    if (__builtin_add_overflow(buf->len, extra, &needed)) {
        buf->overflow = true;
        return false;
    }
    size_t doubled = buf->cap == 0 ? BUF_FIRST_BYTES : buf->cap * 2;
    size_t cap = doubled > needed ? doubled : needed;
    char *grown = arena_try_grow(buf->arena, buf->ptr, buf->cap, cap);
    if (grown == NULL && cap > needed) {
        cap = needed; /* near the limit: what is needed may still fit where its double does not */
        grown = arena_try_grow(buf->arena, buf->ptr, buf->cap, cap);
    }
    if (grown == NULL) {
        buf->overflow = true;
        return false;
    }
    buf->ptr = grown;
    buf->cap = cap;
    return true;
}

void buf_append(struct buf *buf, struct slice text)
{
    if (text.len == 0 || !buf_reserve(buf, text.len))
        return;
    memcpy(buf->ptr + buf->len, text.ptr, text.len);
    buf->len += text.len;
}

void buf_append_char(struct buf *buf, char c)
{
    if (buf_reserve(buf, 1))
        buf->ptr[buf->len++] = c;
}

void buf_append_int(struct buf *buf, int64_t value)
{
    static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[INT64_DIGITS_MAX];
    size_t at = sizeof(digits);
    /* Negated as unsigned, since -INT64_MIN does not exist. */
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    while (rest >= 100) {
        at -= 2;
        memcpy(digits + at, PAIRS + rest % 100 * 2, 2);
        rest /= 100;
    }
    if (rest >= 10) {
        at -= 2;
        memcpy(digits + at, PAIRS + rest * 2, 2);
    } else {
        digits[--at] = (char)('0' + rest);
    }
    if (value < 0)
        digits[--at] = '-';
    buf_append(buf, (struct slice){digits + at, sizeof(digits) - at});
}

/* printf into the room there is; returns how long the text is. */
static size_t format_into(struct buf *buf, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

static size_t format_into(struct buf *buf, const char *format, va_list list)
{
    size_t room = buf->cap - buf->len;
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the caller starts it anew for each call */
    int len = vsnprintf(room > 0 ? buf->ptr + buf->len : NULL, room, format, list);
    CHECK(len >= 0);
    return (size_t)len;
}

void buf_format(struct buf *buf, const char *format, ...)
{
    if (buf->overflow)
        return;
    va_list list;
    va_start(list, format);
    size_t len = format_into(buf, format, list);
    va_end(list);
    if (len + 1 > buf->cap - buf->len) { /* it was cut: again, with room for it and vsnprintf's NUL */
        if (!buf_reserve(buf, len + 1))
            return;
        va_start(list, format);
        (void)format_into(buf, format, list);
        va_end(list);
    }
    buf->len += len;
}
