/* A growing run of bytes in an arena: what replies are written into.
 * When the arena is exhausted the buffer keeps what it has and sets `overflow`; from then on every append is
 * ignored, so that what it holds is a prefix without holes. Whoever ships it looks at `overflow` once. */
#pragma once

#include "base/arena.h"

struct buf {
    struct arena *arena;
    char *ptr;
    size_t len;
    size_t cap;
    bool overflow;
};

void buf_init(struct buf *buf, struct arena *arena);
/* Room for at least `extra` more bytes; false (and overflow) at the arena's limit. */
bool buf_reserve(struct buf *buf, size_t extra);
/* The text may be absent or empty; it must not lie in this buffer. */
void buf_append(struct buf *buf, struct slice text);
void buf_append_char(struct buf *buf, char c);
void buf_append_int(struct buf *buf, int64_t value);
void buf_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What was written so far; valid until the next append. */
static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->ptr ? buf->ptr : "", buf->len};
}
