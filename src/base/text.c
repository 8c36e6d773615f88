/* Unicode text, by libunistring. Most text of a shop is ASCII, and ASCII never reaches the library. */
#include "base/text.h"

#include "base/check.h"

#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool is_ascii(struct slice text)
{
    size_t i = 0;
    for (; text.len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text.ptr + i, sizeof(word));
        if ((word & HIGH_BITS) != 0)
            return false;
    }
    for (; i < text.len; i++) {
        if ((text.ptr[i] & 0x80) != 0)
            return false;
    }
    return true;
}

bool text_is_valid(struct slice text)
{
    if (text.len == 0)
        return true;
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    return is_ascii(text) || u8_check((const uint8_t *)text.ptr, text.len) == NULL;
}

size_t text_length(struct slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += (text.ptr[i] & 0xc0) != 0x80; /* every byte but those that continue a character */
    return count;
}

/* Where the folded text grows: white space is held back until a character follows it. */
struct folder {
    char *out;
    size_t len;
    bool space;
};

static void folder_put(struct folder *folder, const char *bytes, size_t len)
{
    if (folder->space && folder->len > 0)
        folder->out[folder->len++] = ' ';
    folder->space = false;
    memcpy(folder->out + folder->len, bytes, len);
    folder->len += len;
}

static bool is_ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void folder_put_ascii(struct folder *folder, char c)
{
    if (is_ascii_space(c)) {
        folder->space = true;
        return;
    }
    c = ascii_lower(c);
    folder_put(folder, &c, 1);
}

/* Letters that have no decomposition, though a person searching types another. In lower case, as they come
 * here. */
static const char *letter_spelling(ucs4_t point)
{
    switch (point) {
    case 0x00e6:
        return "ae";
    case 0x0153:
        return "oe";
    case 0x00f8:
        return "o";
    case 0x0142:
        return "l";
    case 0x0111:
    case 0x00f0:
        return "d";
    case 0x00fe:
        return "th";
    case 0x0127:
        return "h";
    case 0x0131:
        return "i";
    default:
        return NULL;
    }
}

static void folder_put_point(struct folder *folder, ucs4_t point, const uint8_t *bytes, size_t len)
{
    if (point < 0x80) {
        folder_put_ascii(folder, (char)point);
        return;
    }
    if (uc_is_general_category(point, UC_NON_SPACING_MARK) ||
        uc_is_property_default_ignorable_code_point(point))
        return;
    if (uc_is_property_white_space(point)) {
        folder->space = true;
        return;
    }
    const char *spelling = letter_spelling(point);
    if (spelling != NULL)
        folder_put(folder, spelling, strlen(spelling));
    else
        folder_put(folder, (const char *)bytes, len);
}

/* NFKD, then case folding, then NFKD again: some compatibility forms hide capitals ("㎒" is "MHz"), and
 * folding may leave something to decompose. The result is malloc'ed by the library. */
static uint8_t *decompose_and_fold(struct slice text, size_t *len)
{
    size_t decomposed_len;
    uint8_t *decomposed =
        u8_normalize(UNINORM_NFKD, (const uint8_t *)text.ptr, text.len, NULL, &decomposed_len);
    CHECK(decomposed != NULL); /* valid UTF-8 fails only for want of memory */
    uint8_t *folded = u8_casefold(decomposed, decomposed_len, NULL, UNINORM_NFKD, NULL, len);
    free(decomposed);
    CHECK(folded != NULL);
    return folded;
}

struct slice text_fold(struct arena *arena, struct slice text)
{
    if (text.len == 0)
        return SLICE("");
    struct folder folder = {0};
    if (is_ascii(text)) {
        folder.out = arena_alloc(arena, text.len);
        for (size_t i = 0; i < text.len; i++)
            folder_put_ascii(&folder, text.ptr[i]);
        return (struct slice){folder.out, folder.len};
    }
    CHECK(text_is_valid(text));
    size_t len;
    uint8_t *folded = decompose_and_fold(text, &len);
    folder.out = arena_alloc(arena, len + 1); /* no spelling is longer than its letter */
    for (size_t i = 0; i < len;) {
        ucs4_t point;
        int used = u8_mbtouc(&point, folded + i, len - i);
        CHECK(used > 0);
        folder_put_point(&folder, point, folded + i, (size_t)used);
        i += (size_t)used;
    }
    free(folded);
    return (struct slice){folder.out, folder.len};
}

struct slice text_fold_case(struct arena *arena, struct slice text)
{
    if (text.len == 0)
        return SLICE("");
    if (is_ascii(text)) {
        char *lower = arena_alloc(arena, text.len);
        for (size_t i = 0; i < text.len; i++)
            lower[i] = ascii_lower(text.ptr[i]);
        return (struct slice){lower, text.len};
    }
    CHECK(text_is_valid(text));
    size_t len;
    uint8_t *folded = u8_casefold((const uint8_t *)text.ptr, text.len, NULL, UNINORM_NFC, NULL, &len);
    CHECK(folded != NULL); /* valid UTF-8 fails only for want of memory */
    struct slice copy = arena_copy(arena, (struct slice){(const char *)folded, len});
    free(folded);
    return copy;
}

/* The apostrophes of English and French: they join what stands on both sides. */
static size_t apostrophe_len(struct slice text)
{
    if (text.ptr[0] == '\'')
        return 1;
    return slice_starts_with(text, SLICE("\xe2\x80\x99")) ? 3 : 0; /* U+2019 */
}

struct slice text_slug(struct arena *arena, struct slice text)
{
    struct slice folded = text_fold(arena, text);
    char *slug = arena_alloc(arena, TEXT_SLUG_MAX);
    size_t len = 0;
    size_t last_word_end = 0; /* where the last complete word ended, for the cut */
    bool gap = false;
    while (folded.len > 0) {
        size_t joiner = apostrophe_len(folded);
        char c = folded.ptr[0];
        if (joiner > 0) {
            folded = slice_skip(folded, joiner);
            continue;
        }
        folded = slice_skip(folded, 1);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            gap = true;
            continue;
        }
        size_t needed = gap && len > 0 ? 2 : 1;
        if (needed == 2)
            last_word_end = len;
        if (len + needed > TEXT_SLUG_MAX) {
            if (last_word_end >= TEXT_SLUG_MAX / 2)
                len = last_word_end;
            break;
        }
        if (needed == 2)
            slug[len++] = '-';
        slug[len++] = c;
        gap = false;
    }
    return (struct slice){slug, len};
}
