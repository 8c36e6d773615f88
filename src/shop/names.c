/* Names that the shop makes up: see names.h. */
#include "shop/names.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "base/text.h"

#define SUFFIX_NUMBERED_MAX                                                                                  \
    20 /* beyond, a random suffix: counting on would take a look-up for each namesake */
#define SUFFIX_TRIES_MAX 30
#define SKU_BYTES_MAX 64
#define SKU_STEM_BYTES_MAX 54 /* leaves room for a suffix */
#define SLUG_STEM_BYTES_MAX 72

struct slice name_sort_key(struct arena *arena, struct slice name)
{
    struct slice key = text_fold(arena, name);
    if (key.len <= SORT_KEY_BYTES_MAX)
        return key;
    key.len = SORT_KEY_BYTES_MAX;
    while (key.len > 0 && ((unsigned char)key.ptr[key.len] & 0xC0) == 0x80) /* not inside a character */
        key.len--;
    return key;
}

/* ---- names that may be taken ---- */

/* The name itself at the first attempt, then NAME-2, NAME-3, ..., in the end NAME-RANDOM. */
static struct slice suffixed(struct arena *arena, struct slice name, int attempt)
{
    if (attempt == 1)
        return name;
    if (attempt <= SUFFIX_NUMBERED_MAX)
        return arena_format(arena, "%.*s-%d", SLICE_ARG(name), attempt);
    return arena_format(arena, "%.*s-%08x", SLICE_ARG(name), (unsigned)(random_u64() & 0xffffffff));
}

static struct slice cut(struct slice text, size_t len_max)
{
    if (text.len > len_max)
        text.len = len_max;
    while (text.len > 0 && text.ptr[text.len - 1] == '-')
        text.len--;
    return text;
}

/* DB_ROW: there is one. */
static enum db_result is_taken_now(struct db *db, const struct db_statement *is_taken, struct slice name)
{
    struct db_rows *rows = db_query(db, is_taken, DB_ARGS(db_text(name)));
    enum db_result result = db_next(rows);
    if (result == DB_ROW)
        db_close(rows);
    return result;
}

/* ---- slugs ---- */

bool slug_looks_like_id(struct slice slug)
{
    struct uuid id;
    return uuid_parse(slug, &id);
}

enum db_result slug_make(struct db *db, struct arena *arena, const struct db_statement *is_taken,
                         struct slice name, struct slice fallback, struct slice *slug)
{
    struct slice stem = cut(text_slug(arena, name), SLUG_STEM_BYTES_MAX);
    if (stem.len == 0 || slug_looks_like_id(stem))
        stem = fallback;
    for (int attempt = 1; attempt <= SUFFIX_TRIES_MAX; attempt++) {
        *slug = suffixed(arena, stem, attempt);
        enum db_result result = is_taken_now(db, is_taken, *slug);
        if (result != DB_ROW)
            return result;
    }
    return DB_CONFLICT;
}

/* ---- SKUs ---- */

static void capitals_append(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        buf_append_char(out, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
    }
}

struct slice sku_stem(struct arena *arena, struct slice base, const struct slice *option_values, size_t count)
{
    struct buf stem;
    buf_init(&stem, arena);
    size_t share = count == 0 ? SKU_STEM_BYTES_MAX
                              : SKU_STEM_BYTES_MAX / 2; /* a long name leaves room for what tells apart */
    capitals_append(&stem, cut(base, share));
    for (size_t i = 0; i < count; i++) {
        struct slice value = text_slug(arena, option_values[i]);
        if (value.len == 0)
            continue;
        buf_append_char(&stem, '-');
        capitals_append(&stem, value);
    }
    struct slice made = cut(buf_slice(&stem), SKU_STEM_BYTES_MAX);
    return made.len > 0 ? made : SLICE("SKU"); /* signs and letters that have no capitals leave nothing */
}

DB_STATEMENT(SKU_IS_TAKEN) = {
    .sql = "SELECT 1 FROM variants WHERE sku = $1 AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

static bool is_among(struct slice text, const struct slice *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equals(text, list[i]))
            return true;
    }
    return false;
}

enum db_result sku_make(struct db *db, struct arena *arena, struct slice stem, const struct slice *claimed,
                        size_t claimed_count, struct slice *sku)
{
    for (int attempt = 1; attempt <= SUFFIX_TRIES_MAX; attempt++) {
        *sku = suffixed(arena, stem, attempt);
        CHECK(sku->len > 0 && sku->len <= SKU_BYTES_MAX);
        if (is_among(*sku, claimed, claimed_count))
            continue;
        enum db_result result = is_taken_now(db, &SKU_IS_TAKEN, *sku);
        if (result != DB_ROW)
            return result;
    }
    return DB_CONFLICT;
}
