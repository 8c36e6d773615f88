/* Changing a product: what the endpoints of products and of variants share. All variants of the product are
 * planned as they shall be, checked together, then written. Every function answers 0 ("go on") or the status
 * of the problem that it wrote. */
#pragma once

#include "http/response.h"
#include "shop/product.h"
#include "shop/product_options.h"

/* The members that VariantInput, ProductCreateInput and ProductUpdateInput have in common, for an initializer
 * of struct product_variant_input. */
#define VARIANT_MEMBERS(input)                                                                               \
    .sku = (input)->sku, .has_sku = (input)->has_sku, .price = (input)->price,                               \
    .compare_price = (input)->compare_price, .has_compare_price = (input)->has_compare_price,                \
    .compare_price_is_null = (input)->compare_price_is_null, .cost_price = (input)->cost_price,              \
    .has_cost_price = (input)->has_cost_price, .cost_price_is_null = (input)->cost_price_is_null,            \
    .stock = (input)->stock, .has_stock = (input)->has_stock, .weight_grams = (input)->weight_grams,         \
    .has_weight_grams = (input)->has_weight_grams, .weight_grams_is_null = (input)->weight_grams_is_null,    \
    .is_tracked = (input)->is_tracked, .has_is_tracked = (input)->has_is_tracked,                            \
    .backorder_policy = (input)->backorder_policy, .has_backorder_policy = (input)->has_backorder_policy

/* What is planned for one variant, beside product.variants. */
struct variant_plan {
    const char *prefix; /* of its fields in the request: "variants[2]." or "" */
    bool is_new;
    bool is_changed;  /* the row must be written */
    bool has_new_sku; /* one was given that it does not have yet */
    bool has_no_sku;  /* one must be made */
    struct option_values values;
    bool changes_stock;
    struct stock_change stock;
};

struct product_edit {
    struct request *request;
    struct response *response;
    struct product product;               /* as it shall be */
    struct variant_plan *plans;           /* one for each of product.variants */
    const struct product_variant *before; /* the variants as they are */
    size_t before_count;
    struct product_option_input_list options; /* the product's, as they shall be */
    struct slice sku_base;                    /* what made SKUs begin with */
    bool is_list;                             /* the request names variants as a list */
    bool replaces_tags;
    bool counts_moved; /* set by writing: a category counts differently now */
};

/* Begins with the product as it is: 404, or 412 when If-Match names another version. Nothing is planned yet.
 */
enum http_status product_edit_open(struct product_edit *edit, struct request *request,
                                   struct response *response, struct uuid product_id);
/* A variant as it is, one of `before`; NULL when the product has no such. */
const struct product_variant *product_edit_variant(const struct product_edit *edit, struct uuid id);
/* The currency of the shop. DB_ROW or DB_ERROR. */
enum db_result shop_currency_read(struct db *db, struct arena *arena, struct slice *currency);
/* Refuses amounts in another currency than the product's. */
enum http_status product_edit_check_money(struct product_edit *edit, const char *prefix,
                                          const struct product_variant_input *input);

/* Empties the plan and makes room for `count` variants. */
void product_edit_plan(struct product_edit *edit, size_t count);
/* Plans a new variant as `input` says. */
enum http_status product_edit_add(struct product_edit *edit, const char *prefix,
                                  const struct product_variant_input *input);
/* Plans to keep a variant of `before`, changed as `input` says (NULL: as it is). */
enum http_status product_edit_keep(struct product_edit *edit, const char *prefix,
                                   const struct product_variant *variant,
                                   const struct product_variant_input *input);

/* Checks the plan as a whole - combinations of options, SKUs - and makes the SKUs that are missing. */
enum http_status product_edit_check(struct product_edit *edit);
/* Writes a new product with its variants. */
enum http_status product_edit_create(struct product_edit *edit);
/* Writes the changed product: variants that the plan leaves out are removed. */
enum http_status product_edit_write(struct product_edit *edit);
