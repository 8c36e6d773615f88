/* Text search. Words are folded on both sides (base/text.h), so that "Straße" meets "strasse" and accents do
 * not matter. Here is what both engines share, and SQLite's FTS5. */
#include "shop/search_private.h"

#include "base/text.h"

#include <unictype.h>
#include <unistr.h>

/* ---- what was typed ---- */

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
static bool next_word(struct slice *rest, struct search_word *word)
{
    struct slice text;
    *word = (struct search_word){.is_ascii = true};
    if (!slice_split(rest, ' ', &text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        word->is_ascii = word->is_ascii && (unsigned char)text.ptr[i] < 0x80;
        word->has_digit = word->has_digit || is_digit(text.ptr[i]);
    }
    while (text.len > 0 && word->count < SEARCH_PARTS_MAX) {
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

size_t search_words(struct arena *arena, struct slice typed, struct search_word words[SEARCH_TERMS_MAX])
{
    size_t count = 0;
    struct slice rest = text_fold(arena, typed);
    while (count < SEARCH_TERMS_MAX && next_word(&rest, &words[count]))
        count += words[count].count > 0;
    return count;
}

bool search_word_is_code(const struct search_word *word)
{
    return word->count > 1 || word->has_digit;
}

/* ---- the language of FTS5 ---- */

/* Words in quotes are never operators, and no quote can be in them. One letter is no beginning: it would
 * match most of what there is, at great cost. */
static void add_phrase(struct buf *query, struct slice text, bool is_beginning)
{
    buf_format(query, "\"%.*s\"%s", SLICE_ARG(text), is_beginning && text_length(text) > 1 ? "*" : "");
}

/* ("boot" AND "42"*) */
static void add_parts(struct buf *query, const struct search_word *word, bool is_last)
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
static void add_sku(struct buf *query, const struct search_word *word, bool is_last)
{
    buf_append(query, SLICE("\"" SKU_MARK));
    for (size_t i = 0; i < word->count; i++)
        buf_append(query, word->parts[i]);
    buf_append(query, is_last && search_word_is_code(word) ? SLICE("\"*") : SLICE("\""));
}

/* (("walking") OR "<mark>walking") AND (("boot" AND "42"*) OR "<mark>boot42"*) */
static struct slice fts5_query(struct arena *arena, struct slice typed)
{
    struct search_word words[SEARCH_TERMS_MAX];
    size_t count = search_words(arena, typed, words);
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

struct search search_of(enum db_engine engine, struct arena *arena, struct slice typed)
{
    return (struct search){
        .engine = engine,
        .query = engine == DB_POSTGRES ? search_postgres_query(arena, typed) : fts5_query(arena, typed),
    };
}

enum db_result search_complete(struct db *db, struct arena *arena, struct slice typed, struct search *search)
{
    if (search->engine != DB_POSTGRES || slice_is_absent(search->query))
        return DB_DONE;
    return search_postgres_complete(db, arena, typed, &search->query);
}

enum db_result search_correct(struct db *db, struct arena *arena, struct slice typed, struct search *search)
{
    if (search->engine != DB_POSTGRES)
        return DB_DONE;
    return search_postgres_correct(db, arena, typed, &search->query);
}

/* ---- parts of a list ---- */

/* bm25's weights: name 10, tags 5, vendor 3, SKU 8, description 1. The inner order is the index's own,
 * backwards, so that the search ends with the last candidate. */
void search_ranked_begin(struct db_built *built, const struct search *search, bool is_filtered)
{
    if (search->engine == DB_POSTGRES) {
        search_postgres_ranked_begin(built, search->query, is_filtered);
        return;
    }
    if (is_filtered)
        search_hits(built, search);
    db_built_add(built,
                 SQL("SELECT number FROM (SELECT product_search.rowid AS number,"
                     " bm25(product_search, 10.0, 5.0, 3.0, 8.0, 1.0) AS rank_value"
                     " FROM product_search JOIN products p ON p.number = product_search.rowid"
                     " WHERE product_search MATCH $?"),
                 DB_ARGS(db_text(search->query)));
    if (is_filtered)
        db_built_add(built, SQL(" AND product_search.rowid >= (SELECT min(h.number) FROM hits h)"),
                     DB_NO_ARGS);
}

void search_ranked_end(struct db_built *built, const struct search *search, bool is_filtered)
{
    if (search->engine == DB_POSTGRES) {
        search_postgres_ranked_end(built, is_filtered);
        return;
    }
    db_built_add(
        built,
        SQL(" ORDER BY product_search.rowid DESC LIMIT $?) AS candidates ORDER BY rank_value, number DESC"),
        DB_ARGS(db_int(SEARCH_CANDIDATES_MAX)));
}

void search_hits(struct db_built *built, const struct search *search)
{
    if (search->engine == DB_POSTGRES) {
        search_postgres_hits(built, search->query);
        return;
    }
    db_built_add(built,
                 SQL("WITH hits AS MATERIALIZED (SELECT product_search.rowid AS number FROM product_search"
                     " WHERE product_search MATCH $? ORDER BY product_search.rowid DESC LIMIT $?) "),
                 DB_ARGS(db_text(search->query), db_int(SEARCH_HITS_MAX)));
}

void search_hits_from(struct db_built *built, const struct search *search)
{
    db_built_add(built,
                 search->engine == DB_POSTGRES ? SQL_POSTGRES(SEARCH_POSTGRES_HITS)
                                               : SQL(" FROM hits h JOIN products p ON p.number = h.number"),
                 DB_NO_ARGS);
}

/* ---- keeping the index ---- */

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

static struct search_texts texts_of(struct arena *arena, const struct product *product)
{
    return (struct search_texts){
        .name = text_fold(arena, product->name),
        .tags = words_of_tags(arena, product),
        .vendor = text_fold(arena, product->vendor),
        .sku = words_of_skus(arena, product),
        .description = text_fold(arena, product->description),
    };
}

DB_STATEMENT(SEARCH_SAME) = {
    .sql = "SELECT 1 FROM product_search WHERE rowid = $1 AND name = $2 AND tags = $3 AND vendor = $4"
           " AND sku = $5 AND description = $6",
    .sql_postgres = "SELECT 1 FROM product_search WHERE number = $1 AND words = (" SEARCH_TSVECTOR ")",
    .params = {DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
    .columns = {DB_INT},
};

/* PostgreSQL also learns the words, SKUs apart, for whoever mistypes them. Sorted, so that writers who learn
 * the same words wait for each other in one order. */
DB_STATEMENT(SEARCH_INSERT) = {
    .sql =
        "INSERT INTO product_search (rowid, name, tags, vendor, sku, description) VALUES ($1, $2, $3, $4, $5, $6)",
    .sql_postgres =
        "WITH learned AS (INSERT INTO search_words (word) SELECT t.word FROM"
        " unnest(tsvector_to_array($2::tsvector || $3::tsvector || $4::tsvector || $6::tsvector)) AS t(word)"
        " WHERE char_length(t.word) BETWEEN 3 AND 40 ORDER BY t.word ON CONFLICT DO NOTHING)"
        " INSERT INTO product_search (number, words) VALUES ($1, " SEARCH_TSVECTOR ")",
    .params = {DB_INT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT, DB_TEXT},
};

DB_STATEMENT(SEARCH_DELETE) = {
    .sql = "DELETE FROM product_search WHERE rowid = $1",
    .sql_postgres = "DELETE FROM product_search WHERE number = $1",
    .params = {DB_INT},
};

enum db_result search_keep(struct db *db, struct arena *arena, const struct product *product, bool is_new)
{
    struct search_texts texts = texts_of(arena, product);
    if (db_engine_of(db) == DB_POSTGRES)
        search_postgres_texts(arena, &texts);
    struct db_args args = DB_ARGS(db_int(product->number), db_text(texts.name), db_text(texts.tags),
                                  db_text(texts.vendor), db_text(texts.sku), db_text(texts.description));
    if (!is_new) {
        int64_t is_same;
        enum db_result result = db_one_int(db, &SEARCH_SAME, args, &is_same);
        if (result == DB_ROW)
            return DB_DONE;
        if (result == DB_DONE)
            result = search_forget(db, product->number);
        if (result != DB_DONE)
            return result;
    }
    return db_run(db, &SEARCH_INSERT, args);
}

enum db_result search_forget(struct db *db, int64_t number)
{
    return db_run(db, &SEARCH_DELETE, DB_ARGS(db_int(number)));
}
