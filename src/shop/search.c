/* Text search on SQLite's FTS5. Words are folded on both sides (base/text.h), so that "Straße" meets
 * "strasse" and accents do not matter. The texts for PostgreSQL will stand beside these. */
#include "shop/search.h"

#include "base/text.h"

#include <unictype.h>
#include <unistr.h>

/* ---- what was typed ---- */

/* A SKU is one word in the index, without its signs and behind a letter that nobody types: it is found whole,
 * or by its beginning where that looks like a code. A made SKU repeats the name that a product had once: as
 * plain words it would find the product by that name for ever. */
#define SKU_MARK "\xca\x98" /* U+0298 */

/* Words are between spaces; parts of a word are between other signs: BOOT-42 is one word of two parts. */
#define PARTS_MAX 8

struct word {
    struct slice parts[PARTS_MAX];
    size_t count;
    bool is_ascii;
    bool has_digit;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || (unsigned char)c >= 0x80;
}

/* Whether the engine sees a word in it: one that is all signs would, behind an AND, find nothing. */
static bool has_letter(struct slice text)
{
    while (text.len > 0) {
        ucs4_t point;
        int len = u8_mbtouc(&point, (const uint8_t *)text.ptr, text.len);
        if (uc_is_general_category_withtable(point, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N))
            return true;
        text = slice_skip(text, (size_t)len);
    }
    return false;
}

/* False at the end of the folded text. A word may have no parts. */
static bool next_word(struct slice *rest, struct word *word)
{
    struct slice text;
    *word = (struct word){.is_ascii = true};
    if (!slice_split(rest, ' ', &text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        word->is_ascii = word->is_ascii && (unsigned char)text.ptr[i] < 0x80;
        word->has_digit = word->has_digit || is_digit(text.ptr[i]);
    }
    while (text.len > 0 && word->count < PARTS_MAX) {
        size_t len = 0;
        while (len < text.len && is_letter(text.ptr[len]))
            len++;
        struct slice part = {text.ptr, len};
        if (has_letter(part))
            word->parts[word->count++] = part;
        text = slice_skip(text, len > 0 ? len : 1);
    }
    return true;
}

/* Words in quotes are never operators, and no quote can be in them. One letter is no beginning: it would
 * match most of what there is, at great cost. */
static void add_phrase(struct buf *query, struct slice text, bool is_beginning)
{
    buf_format(query, "\"%.*s\"%s", SLICE_ARG(text), is_beginning && text_length(text) > 1 ? "*" : "");
}

/* ("boot" AND "42"*) */
static void add_parts(struct buf *query, const struct word *word, bool is_last)
{
    buf_append_char(query, '(');
    for (size_t i = 0; i < word->count; i++) {
        if (i > 0)
            buf_append(query, SLICE(" AND "));
        add_phrase(query, word->parts[i], is_last && i + 1 == word->count);
    }
    buf_append_char(query, ')');
}

/* "<mark>boot42"* */
static void add_sku(struct buf *query, const struct word *word, bool is_last)
{
    bool is_code = word->count > 1 || word->has_digit;
    buf_append(query, SLICE("\"" SKU_MARK));
    for (size_t i = 0; i < word->count; i++)
        buf_append(query, word->parts[i]);
    buf_append(query, is_last && is_code ? SLICE("\"*") : SLICE("\""));
}

/* (("walking") OR "<mark>walking") AND (("boot" AND "42"*) OR "<mark>boot42"*) */
struct slice search_query(struct arena *arena, struct slice typed)
{
    struct word words[SEARCH_TERMS_MAX];
    size_t count = 0;
    struct slice rest = text_fold(arena, typed);
    while (count < SEARCH_TERMS_MAX && next_word(&rest, &words[count]))
        count += words[count].count > 0;
    struct buf query;
    buf_init(&query, arena);
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        buf_append(&query, i > 0 ? SLICE(" AND (") : SLICE("("));
        add_parts(&query, &words[i], is_last);
        if (words[i].is_ascii) { /* as every SKU is */
            buf_append(&query, SLICE(" OR "));
            add_sku(&query, &words[i], is_last);
        }
        buf_append_char(&query, ')');
    }
    return query.len > 0 ? buf_slice(&query) : SLICE_ABSENT;
}

/* ---- parts of a list ---- */

/* bm25's weights: name 10, tags 5, vendor 3, SKU 8, description 1. The inner order is the index's own,
 * backwards, so that the search ends with the last candidate. */
void search_ranked_begin(struct db_built *built, struct slice query, bool is_filtered)
{
    if (is_filtered)
        search_hits(built, query);
    db_built_add(built,
                 SQL("SELECT number FROM (SELECT product_search.rowid AS number,"
                     " bm25(product_search, 10.0, 5.0, 3.0, 8.0, 1.0) AS rank_value"
                     " FROM product_search JOIN products p ON p.number = product_search.rowid"
                     " WHERE product_search MATCH $?"),
                 DB_ARGS(db_text(query)));
    if (is_filtered)
        db_built_add(built, SQL(" AND product_search.rowid >= (SELECT min(h.number) FROM hits h)"),
                     DB_NO_ARGS);
}

void search_ranked_end(struct db_built *built)
{
    db_built_add(
        built,
        SQL(" ORDER BY product_search.rowid DESC LIMIT $?) AS candidates ORDER BY rank_value, number DESC"),
        DB_ARGS(db_int(SEARCH_CANDIDATES_MAX)));
}

void search_hits(struct db_built *built, struct slice query)
{
    db_built_add(built,
                 SQL("WITH hits AS MATERIALIZED (SELECT product_search.rowid AS number FROM product_search"
                     " WHERE product_search MATCH $? ORDER BY product_search.rowid DESC LIMIT $?) "),
                 DB_ARGS(db_text(query), db_int(SEARCH_HITS_MAX)));
}

/* ---- keeping the index ---- */

struct words {
    struct slice name, tags, vendor, sku, description;
};

static struct slice words_of_tags(struct arena *arena, const struct product *product)
{
    struct buf text;
    buf_init(&text, arena);
    for (size_t i = 0; i < product->tag_count; i++)
        buf_format(&text, "%.*s ", SLICE_ARG(product->tags[i]));
    return text_fold(arena, buf_slice(&text));
}

static struct slice words_of_skus(struct arena *arena, const struct product *product)
{
    struct buf text;
    buf_init(&text, arena);
    for (size_t i = 0; i < product->variant_count; i++) {
        struct slice sku = text_fold(arena, product->variants[i].sku);
        buf_append(&text, SLICE(SKU_MARK));
        for (size_t at = 0; at < sku.len; at++) {
            if (is_letter(sku.ptr[at]))
                buf_append_char(&text, sku.ptr[at]);
        }
        buf_append_char(&text, ' ');
    }
    return buf_slice(&text);
}

static struct words words_of(struct arena *arena, const struct product *product)
{
    return (struct words){
        .name = text_fold(arena, product->name),
        .tags = words_of_tags(arena, product),
        .vendor = text_fold(arena, product->vendor),
        .sku = words_of_skus(arena, product),
        .description = text_fold(arena, product->description),
    };
}

DB_STATEMENT(SEARCH_READ) = {
    .sql = "SELECT name, tags, vendor, sku, description FROM product_search WHERE rowid = $1",
    .params = {DB_INT},
    .columns = {DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

/* DB_ROW with *is_same, DB_DONE when there are none, or DB_ERROR. */
static enum db_result words_compare(struct db *db, int64_t number, const struct words *words, bool *is_same)
{
    struct db_rows *rows = db_query(db, &SEARCH_READ, DB_ARGS(db_int(number)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *is_same =
        slice_equals(db_get_text(rows, 0), words->name) && slice_equals(db_get_text(rows, 1), words->tags) &&
        slice_equals(db_get_text(rows, 2), words->vendor) && slice_equals(db_get_text(rows, 3), words->sku) &&
        slice_equals(db_get_text(rows, 4), words->description);
    db_close(rows);
    return DB_ROW;
}

DB_STATEMENT(SEARCH_INSERT) = {
    .sql =
        "INSERT INTO product_search (rowid, name, tags, vendor, sku, description) VALUES ($1, $2, $3, $4, $5, $6)",
    .params = {DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

enum db_result search_keep(struct db *db, struct arena *arena, const struct product *product, bool is_new)
{
    struct words words = words_of(arena, product);
    if (!is_new) {
        bool is_same = false;
        enum db_result result = words_compare(db, product->number, &words, &is_same);
        if (result == DB_ROW && is_same)
            return DB_DONE;
        if (result == DB_ROW)
            result = search_forget(db, product->number);
        if (result != DB_DONE)
            return result;
    }
    return db_run(db, &SEARCH_INSERT,
                  DB_ARGS(db_int(product->number), db_text(words.name), db_text(words.tags),
                          db_text(words.vendor), db_text(words.sku), db_text(words.description)));
}

DB_STATEMENT(SEARCH_DELETE) = {
    .sql = "DELETE FROM product_search WHERE rowid = $1",
    .params = {DB_INT},
};

enum db_result search_forget(struct db *db, int64_t number)
{
    return db_run(db, &SEARCH_DELETE, DB_ARGS(db_int(number)));
}
