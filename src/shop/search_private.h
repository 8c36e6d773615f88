/* What search.c and search_postgres.c share: what was typed, taken apart; and what differs by engine. */
#pragma once

#include "shop/search.h"

/* A SKU is one word in the index, without its signs and behind a letter that nobody types: it is found whole,
 * or by its beginning where that looks like a code. A made SKU repeats the name that a product had once: as
 * plain words it would find the product by that name for ever. */
#define SKU_MARK "\xca\x98" /* U+0298 */

/* Words are between spaces; parts of a word are between other signs: BOOT-42 is one word of two parts. */
#define SEARCH_PARTS_MAX 8

struct search_word {
    struct slice parts[SEARCH_PARTS_MAX];
    size_t count;
    bool is_ascii;
    bool has_digit;
};

/* The words of what was typed, folded; at most SEARCH_TERMS_MAX, each with a part. */
size_t search_words(struct arena *arena, struct slice typed, struct search_word words[SEARCH_TERMS_MAX]);
/* Whether a word's beginning may stand for it as a SKU. */
bool search_word_is_code(const struct search_word *word);

/* The texts of a product, folded. */
struct search_texts {
    struct slice name, tags, vendor, sku, description;
};

/* ---- search_postgres.c ---- */

/* The hits and their products, each found by its number: a plain join makes the planner read all products
 * when it expects many hits (OFFSET 0 keeps it from making one of this). */
#define SEARCH_POSTGRES_HITS                                                                                 \
    " FROM hits h CROSS JOIN LATERAL (SELECT id, number, category_id, vendor, price_minor, name_sort,"       \
    " is_active, is_featured, created_at, deleted_at FROM products WHERE number = h.number OFFSET 0) AS p"

struct slice search_postgres_query(struct arena *arena, struct slice typed);
/* DB_DONE, also where nothing is changed, or DB_ERROR. */
enum db_result search_postgres_complete(struct db *db, struct arena *arena, struct slice typed,
                                        struct slice *query);
enum db_result search_postgres_correct(struct db *db, struct arena *arena, struct slice typed,
                                       struct slice *query);
void search_postgres_ranked_begin(struct db_built *built, struct slice query, bool is_filtered);
void search_postgres_ranked_end(struct db_built *built, bool is_filtered);
void search_postgres_hits(struct db_built *built, struct slice query);
/* Each text as the words in it with their places, as a tsvector is written. */
void search_postgres_texts(struct arena *arena, struct search_texts *texts);

/* How the texts $2..$6 become the one column of PostgreSQL. The newest products are looked at first, a block
 * of numbers at a time: each product has a word for its block, '#12'. */
#define SEARCH_BLOCK "4096"
#define SEARCH_TSVECTOR                                                                                      \
    "setweight($2::tsvector, 'A') || setweight($3::tsvector, 'B') || setweight($5::tsvector, 'B')"           \
    " || setweight($4::tsvector, 'C') || setweight($6::tsvector, 'D')"                                       \
    " || ('''#' || ($1 / " SEARCH_BLOCK ")::text || '''')::tsvector"
