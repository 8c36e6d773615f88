/* Memory of one request (or one job, one command): handed out by moving a pointer, given back all at once.
 *
 * An arena reserves its whole limit as address space at the start and touches pages only as they are needed,
 * so that handing out memory never fails half-way through a request for lack of a malloc. One thread at a
 * time; it may be handed from thread to thread by whatever hands over the request. */
#pragma once

#include "base/slice.h"

#include <stdarg.h>
#include <stdint.h>

struct arena {
    char *base;
    size_t used;  /* bytes handed out */
    size_t high;  /* most bytes ever handed out since the last trim */
    size_t limit; /* bytes reserved */
};

/* Reserves `limit` bytes of address space. False when the system refuses. */
bool arena_init(struct arena *arena, size_t limit);
/* Gives the address space back. Harmless on an arena that is zeroed or was released. */
void arena_release(struct arena *arena);
/* Forgets all that was handed out. Pages past ARENA_KEEP_BYTES go back to the system.
 * Under AddressSanitizer what is not handed out is poisoned: an overflow or a use after the reset is
 * reported. */
void arena_reset(struct arena *arena);

/* What was handed out since the mark is forgotten: for loops whose rounds need memory of their own. */
static inline size_t arena_mark(const struct arena *arena)
{
    return arena->used;
}
void arena_rewind(struct arena *arena, size_t mark);

/* `size` bytes, aligned for any type, not cleared. Asking for more than is left is a programmer error and
 * aborts: use it for sizes that a limit of limits.h bounds. */
void *arena_alloc(struct arena *arena, size_t size);
/* As arena_alloc, all zero bytes. */
void *arena_alloc_zero(struct arena *arena, size_t size);
/* As arena_alloc, NULL at the limit: for sizes that input decides. */
void *arena_try_alloc(struct arena *arena, size_t size);
/* Enlarges the newest allocation in place, or copies. NULL at the limit (the old block stays). `old` may be
 * NULL with old_size 0; otherwise old_size is exactly what was asked for. A smaller new_size is a programmer
 * error. */
void *arena_try_grow(struct arena *arena, void *old, size_t old_size, size_t new_size);

/* Typed and zeroed. */
#define ARENA_NEW(arena, type) ((type *)arena_alloc_zero((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc_array((arena), sizeof(type), (size_t)(count)))
/* `count` zeroed elements; a product that overflows aborts like any other size past the limit. */
void *arena_alloc_array(struct arena *arena, size_t size, size_t count);

/* A copy in the arena, with a NUL behind it that len does not count. An absent slice stays absent. */
struct slice arena_copy(struct arena *arena, struct slice text);
/* A formatted text in the arena, NUL-terminated. */
struct slice arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct slice arena_format_list(struct arena *arena, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));
