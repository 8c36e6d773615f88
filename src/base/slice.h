/* A read-only piece of text or bytes: pointer and length. It owns nothing and needs no terminating NUL.
 * `ptr == NULL` means "absent"; an empty text has a non-NULL ptr and len 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal, at compile time. */
#define SLICE(literal) ((struct slice){("" literal ""), sizeof(literal) - 1})
#define SLICE_ABSENT ((struct slice){NULL, 0})
/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, ((s).ptr ? (s).ptr : "")

static inline struct slice slice_from(const char *cstr)
{
    return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_is_absent(struct slice s)
{
    return s.ptr == NULL;
}

static inline bool slice_equals(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *cstr)
{
    return slice_equals(a, slice_from(cstr));
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The part from `offset` on; empty when offset is past the end; absent stays absent. */
static inline struct slice slice_skip(struct slice s, size_t offset)
{
    if (s.ptr == NULL) /* NULL + 0 is undefined in C */
        return s;
    if (offset > s.len)
        offset = s.len;
    return (struct slice){s.ptr + offset, s.len - offset};
}

/* ASCII only, as HTTP header names and schemes need it. */
bool slice_equals_ignore_case(struct slice a, struct slice b);
/* Without leading and trailing space, tab, CR, LF. Absent stays absent. */
struct slice slice_trim(struct slice s);
/* Cuts `*rest` at the first `separator`: returns what stands before it and leaves what stands behind it in
 * `*rest` (absent when there was no separator). False when `*rest` was absent. */
bool slice_split(struct slice *rest, char separator, struct slice *part);
/* A whole decimal number, with an optional '-'; false on anything else or when it does not fit (`*out`
 * untouched). Leading zeros are taken; '+', white space and an empty text are not. */
bool slice_to_int64(struct slice s, long long *out);
