/* Text search over the products. What differs by engine - its statements and its language - stays in
 * search.c. */
#pragma once

#include "shop/product.h"

/* What a person typed as a query that the engine understands and that can be nothing but words: each must
 * occur, the last one may be unfinished. Absent when there is no word in it: nothing is found. */
struct slice search_query(struct arena *arena, struct slice typed);

/* Parts of a list's statement that find products `p`; a WHERE clause with conditions on `p` may be added
 * between the two of each pair, beginning with AND. */

/* "SELECT number FROM (... ": the SEARCH_CANDIDATES_MAX newest hits that meet the conditions, best first.
 * `is_filtered`: the conditions may leave hits out; then they are looked for among the SEARCH_HITS_MAX
 * newest. */
void search_ranked_begin(struct db_built *built, struct slice query, bool is_filtered);
void search_ranked_end(struct db_built *built);
/* "WITH hits AS (...) ": the SEARCH_HITS_MAX newest hits, as a table `hits` with one column, `number`. */
void search_hits(struct db_built *built, struct slice query);

/* Keeps the words of a product as they are in memory; writes only when they changed. `is_new`: it has none
 * yet. */
enum db_result search_keep(struct db *db, struct arena *arena, const struct product *product, bool is_new);
enum db_result search_forget(struct db *db, int64_t number);
