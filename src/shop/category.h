/* The tree of categories, for those who stand things in it. */
#pragma once

#include "base/json_writer.h"
#include "data/db.h"

/* A category and those above it, itself first. */
struct category_chain {
    struct uuid ids[CATEGORY_DEPTH_MAX];
    size_t count;
};

/* DB_DONE (an unknown category has an empty chain) or DB_ERROR. */
enum db_result category_chain_read(struct db *db, struct uuid id, struct category_chain *chain);
bool category_chain_has(const struct category_chain *chain, struct uuid id);

/* How many more (or fewer) products stand in it: whoever lists or unlists one says so here. */
enum db_result category_count_add(struct db *db, struct uuid id, int64_t difference);

/* A category in a few words. */
struct category_ref {
    struct uuid id; /* nil: there is none */
    struct slice name;
    struct slice slug;
};

void category_ref_write(struct json_writer *json, const struct category_ref *category);
/* The category of a product, for expand=category; nil without one, or when it is inactive and `active_only`.
 * DB_DONE or DB_ERROR. */
enum db_result category_ref_of_product(struct db *db, struct arena *arena, struct uuid product_id,
                                       bool active_only, struct category_ref *category);
