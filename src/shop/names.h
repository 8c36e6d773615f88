/* What is made from a name: the key it is sorted by, the slug it has in a URL, a SKU. */
#pragma once

#include "data/db.h"

/* The folded name, cut to SORT_KEY_BYTES_MAX. */
struct slice name_sort_key(struct arena *arena, struct slice name);

/* The name's slug, with -2, -3, ... while `is_taken` (one text in, a row when there is one like it) says that
 * there is such a one; `fallback` when nothing of the name is left. DB_DONE with *slug, DB_CONFLICT when no
 * free one was found, DB_ERROR. */
enum db_result slug_make(struct db *db, struct arena *arena, const struct db_statement *is_taken,
                         struct slice name, struct slice fallback, struct slice *slug);
/* Whether a client's slug could be mistaken for an id. */
bool slug_looks_like_id(struct slice slug);

/* What generated SKUs begin with: a slug or SKU in capitals, and behind it the option values
 * ("LINEN-SHIRT-M"). */
struct slice sku_stem(struct arena *arena, struct slice base, const struct slice *option_values,
                      size_t count);
/* A SKU that no variant has and that is not among `claimed`: the stem, with -2, -3, ... when taken. As
 * slug_make. */
enum db_result sku_make(struct db *db, struct arena *arena, struct slice stem, const struct slice *claimed,
                        size_t claimed_count, struct slice *sku);
