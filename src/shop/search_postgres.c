/* Text search on PostgreSQL: a tsvector for each product, made here word by word (its own parser's idea of a
 * word depends on the locale of the database), and the correction of words that are in no product
 * (docs/decisions/0010). */
#include "shop/search_private.h"

#include "base/text.h"

#include <unictype.h>
#include <unistr.h>

/* ---- words ---- */

#define TOKEN_BYTES_MAX 255 /* of longer ones the beginning; PostgreSQL takes up to 2046 */

static bool is_of_word(ucs4_t point)
{
    return uc_is_general_category_withtable(point,
                                            UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N | UC_CATEGORY_MASK_M);
}

/* The next run of letters, digits and marks; the text is valid. False at its end. */
static bool next_token(struct slice *rest, struct slice *token)
{
    *token = (struct slice){rest->ptr, 0};
    while (rest->len > 0) {
        ucs4_t point;
        size_t len = (size_t)u8_mbtouc(&point, (const uint8_t *)rest->ptr, rest->len);
        bool belongs = is_of_word(point);
        if (!belongs && token->len > 0)
            break;
        *rest = slice_skip(*rest, len);
        if (!belongs)
            token->ptr = rest->ptr;
        else if (token->len + len <= TOKEN_BYTES_MAX)
            token->len += len;
    }
    return token->len > 0;
}

/* 'boot':1 '42':2 -- in quotes, in which there is never a quote or a backslash. */
static struct slice places_of(struct arena *arena, struct slice text)
{
    struct buf places;
    struct slice token;
    buf_init(&places, arena);
    for (int place = 1; next_token(&text, &token); place++)
        buf_format(&places, "'%.*s':%d ", SLICE_ARG(token), place);
    return buf_slice(&places);
}

void search_postgres_texts(struct arena *arena, struct search_texts *texts)
{
    struct slice *const each[] = {&texts->name, &texts->tags, &texts->vendor, &texts->sku,
                                  &texts->description};
    for (size_t i = 0; i < COUNT_OF(each); i++)
        *each[i] = places_of(arena, *each[i]);
}

/* ---- the language of tsquery ---- */

/* What the beginning of a word may become: every word of the shop's that begins so. */
#define COMPLETIONS_MAX 128

struct completions {
    struct slice words[COMPLETIONS_MAX];
    size_t count;
};

/* One letter is no beginning: it would match most of what there is, at great cost. */
static bool is_beginning(struct slice token)
{
    return text_length(token) > 1;
}

static void add_token(struct buf *query, struct slice token)
{
    buf_format(query, "'%.*s'", SLICE_ARG(token));
}

/* ('lin' | 'linen' | 'linings'), or 'lin':* where nobody has looked the words up. */
static void add_beginning(struct buf *query, struct slice token, const struct completions *completions)
{
    if (!is_beginning(token) || completions == NULL) {
        buf_format(query, "'%.*s'%s", SLICE_ARG(token), is_beginning(token) ? ":*" : "");
        return;
    }
    buf_append_char(query, '(');
    add_token(query, token);
    for (size_t i = 0; i < completions->count; i++) {
        buf_append(query, SLICE(" | "));
        add_token(query, completions->words[i]);
    }
    buf_append_char(query, ')');
}

/* ('boot' & '42':*), and a part of several words, which other signs stand between, as ('a' <-> 'b') */
static void add_parts(struct buf *query, const struct search_word *word, bool is_last,
                      const struct completions *completions)
{
    buf_append_char(query, '(');
    for (size_t i = 0; i < word->count; i++) {
        struct slice rest = word->parts[i];
        struct slice token;
        buf_append(query, i > 0 ? SLICE(" & (") : SLICE("("));
        bool has_more = next_token(&rest, &token);
        while (has_more) {
            struct slice next;
            has_more = next_token(&rest, &next);
            if (is_last && !has_more && i + 1 == word->count)
                add_beginning(query, token, completions);
            else
                add_token(query, token);
            if (has_more)
                buf_append(query, SLICE(" <-> "));
            token = next;
        }
        buf_append_char(query, ')');
    }
    buf_append_char(query, ')');
}

/* '<mark>boot42':* */
static void add_sku(struct buf *query, const struct search_word *word, bool is_last)
{
    buf_append(query, SLICE(" | '" SKU_MARK));
    for (size_t i = 0; i < word->count; i++)
        buf_append(query, word->parts[i]);
    buf_append(query, is_last && search_word_is_code(word) ? SLICE("':*") : SLICE("'"));
}

/* What a word is replaced by; none: it stays. */
#define ALTERNATIVES_MAX 3

struct alternatives {
    struct slice words[ALTERNATIVES_MAX];
    size_t count;
};

static void add_alternatives(struct buf *query, const struct alternatives *alternatives)
{
    for (size_t i = 0; i < alternatives->count; i++) {
        buf_append(query, i > 0 ? SLICE(" | ") : SLICE(""));
        add_token(query, alternatives->words[i]);
    }
}

/* ((('walking')) | '<mark>walking') & ((('boot') & ('42':*)) | '<mark>boot42':*) */
static struct slice query_of(struct arena *arena, const struct search_word *words, size_t count,
                             const struct alternatives *alternatives, const struct completions *completions)
{
    struct buf query;
    buf_init(&query, arena);
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        buf_append(&query, i > 0 ? SLICE(" & (") : SLICE("("));
        if (alternatives != NULL && alternatives[i].count > 0) {
            add_alternatives(&query, &alternatives[i]);
        } else {
            add_parts(&query, &words[i], is_last, completions);
            if (words[i].is_ascii) /* as every SKU is */
                add_sku(&query, &words[i], is_last);
        }
        buf_append_char(&query, ')');
    }
    return query.len > 0 ? buf_slice(&query) : SLICE_ABSENT;
}

struct slice search_postgres_query(struct arena *arena, struct slice typed)
{
    struct search_word words[SEARCH_TERMS_MAX];
    size_t count = search_words(arena, typed, words);
    return query_of(arena, words, count, NULL, NULL);
}

/* ---- the beginning of a word ---- */

/* What is typed may be the beginning of a word. Asked for `'classic':*` the index gathers everything that
 * begins so before it looks at anything else, in each block anew: 400 ms in a shop of a million products, of
 * which a fifth are classic, where `'classic'` takes 20. The words that it may become are few, however many
 * the products, so they are looked up and asked for one by one. */

DB_STATEMENT(WORDS_FROM) = {
    .sql_postgres = "SELECT word FROM search_words WHERE word > $1 AND word < $2 ORDER BY word LIMIT $3",
    .params = {DB_TEXT, DB_TEXT, DB_INT},
    .columns = {DB_TEXT},
};

#define LAST_CHARACTER "\xf4\x8f\xbf\xbf" /* U+10FFFF: behind every word with the same beginning */

/* The last token of the last word. */
static struct slice last_token(const struct search_word *words, size_t count)
{
    const struct search_word *word = &words[count - 1];
    struct slice rest = word->parts[word->count - 1];
    struct slice token = SLICE(""), next;
    while (next_token(&rest, &next))
        token = next;
    return token;
}

enum db_result search_postgres_complete(struct db *db, struct arena *arena, struct slice typed,
                                        struct slice *query)
{
    struct search_word words[SEARCH_TERMS_MAX];
    size_t count = search_words(arena, typed, words);
    struct slice token = count > 0 ? last_token(words, count) : SLICE("");
    if (!is_beginning(token))
        return DB_DONE;
    struct completions *completions = ARENA_NEW(arena, struct completions);
    struct slice end = arena_format(arena, "%.*s" LAST_CHARACTER, SLICE_ARG(token));
    struct db_rows *rows =
        db_query(db, &WORDS_FROM, DB_ARGS(db_text(token), db_text(end), db_int(COMPLETIONS_MAX + 1)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        if (completions->count == COMPLETIONS_MAX) { /* too many to name: the index gathers them */
            db_close(rows);
            return DB_DONE;
        }
        completions->words[completions->count++] = db_copy_text(rows, 0, arena);
    }
    if (result == DB_DONE)
        *query = query_of(arena, words, count, NULL, completions);
    return result;
}

/* ---- parts of a list ---- */

/* The blocks from the newest to the oldest; a LIMIT behind them ends the walk when it has enough. In each the
 * index intersects the query with the block's own word, so that a word of every product costs what it costs
 * in one block. */
#define BLOCKS                                                                                               \
    "(SELECT max(number) / " SEARCH_BLOCK " AS newest FROM product_search) AS top"                           \
    " CROSS JOIN LATERAL generate_series(top.newest, 0, -1) AS b(block) CROSS JOIN LATERAL"
#define MATCHES_IN_BLOCK(query) "s.words @@ (" query "::tsquery && ('''#' || b.block::text || '''')::tsquery)"

/* Weights of D (description), C (vendor), B (tags, SKU), A (name); a long text weighs its words less. A
 * subquery is sure to look up one candidate after the other, whatever the planner expects. */
#define RANKED                                                                                                       \
    "SELECT number FROM (SELECT candidates.number, (SELECT ts_rank('{0.1, 0.3, 0.6, 1.0}', w.words, $?::tsquery, 1)" \
    " FROM product_search w WHERE w.number = candidates.number) AS rank_value FROM "

void search_postgres_hits(struct db_built *built, struct slice query)
{
    db_built_add(built,
                 SQL_POSTGRES("WITH hits AS MATERIALIZED (SELECT found.number FROM " BLOCKS
                              " (SELECT s.number FROM product_search s WHERE " MATCHES_IN_BLOCK(
                                  "$?") " ORDER BY s.number DESC) AS found LIMIT $?) "),
                 DB_ARGS(db_text(query), db_int(SEARCH_HITS_MAX)));
}

void search_postgres_ranked_begin(struct db_built *built, struct slice query, bool is_filtered)
{
    if (is_filtered) {
        search_postgres_hits(built, query);
        db_built_add(built, SQL_POSTGRES(RANKED "(SELECT h.number" SEARCH_POSTGRES_HITS " WHERE 1 = 1"),
                     DB_ARGS(db_text(query)));
        return;
    }
    db_built_add(built,
                 SQL_POSTGRES(RANKED "(SELECT found.number FROM " BLOCKS
                                     " (SELECT s.number FROM product_search s"
                                     " JOIN products p ON p.number = s.number WHERE " MATCHES_IN_BLOCK("$?")),
                 DB_ARGS(db_text(query), db_text(query)));
}

void search_postgres_ranked_end(struct db_built *built, bool is_filtered)
{
    db_built_add(built,
                 is_filtered ? SQL_POSTGRES(" ORDER BY h.number DESC LIMIT $?) AS candidates")
                             : SQL_POSTGRES(" ORDER BY s.number DESC) AS found LIMIT $?) AS candidates"),
                 DB_ARGS(db_int(SEARCH_CANDIDATES_MAX)));
    db_built_add(built, SQL_POSTGRES(") AS ranked ORDER BY rank_value DESC, number DESC"), DB_NO_ARGS);
}

/* ---- typing errors ---- */

DB_STATEMENT(HAS_HIT) = {
    .sql_postgres = "SELECT 1 FROM " BLOCKS " (SELECT s.number FROM product_search s WHERE " MATCHES_IN_BLOCK(
        "$1") " ORDER BY s.number DESC) AS found LIMIT 1",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

/* The most alike first, by their trigrams: the index knows no better likeness. */
DB_STATEMENT(WORDS_LIKE) = {
    .sql_postgres = "SELECT word FROM search_words_like($1) AS word",
    .params = {DB_TEXT},
    .columns = {DB_TEXT},
};

#define LETTERS_MAX                                                                                          \
    40 /* of a word that is corrected, and of what corrects it: no word of search_words is longer */

static size_t letters_of(struct slice word, ucs4_t letters[LETTERS_MAX])
{
    size_t count = 0;
    while (word.len > 0 && count < LETTERS_MAX)
        word = slice_skip(word, (size_t)u8_mbtouc(&letters[count++], (const uint8_t *)word.ptr, word.len));
    return count;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters were added, left out, mistaken, or swapped with their neighbour. */
static size_t distance(struct slice typed, struct slice word)
{
    ucs4_t a[LETTERS_MAX], b[LETTERS_MAX];
    size_t rows[3][LETTERS_MAX + 1]; /* of the matrix: this one and the two before */
    size_t a_len = letters_of(typed, a), b_len = letters_of(word, b);
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

/* A word of up to five letters is allowed one mistake, a longer one two. */
static size_t mistakes_max(struct slice word)
{
    return text_length(word) <= 5 ? 1 : 2;
}

/* The words with the fewest mistakes, none when the word itself is one of them. */
static enum db_result alternatives_read(struct db *db, struct arena *arena, struct slice word,
                                        struct alternatives *alternatives)
{
    size_t best = mistakes_max(word);
    struct db_rows *rows = db_query(db, &WORDS_LIKE, DB_ARGS(db_text(word)));
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        size_t mistakes = distance(word, db_get_text(rows, 0));
        if (mistakes > best || (mistakes == best && alternatives->count == ALTERNATIVES_MAX))
            continue;
        if (mistakes < best)
            alternatives->count = 0;
        best = mistakes;
        if (best == 0) {
            db_close(rows);
            return DB_DONE;
        }
        alternatives->words[alternatives->count++] = db_copy_text(rows, 0, arena);
    }
    return result;
}

/* What may be mistyped: a plain word of letters, not too short to be told from others. */
static bool can_be_corrected(const struct search_word *word)
{
    size_t letters = word->count == 1 && !word->has_digit ? text_length(word->parts[0]) : 0;
    return letters >= 3 && letters <= LETTERS_MAX;
}

enum db_result search_postgres_correct(struct db *db, struct arena *arena, struct slice typed,
                                       struct slice *query)
{
    struct search_word words[SEARCH_TERMS_MAX];
    struct alternatives alternatives[SEARCH_TERMS_MAX] = {{.count = 0}};
    int64_t hit;
    enum db_result result = db_one_int(db, &HAS_HIT, DB_ARGS(db_text(*query)), &hit);
    if (result != DB_DONE)
        return result == DB_ROW ? DB_DONE : DB_ERROR;
    size_t count = search_words(arena, typed, words);
    size_t corrected = 0;
    for (size_t i = 0; i < count; i++) {
        if (!can_be_corrected(&words[i]))
            continue;
        if (alternatives_read(db, arena, words[i].parts[0], &alternatives[i]) != DB_DONE)
            return DB_ERROR;
        corrected += alternatives[i].count > 0;
    }
    if (corrected == 0)
        return DB_DONE;
    *query = query_of(arena, words, count, alternatives, NULL);
    return DB_ROW;
}
