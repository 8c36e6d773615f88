/* Text search over the products. What differs by engine - its language and its statements - stays in search.c
 * (SQLite) and search_postgres.c. */
#pragma once

#include "shop/product.h"

/* What is looked for, in the language of the engine. */
struct search {
    enum db_engine engine;
    struct slice query; /* absent: there is no word in it, nothing is found */
};

/* What a person typed as a query that the engine understands and that can be nothing but words: each must
 * occur, the last one may be unfinished. */
struct search search_of(enum db_engine engine, struct arena *arena, struct slice typed);

/* Looks up what the unfinished word may become, where that is quicker than leaving it to the index; finds the
 * same (but for words of more than 40 letters, which are found whole). DB_DONE, or DB_ERROR. (PostgreSQL's
 * alone.) */
enum db_result search_complete(struct db *db, struct arena *arena, struct slice typed, struct search *search);

/* For a search that found nothing: where nothing at all meets it and it holds words that are in no product,
 * each of these is replaced by those that are spelled nearly so. DB_ROW with the new query in *search,
 * DB_DONE when there is nothing to correct, or DB_ERROR. (PostgreSQL's alone: SQLite says DB_DONE.) */
enum db_result search_correct(struct db *db, struct arena *arena, struct slice typed, struct search *search);

/* Parts of a list's statement that find products `p`; a WHERE clause with conditions on `p` may be added
 * between the two of each pair, beginning with AND. */

/* "SELECT number FROM (... ": the SEARCH_CANDIDATES_MAX newest hits that meet the conditions, best first.
 * `is_filtered`: the conditions may leave hits out; then they are looked for among the SEARCH_HITS_MAX
 * newest. */
void search_ranked_begin(struct db_built *built, const struct search *search, bool is_filtered);
void search_ranked_end(struct db_built *built, const struct search *search, bool is_filtered);
/* "WITH hits AS (...) ": the SEARCH_HITS_MAX newest hits, as a table `hits` with one column, `number`. */
void search_hits(struct db_built *built, const struct search *search);
/* " FROM hits h JOIN products p ..." */
void search_hits_from(struct db_built *built, const struct search *search);

/* Keeps the words of a product as they are in memory; writes only when they changed. `is_new`: it has none
 * yet. */
enum db_result search_keep(struct db *db, struct arena *arena, const struct product *product, bool is_new);
enum db_result search_forget(struct db *db, int64_t number);
