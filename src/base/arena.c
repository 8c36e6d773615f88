/* The arena: one reserved mapping, a pointer that moves through it, and what the sanitizer is told about the
 * rest. */
#include "base/arena.h"

#include "base/check.h"
#include "base/limits.h"

#include <stdalign.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_REDZONE                                                                                        \
    ((size_t)16) /* poisoned bytes behind each block, so that running over its end is seen */
#define arena_poison(ptr, len) ASAN_POISON_MEMORY_REGION((ptr), (len))
#define arena_unpoison(ptr, len) ASAN_UNPOISON_MEMORY_REGION((ptr), (len))
#else
#define ARENA_REDZONE ((size_t)0)
#define arena_poison(ptr, len) ((void)(ptr), (void)(len))
#define arena_unpoison(ptr, len) ((void)(ptr), (void)(len))
#endif

#define ARENA_ALIGN alignof(max_align_t)

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

bool arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (limit == 0 || limit > SIZE_MAX / 2)
        return false;
    limit = round_up(limit, page);
    void *base =
        mmap(NULL, limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    /* A huge page would make the first byte of a request cost 2 MB. Where the kernel has none, this fails and
     * no matter. */
    (void)madvise(base, limit, MADV_NOHUGEPAGE);
    arena->base = base;
    arena->limit = limit;
    arena_poison(base, limit);
    return true;
}

void arena_release(struct arena *arena)
{
    if (arena->base != NULL) {
        arena_unpoison(arena->base, arena->limit); /* somebody else's mapping may come to lie here */
        CHECK(munmap(arena->base, arena->limit) == 0);
    }
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    if (arena->base == NULL)
        return;
    arena_poison(arena->base, arena->used);
    arena->used = 0;
    if (arena->high > ARENA_KEEP_BYTES) {
        size_t keep = round_up(ARENA_KEEP_BYTES, (size_t)sysconf(_SC_PAGESIZE));
        /* A failure costs memory and nothing else. */
        if (arena->high > keep)
            (void)madvise(arena->base + keep, arena->limit - keep, MADV_DONTNEED);
        arena->high = 0;
    }
}

void arena_rewind(struct arena *arena, size_t mark)
{
    CHECK(mark <= arena->used);
    arena_poison(arena->base + mark, arena->used - mark);
    arena->used = mark;
}

void *arena_try_alloc(struct arena *arena, size_t size)
{
    size_t start = round_up(arena->used, ARENA_ALIGN);
    size_t taken;
    if (__builtin_add_overflow(size, ARENA_REDZONE, &taken) || start > arena->limit ||
        taken > arena->limit - start)
        return NULL;
    arena->used = start + taken;
    if (arena->used > arena->high)
        arena->high = arena->used;
    char *block = arena->base + start;
    arena_unpoison(block, size);
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *block = arena_try_alloc(arena, size);
    CHECK(block != NULL);
    return block;
}

void *arena_alloc_zero(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

void *arena_alloc_array(struct arena *arena, size_t size, size_t count)
{
    size_t total;
    bool overflows = __builtin_mul_overflow(size, count, &total);
    CHECK(!overflows);
    return arena_alloc_zero(arena, total);
}

void *arena_try_grow(struct arena *arena, void *old, size_t old_size, size_t new_size)
{
    CHECK(new_size >= old_size);
    if (old == NULL)
        return arena_try_alloc(arena, new_size);
    size_t start = (size_t)((char *)old - arena->base);
    bool newest = start + old_size + ARENA_REDZONE == arena->used;
    if (newest) {
        if (new_size > arena->limit - start - ARENA_REDZONE)
            return NULL;
        arena->used = start + new_size + ARENA_REDZONE;
        if (arena->used > arena->high)
            arena->high = arena->used;
        arena_unpoison(old, new_size);
        return old;
    }
    void *block = arena_try_alloc(arena, new_size);
    if (block != NULL) {
        memcpy(block, old, old_size);
        arena_poison(old, old_size); /* who still points at the old block is wrong */
    }
    return block;
}

struct slice arena_copy(struct arena *arena, struct slice text)
{
    if (slice_is_absent(text))
        return text;
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return (struct slice){copy, text.len};
}

struct slice arena_format(struct arena *arena, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    struct slice text = arena_format_list(arena, format, list);
    va_end(list);
    return text;
}

struct slice arena_format_list(struct arena *arena, const char *format, va_list list)
{
    va_list again;
    va_copy(again, list);
    int needed = vsnprintf(NULL, 0, format, list);
    CHECK(needed >= 0);
    size_t len = (size_t)needed;
    char *text = arena_alloc(arena, len + 1);
    int written = vsnprintf(text, len + 1, format, again);
    va_end(again);
    CHECK(written == needed);
    return (struct slice){text, len};
}
