/* What the two kinds of sample shop share. */
#pragma once

#include "data/db.h"
#include "shop/product.h"
#include "shop/seed.h"

/* Whether nothing is in the shop that a sample could meet: DB_DONE, DB_CONFLICT when there is, or DB_ERROR.
 */
enum db_result seed_require_empty(struct db *db);
/* The complaint when there is something. */
struct slice seed_not_empty(struct arena *arena, const struct seed_counts *counts);

#define SEED_PICTURES_MAX 8 /* of one product */

struct seed_image {
    struct uuid id;
    struct slice name; /* in /media/ */
    struct slice alt;
};

/* The contract's ProductImage list. */
struct slice seed_images_json(struct arena *arena, const struct seed_image *images, size_t count);
