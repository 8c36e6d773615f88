/* text.h: validity, folding for search and sort, slugs. */
#include "base_test.h"

#include "base/text.h"

#include <stdio.h>
#include <unistr.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, (size_t)4 << 20) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void knows_valid_text(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        "",
        "a",
        "plain text that is longer than a word of the machine",
        "caf\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "\xc2\x80",
        "\xef\xbb\xbf",
        "\x7f\x01",
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++)
        assert_true(text_is_valid(slice_from(GOOD[i])));
    static const char *const BAD[] = {
        "\x80",
        "a\xff",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xf0\x80\x80\xaf", /* overlong */
        "\xed\xa0\x80",
        "\xed\xbf\xbf", /* surrogates */
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "12345678\xc3",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_false(text_is_valid(slice_from(BAD[i])));
    assert_false(text_is_valid(SLICE("a\0b")));
    assert_false(text_is_valid(SLICE("\0")));
    assert_true(text_is_valid(SLICE_ABSENT));
    /* The byte that is wrong may stand anywhere in the fast path's words. */
    for (size_t place = 0; place < 20; place++) {
        char text[20];
        memset(text, 'a', sizeof(text));
        text[place] = '\x80';
        assert_false(text_is_valid((struct slice){text, sizeof(text)}));
    }
}

static void counts_characters(void **state)
{
    (void)state;
    assert_int_equal(text_length(SLICE("")), 0);
    assert_int_equal(text_length(SLICE("abc")), 3);
    assert_int_equal(text_length(SLICE("caf\xc3\xa9")), 4);
    assert_int_equal(text_length(SLICE("\xe2\x82\xac\xf0\x9f\x98\x80x")), 3);
    assert_int_equal(text_length(SLICE_ABSENT), 0);
}

static void folds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *folded;
    } ROWS[] = {
        {"", ""},
        {"abc", "abc"},
        {"ABC xyz-1", "abc xyz-1"},
        {"  Caf\u00e9   Cr\u00e8me ", "cafe creme"},
        {"Cafe\u0301", "cafe"}, /* decomposed already */
        {" \t\r\n\v\f ", ""},
        {"a\t\n b", "a b"},
        {"a\u00a0\u2003\u3000b\u2028", "a b"}, /* no-break, em and ideographic space, line separator */
        {"\u00a0 a", "a"},
        {"Stra\u00dfe", "strasse"},
        {"STRA\u1e9eE", "strasse"},
        {"\u00c6r\u00f8sk\u00f8bing", "aeroskobing"},
        {"\u0152uvre", "oeuvre"},
        {"\u00de\u00f3r \u00d0", "thor d"},
        {"\u0141\u00f3d\u017a", "lodz"},
        {"\u0110or\u0111e \u0126", "dorde h"},
        {"\u0130stanbul I\u0131", "istanbul ii"}, /* Turkish capital and dotless i */
        {"\u00c5ngstr\u00f6m", "angstrom"},
        {"\u212b", "a"},                      /* the sign of the unit */
        {"\ufb01sh \uff21\uff22", "fish ab"}, /* ligature, full width */
        {"\u3392", "mhz"},                    /* capitals inside a compatibility form */
        {"x\u00b2 \u2460 \u00bd", "x2 1 1\u20442"},
        {"\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
         "\u03c3\u03b9\u03c3\u03c5\u03c6\u03bf\u03c3"}, /* final sigma */
        {"\u0419\u0401", "\u0438\u0435"},               /* Cyrillic short i and yo */
        {"\u65e5\u672c", "\u65e5\u672c"},
        {"soft\u00adhyphen\u200b\ufeff", "softhyphen"},
        {"\U0001f600 OK", "\U0001f600 ok"},
        {"\u0301", ""}, /* nothing but a mark */
        {"Ti\u1ebfng Vi\u1ec7t", "tieng viet"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        assert_text(text_fold(&arena, slice_from(ROWS[i].text)), ROWS[i].folded);
    assert_text(text_fold(&arena, SLICE_ABSENT), "");
}

/* Both paths say the same, and folding what is folded changes nothing: else a search term and a stored name
 * could differ. */
static void folding_is_stable_for_every_character(void **state)
{
    (void)state;
    for (ucs4_t point = 1; point < 0x20000; point++) {
        if (point >= 0xd800 && point < 0xe000)
            continue;
        arena_reset(&arena);
        uint8_t text[8] = {'x'};
        int len = u8_uctomb(text + 1, point, 6);
        assert_true(len > 0);
        struct slice once = text_fold(&arena, (struct slice){(const char *)text, (size_t)len + 1});
        struct slice twice = text_fold(&arena, once);
        assert_true(text_is_valid(once));
        if (!slice_equals(once, twice))
            fail_msg("U+%04X: \"%.*s\" then \"%.*s\"", point, SLICE_ARG(once), SLICE_ARG(twice));
    }
    for (char c = 1; c < 127; c++) {
        char ascii[3] = {'A', c, 'b'};
        char slow[6] = {'A', c, 'b', ' ', '\xc3', '\xa9'};
        struct slice folded = text_fold(&arena, (struct slice){ascii, 3});
        struct slice other = text_fold(&arena, (struct slice){slow, 6});
        assert_int_equal(other.len, folded.len + 2);
        assert_memory_equal(other.ptr, folded.ptr, folded.len);
    }
}

static void makes_slugs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *slug;
    } ROWS[] = {
        {"", ""},
        {"Blue T-Shirt", "blue-t-shirt"},
        {"  --Caf\u00e9 & Cr\u00e8me!  ", "cafe-creme"},
        {"a___b...c", "a-b-c"},
        {"Men's \u2018Shoes\u2019", "mens-shoes"},
        {"100% Wool", "100-wool"},
        {"Stra\u00dfe", "strasse"},
        {"\u65e5\u672c", ""},
        {"\u65e5\u672c camera \u65e5", "camera"},
        {"!!!", ""},
        {"a/b?c#d", "a-b-c-d"},
        {"a - 'b", "a-b"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        assert_text(text_slug(&arena, slice_from(ROWS[i].text)), ROWS[i].slug);
}

static struct slice repeat(char c, size_t count, const char *tail)
{
    char *text = arena_alloc(&arena, count + strlen(tail));
    memset(text, c, count);
    memcpy(text + count, tail, strlen(tail));
    return (struct slice){text, count + strlen(tail)};
}

static void cuts_slugs(void **state)
{
    (void)state;
    assert_int_equal(text_slug(&arena, repeat('a', 80, "")).len, 80);
    assert_int_equal(text_slug(&arena, repeat('a', 81, "")).len, 80);
    assert_int_equal(text_slug(&arena, repeat('a', 80, " b")).len, 80);
    assert_int_equal(text_slug(&arena, repeat('a', 79, " b")).len, 79); /* no dash at the end */
    assert_int_equal(text_slug(&arena, repeat('a', 78, " b")).len, 80);
    assert_int_equal(text_slug(&arena, repeat('a', 70, " bbbbbbbbbbbbbbb")).len,
                     70); /* behind the last whole word */
    assert_int_equal(
        text_slug(&arena, repeat(' ', 5,
                                 "x aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
            .len,
        80); /* the words that would be left are too little */
}

static void fold_invalid(void)
{
    (void)text_fold(&arena, SLICE("\xc3("));
}

static void asserts_valid_text(void **state)
{
    (void)state;
    assert_aborts(fold_invalid);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void folds_case_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text, *folded;
    } CASES[] = {
        {"", ""},
        {"Anna.B+c@Example.COM", "anna.b+c@example.com"},
        {"  Two  Spaces ", "  two  spaces "},
        {"JOS\xc3\x89@Example.com", "jos\xc3\xa9@example.com"},
        {"JOSE\xcc\x81", "jos\xc3\xa9"}, /* written in two parts */
        {"STRA\xc3\x9f\x45", "strasse"},
        {"\xce\xa3\xce\x91\xcf\x82", "\xcf\x83\xce\xb1\xcf\x83"}, /* a final sigma is one too */
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct slice folded = text_fold_case(&arena, slice_from(CASES[i].text));
        assert_non_null(folded.ptr);
        assert_int_equal(folded.len, strlen(CASES[i].folded));
        assert_memory_equal(folded.ptr, CASES[i].folded, folded.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(knows_valid_text),
        with_arena(counts_characters),
        with_arena(folds),
        with_arena(folding_is_stable_for_every_character),
        with_arena(folds_case_alone),
        with_arena(makes_slugs),
        with_arena(cuts_slugs),
        with_arena(asserts_valid_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
