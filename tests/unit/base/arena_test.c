/* arena.h: alignment, limits, growing, giving pages back, and that AddressSanitizer sees what is not handed
 * out. */
#include "base_test.h"

#include "base/limits.h"

#include <stdalign.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define LIMIT ((size_t)1 << 20)

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, LIMIT) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void aligns_and_does_not_overlap(void **state)
{
    (void)state;
    char *previous_end = NULL;
    for (size_t size = 1; size < 70; size++) {
        char *block = arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)block % alignof(max_align_t), 0);
        assert_true(previous_end == NULL || block >= previous_end);
        memset(block, (int)size, size);
        previous_end = block + size;
    }
}

static void zeroes_reused_memory(void **state)
{
    (void)state;
    memset(arena_alloc(&arena, 4096), 0xff, 4096);
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    const char *zeroed = arena_alloc_zero(&arena, 4096);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(zeroed[i], 0);
    arena_reset(&arena);
    memset(arena_alloc(&arena, 4096), 0xff, 4096);
    arena_reset(&arena);
    const uint64_t *array = ARENA_ARRAY(&arena, uint64_t, 16);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(array[i], 0);
}

static void says_no_at_the_limit(void **state)
{
    (void)state;
    assert_null(arena_try_alloc(&arena, LIMIT + 1));
    assert_null(arena_try_alloc(&arena, SIZE_MAX));
    assert_null(arena_try_alloc(&arena, SIZE_MAX - 8));
    assert_int_equal(arena.used, 0);
    (void)arena_alloc(&arena, LIMIT / 2);
    assert_null(arena_try_alloc(&arena, LIMIT / 2 + 1)); /* it is what is left that counts */
    assert_non_null(arena_try_alloc(&arena, LIMIT / 2 - 4096));
    arena_reset(&arena);
#ifndef WITH_ASAN /* which adds a zone behind each block */
    char *all = arena_try_alloc(&arena, LIMIT);
    assert_non_null(all);
    all[LIMIT - 1] = 1;
    assert_null(arena_try_alloc(&arena, 1));
#endif
}

static void past_limit(void)
{
    (void)arena_alloc(&arena, LIMIT + 1);
}

static void array_overflow(void)
{
    volatile size_t count = SIZE_MAX / 4 + 2; /* times 8 is 8 when it wraps */
    (void)ARENA_ARRAY(&arena, uint64_t, count);
}

static void shrink(void)
{
    void *block = arena_alloc(&arena, 10);
    (void)arena_try_grow(&arena, block, 10, 9);
}

static void aborts_on_programmer_errors(void **state)
{
    (void)state;
    assert_aborts(past_limit);
    assert_aborts(array_overflow);
    assert_aborts(shrink);
}

static void grows_newest_in_place(void **state)
{
    (void)state;
    char *block = arena_try_grow(&arena, NULL, 0, 5);
    memcpy(block, "hello", 5);
    assert_ptr_equal(arena_try_grow(&arena, block, 5, 500), block);
    assert_memory_equal(block, "hello", 5);
    assert_ptr_equal(arena_try_grow(&arena, block, 500, 500), block);
    block[499] = 'x';
    char *other = arena_alloc(&arena, 1);
    assert_true(other >= block + 500);
    char *moved = arena_try_grow(&arena, block, 500, 600);
    assert_ptr_not_equal(moved, block);
    assert_memory_equal(moved, "hello", 5);
    assert_int_equal(moved[499], 'x');
    size_t used = arena.used;
    assert_null(arena_try_grow(&arena, moved, 600, LIMIT));
    assert_int_equal(arena.used, used);
    assert_memory_equal(moved, "hello", 5);
    assert_null(arena_try_grow(&arena, moved, 600, SIZE_MAX));
}

/* Pages of the arena that are in memory. */
static size_t resident_pages(void)
{
    static unsigned char pages[LIMIT / 4096];
    assert_int_equal(mincore(arena.base, arena.limit, pages), 0);
    size_t count = 0;
    for (size_t i = 0; i < sizeof(pages); i++)
        count += pages[i] & 1;
    return count;
}

static void gives_pages_back(void **state)
{
    (void)state;
    memset(arena_alloc(&arena, LIMIT / 2), 1, LIMIT / 2);
    assert_true(resident_pages() >= LIMIT / 2 / 4096);
    arena_reset(&arena);
    assert_int_equal(resident_pages(), ARENA_KEEP_BYTES / 4096);
    assert_int_equal(arena.high, 0);
    /* A small request after it keeps what it touched. */
    memset(arena_alloc(&arena, 8192), 1, 8192);
    arena_reset(&arena);
    assert_int_equal(resident_pages(), ARENA_KEEP_BYTES / 4096);
    assert_true(arena.high >= 8192 && arena.high < 16384);
}

static void copies_and_formats(void **state)
{
    (void)state;
    struct slice copy = arena_copy(&arena, (struct slice){"abcdef", 3});
    assert_text(copy, "abc");
    assert_int_equal(copy.ptr[3], 0);
    assert_absent(arena_copy(&arena, SLICE_ABSENT));
    assert_text(arena_copy(&arena, SLICE("")), "");
    struct slice text = arena_format(&arena, "%s-%d", "x", 42);
    assert_text(text, "x-42");
    assert_int_equal(text.ptr[4], 0);
    assert_int_equal(arena_format(&arena, "%5000d", 1).len, 5000);
    assert_text(arena_format(&arena, "%s", ""), "");
}

static void refuses_silly_limits(void **state)
{
    (void)state;
    struct arena other;
    assert_false(arena_init(&other, 0));
    assert_false(arena_init(&other, SIZE_MAX));
    assert_false(arena_init(&other, SIZE_MAX / 4)); /* which the system refuses */
    arena_release(&other);                          /* harmless */
    assert_true(arena_init(&other, 1));
    assert_int_equal(other.limit % 4096, 0);
    arena_release(&other);
    arena_release(&other);
    arena_reset(&other);
}

static void poisons_what_is_not_handed_out(void **state)
{
    (void)state;
#ifdef WITH_ASAN
    char *a = arena_alloc(&arena, 13);
    char *b = arena_alloc(&arena, 16);
    assert_null(__asan_region_is_poisoned(a, 13));
    assert_true(__asan_address_is_poisoned(a + 13));
    assert_null(__asan_region_is_poisoned(b, 16));
    assert_true(__asan_address_is_poisoned(b + 16));
    assert_true(__asan_address_is_poisoned(b - 1));
    char *moved = arena_try_grow(&arena, a, 13, 14);
    assert_true(__asan_address_is_poisoned(a));
    assert_null(__asan_region_is_poisoned(moved, 14));
    arena_reset(&arena);
    assert_true(__asan_address_is_poisoned(b));
    assert_true(__asan_address_is_poisoned(moved));
    char *gone = arena.base;
    arena_release(&arena);
    assert_false(__asan_address_is_poisoned(gone));
#else
    skip();
#endif
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(aligns_and_does_not_overlap),
        with_arena(zeroes_reused_memory),
        with_arena(says_no_at_the_limit),
        with_arena(aborts_on_programmer_errors),
        with_arena(grows_newest_in_place),
        with_arena(gives_pages_back),
        with_arena(copies_and_formats),
        with_arena(refuses_silly_limits),
        with_arena(poisons_what_is_not_handed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
