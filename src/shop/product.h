/* Products, for those who read or make them beside their own endpoints: lists, carts, seeds.
 *
 * The plan. A product is read far more often than it is edited, so that each edit renders it once
 * (product_publish):
 *
 *   product_documents   what a shopper sees of it, as JSON with holes where stock figures go; only listed
 * products have one category_products   where it is listed: its own category and every one above, with the
 * keys of each sort categories          how many products stand in each (product_count) product_search its
 * words
 *
 * A shopper's product is one statement: its document and its rows of variant_stock. A shopper's list is two:
 * the page's numbers from the index of its sort, then their documents and stocks (products_list.c). Staff see
 * costs and reservations too, always fresh from the tables (product_read, product_write).
 *
 *   product_store.c      the rows: reading, inserting, changing
 *   product_document.c   the JSON, for shoppers with holes and for staff
 *   product_publish.c    all that follows from the rows
 *   product_edit.c       what products.c and variants.c share: checking and writing a change of a product and
 * its variants products.c, products_list.c, variants.c   the endpoints */
#pragma once

#include "base/json_writer.h"
#include "shop/category.h"
#include "shop/stock.h"

#define PRODUCT_NONE INT64_C(-1) /* no such amount */

struct product_variant {
    struct uuid id;
    struct slice sku;
    struct slice options; /* JSON {"Size":"M"}, keys in the product's order */
    int64_t price_minor;
    int64_t compare_price_minor; /* or PRODUCT_NONE */
    int64_t cost_minor;          /* or PRODUCT_NONE */
    int64_t weight_grams;        /* or PRODUCT_NONE */
    struct stock_level stock;
};

struct product {
    int64_t number; /* given by product_insert */
    struct uuid id;
    struct uuid category_id; /* nil: none */
    struct slice name;
    struct slice slug;
    struct slice description;
    struct slice vendor; /* absent: none */
    struct slice currency;
    struct slice options;    /* JSON [{"name":"Size","values":["S","M"]}] */
    struct slice images;     /* JSON, the contract's ProductImage list */
    struct slice attributes; /* JSON object of scalars */
    struct slice seo_title;  /* absent: none */
    struct slice seo_description;
    bool is_active;
    bool is_featured;
    int64_t version;
    int64_t created_at_ms;
    int64_t updated_at_ms;
    const struct slice *tags; /* sorted, each once: see product_tags_set */
    size_t tag_count;
    struct product_variant *variants; /* 1 to PRODUCT_VARIANTS_MAX, in their order */
    size_t variant_count;
};

/* The variant whose price the product shows: the cheapest, the first of several. */
const struct product_variant *product_cheapest(const struct product *product);

/* ---- rows (product_store.c) ---- */

/* DB_ROW, DB_DONE (there is none, or it is deleted) or DB_ERROR. Everything lives in the arena. */
enum db_result product_read(struct db *db, struct arena *arena, struct uuid id, struct product *product);
enum db_result product_read_by_slug(struct db *db, struct arena *arena, struct slice slug,
                                    struct product *product);
enum db_result product_read_by_number(struct db *db, struct arena *arena, int64_t number,
                                      struct product *product);

/* The tags in the order in which they are stored and shown, each once. */
void product_tags_set(struct arena *arena, struct product *product, const struct slice *tags, size_t count);

/* A free slug for a name: the folded name, with -2, -3, ... when taken. DB_DONE, DB_CONFLICT or DB_ERROR.
 * (products.c) */
enum db_result product_slug_make(struct db *db, struct arena *arena, struct slice name, struct slice *slug);

/* Writes a new product whole - rows, stock with its movements, tags, and all that follows from them - and
 * sets its number. What makes it is the caller's: ids, slug, SKUs and times are given, slug and SKUs known to
 * be free. For seeds too: some 200 us each, so put some hundreds into one transaction. DB_DONE, DB_CONFLICT
 * (slug or SKU taken, no such category; the transaction is lost) or DB_ERROR. */
enum db_result product_insert(struct db *db, struct arena *arena, struct product *product,
                              struct uuid actor_id);
/* Writes the row as it is in memory, with the price of its variants, at the next version. DB_CONFLICT when it
 * moved meanwhile. Variants, stock and tags are not written here. */
enum db_result product_update_row(struct db *db, struct arena *arena, struct product *product);

enum db_result product_tags_replace(struct db *db, const struct product *product);
enum db_result variant_insert(struct db *db, const struct product *product, size_t position,
                              struct uuid actor_id);
enum db_result variant_update_row(struct db *db, const struct product *product, size_t position);

/* ---- what follows (product_publish.c) ---- */

/* Brings document, listings, counts and search up to date with the product as it is in memory, in the
 * transaction that wrote its rows. *counts_moved (may be NULL): a category counts differently now. DB_DONE,
 * DB_CONFLICT or DB_ERROR. */
enum db_result product_publish(struct db *db, struct arena *arena, const struct product *product,
                               bool *counts_moved);
/* The same for a product that was never published: nothing is looked for that cannot be there. */
enum db_result product_publish_new(struct db *db, struct arena *arena, const struct product *product);
/* Takes a product out of lists and search: before it is deleted. */
enum db_result product_unpublish(struct db *db, struct arena *arena, const struct product *product,
                                 bool *counts_moved);
/* product_publish of the product as it is in the database, its price brought in line with its variants: for
 * those who changed rows on their own. DB_DONE also when there is no such product. */
enum db_result product_refresh(struct db *db, struct arena *arena, struct uuid product_id,
                               bool *counts_moved);

/* ---- JSON (product_document.c) ---- */

enum product_view {
    PRODUCT_VIEW_DOCUMENT, /* the shopper's, with holes for stock figures */
    PRODUCT_VIEW_STAFF     /* with costs and stock */
};

/* The contract's Product. `category` may be NULL. */
void product_write(struct json_writer *json, const struct product *product, enum product_view view,
                   const struct category_ref *category);
/* The contract's Variant as staff see it. */
void product_variant_write(struct json_writer *json, const struct product *product,
                           const struct product_variant *variant);

/* What a hole is filled with: one for each row of variant_stock that is not retired, in the order of
 * variant_id. */
struct document_stock {
    bool is_counted; /* false: null is shown (untracked) */
    int64_t available;
};
/* The document as it is stored. */
struct slice product_document_render(struct arena *arena, const struct product *product);
/* Writes a stored document with its holes filled, and the category when it is not NULL. */
void product_document_write(struct json_writer *json, struct slice document,
                            const struct document_stock *stocks, size_t count,
                            const struct category_ref *category);
