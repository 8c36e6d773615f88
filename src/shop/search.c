/* Text search on SQLite's FTS5. Words are folded on both sides (base/text.h), so that "Straße" meets
 * "strasse" and accents do not matter. The texts for PostgreSQL will stand beside these. */
#include "shop/search.h"

#include "base/text.h"

/* ---- what was typed ---- */

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

/* The next run of letters and digits of the folded text; absent at its end. */
static struct slice next_word(struct slice *rest)
{
    while (rest->len > 0 && !is_word_byte(rest->ptr[0]))
        *rest = slice_skip(*rest, 1);
    struct slice word = {rest->ptr, 0};
    while (word.len < rest->len && is_word_byte(rest->ptr[word.len]))
        word.len++;
    *rest = slice_skip(*rest, word.len);
    return word.len > 0 ? word : SLICE_ABSENT;
}

/* "linen" "shi"*: words in quotes are never operators, and quotes cannot be in them. One letter is no
 * beginning: it would match most of what there is, at great cost. */
struct slice search_query(struct arena *arena, struct slice typed)
{
    struct slice rest = text_fold(arena, typed);
    struct buf query;
    buf_init(&query, arena);
    struct slice word = next_word(&rest);
    for (int count = 0; !slice_is_absent(word) && count < SEARCH_TERMS_MAX; count++) {
        struct slice next = next_word(&rest);
        bool is_beginning = slice_is_absent(next) && text_length(word) > 1;
        buf_format(&query, "\"%.*s\"%s ", SLICE_ARG(word), is_beginning ? "*" : "");
        word = next;
    }
    return query.len > 0 ? buf_slice(&query) : SLICE_ABSENT;
}

/* ---- parts of a list ---- */

/* bm25's weights: name 10, tags 5, vendor 3, SKU 8, description 1. The inner order is the index's own,
 * backwards, so that the search ends with the last candidate. */
void search_ranked_begin(struct db_built *built, struct slice query)
{
    db_built_add(built,
                 SQL("SELECT number FROM (SELECT product_search.rowid AS number,"
                     " bm25(product_search, 10.0, 5.0, 3.0, 8.0, 1.0) AS rank_value"
                     " FROM product_search JOIN products p ON p.number = product_search.rowid"
                     " WHERE product_search MATCH $?"),
                 DB_ARGS(db_text(query)));
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
    for (size_t i = 0; i < product->variant_count; i++)
        buf_format(&text, "%.*s ", SLICE_ARG(product->variants[i].sku));
    return text_fold(arena, buf_slice(&text));
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
