/* The slice functions that are too long to be inline. */
#include "base/slice.h"

static unsigned char ascii_lower(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + ('a' - 'A')) : byte;
}

bool slice_equals_ignore_case(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

static bool is_trimmed(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_trimmed(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_trimmed(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, char separator, struct slice *part)
{
    if (rest->ptr == NULL)
        return false;
    const char *found = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    if (found == NULL) {
        *part = *rest;
        *rest = SLICE_ABSENT;
        return true;
    }
    size_t len = (size_t)(found - rest->ptr);
    *part = (struct slice){rest->ptr, len};
    *rest = (struct slice){found + 1, rest->len - len - 1};
    return true;
}

bool slice_to_int64(struct slice s, long long *out)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == s.len)
        return false;
    /* Counted downwards, because the negative range is the longer one. */
    long long value = 0;
    for (; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.ptr[i] - '0', &value))
            return false;
    }
    if (!negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *out = value;
    return true;
}
