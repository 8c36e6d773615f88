/* The products of the small sample shop as db/seeds/products.json tells them, ready to be written, with their
 * pictures. */
#pragma once

#include "shop/seed_rows.h"
#include "shop/seed_shared.h"

struct seed_product {
    struct product product; /* its variants' stock is what can be sold today; it may be negative */
    struct seed_image images[SEED_PICTURES_MAX];
    struct slice drawings[SEED_PICTURES_MAX]; /* SVG, one for each image */
    size_t image_count;
};

struct seed_catalogue {
    struct seed_product *products; /* by the time they were added */
    size_t count;
};

struct seed_catalogue seed_catalogue_read(struct arena *arena, const struct seed_categories *categories,
                                          struct slice currency, int64_t now_ms);
/* The variant with this SKU: its product, and *variant its place there. CHECKs that there is one. */
struct seed_product *seed_catalogue_find(const struct seed_catalogue *catalogue, struct slice sku,
                                         size_t *variant);
