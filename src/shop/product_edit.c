/* Planning, checking and writing a change of a product and its variants: see product_edit.h. */
#include "shop/product_edit.h"

#include "shop/names.h"

/* ---- beginning ---- */

DB_STATEMENT(SHOP_CURRENCY) = {
    .sql = "SELECT currency FROM shop_settings WHERE id = 1",
    .columns = {DB_TEXT},
};

enum db_result shop_currency_read(struct db *db, struct arena *arena, struct slice *currency)
{
    struct db_rows *rows = db_query(db, &SHOP_CURRENCY, DB_NO_ARGS);
    if (db_next(rows) != DB_ROW)
        return DB_ERROR;
    *currency = db_copy_text(rows, 0, arena);
    db_close(rows);
    return DB_ROW;
}

enum http_status product_edit_open(struct product_edit *edit, struct request *request,
                                   struct response *response, struct uuid product_id)
{
    *edit = (struct product_edit){.request = request, .response = response};
    enum db_result result = product_read(request->db, request->arena, product_id, &edit->product);
    if (result == DB_DONE)
        return problem(response, PROBLEM_PRODUCT_NOT_FOUND, "No product has this id");
    if (result != DB_ROW)
        return problem_database(response, result);
    edit->before = edit->product.variants;
    edit->before_count = edit->product.variant_count;
    edit->options = product_options_read(request->arena, edit->product.options);
    edit->product.updated_at_ms = request->now_ms;
    return response_precondition(response, request, edit->product.version);
}

const struct product_variant *product_edit_variant(const struct product_edit *edit, struct uuid id)
{
    for (size_t i = 0; i < edit->before_count; i++) {
        if (uuid_equals(edit->before[i].id, id))
            return &edit->before[i];
    }
    return NULL;
}

/* ---- planning ---- */

static const char *field_name(struct product_edit *edit, const char *prefix, const char *name)
{
    return arena_format(edit->request->arena, "%s%s", prefix, name).ptr;
}

static enum http_status check_money(struct product_edit *edit, const char *prefix, const char *name,
                                    const struct money *money)
{
    struct slice currency = edit->product.currency;
    if (slice_equals(money->currency, currency))
        return (enum http_status)0;
    return problem_field(edit->response, field_name(edit, prefix, name), "CURRENCY",
                         "must be %.*s, the currency of the shop", SLICE_ARG(currency));
}

enum http_status product_edit_check_money(struct product_edit *edit, const char *prefix,
                                          const struct product_variant_input *input)
{
    enum http_status status = (enum http_status)0;
    if (input->has_price)
        status = check_money(edit, prefix, "price.currency", &input->price);
    if (!status && input->has_compare_price && !input->compare_price_is_null)
        status = check_money(edit, prefix, "comparePrice.currency", &input->compare_price);
    if (!status && input->has_cost_price && !input->cost_price_is_null)
        status = check_money(edit, prefix, "costPrice.currency", &input->cost_price);
    return status;
}

void product_edit_plan(struct product_edit *edit, size_t count)
{
    edit->product.variants = ARENA_ARRAY(edit->request->arena, struct product_variant, count);
    edit->plans = ARENA_ARRAY(edit->request->arena, struct variant_plan, count);
    edit->product.variant_count = 0;
}

/* What `input` names of a variant, but its stock and SKU. */
static void variant_apply(struct product_variant *variant, const struct product_variant_input *input)
{
    if (input->has_price)
        variant->price_minor = input->price.amount_minor;
    if (input->has_compare_price)
        variant->compare_price_minor =
            input->compare_price_is_null ? PRODUCT_NONE : input->compare_price.amount_minor;
    if (input->has_cost_price)
        variant->cost_minor = input->cost_price_is_null ? PRODUCT_NONE : input->cost_price.amount_minor;
    if (input->has_weight_grams)
        variant->weight_grams = input->weight_grams_is_null ? PRODUCT_NONE : input->weight_grams;
}

static enum http_status fit_options(struct product_edit *edit, struct variant_plan *plan,
                                    struct product_variant *variant, struct slice given, const char *field)
{
    const char *why = NULL;
    if (!option_values_fit(edit->request->arena, &edit->options, given, &plan->values, &why))
        return problem_field(edit->response, field, "OPTIONS", "%s", why);
    variant->options = plan->values.text;
    return (enum http_status)0;
}

enum http_status product_edit_add(struct product_edit *edit, const char *prefix,
                                  const struct product_variant_input *input)
{
    struct request *request = edit->request;
    struct variant_plan *plan = &edit->plans[edit->product.variant_count];
    struct product_variant *variant = &edit->product.variants[edit->product.variant_count++];
    *plan = (struct variant_plan){.prefix = prefix, .is_new = true, .has_no_sku = !input->has_sku};
    plan->has_new_sku = input->has_sku;
    *variant = (struct product_variant){
        .id = uuid_v7(request->now_ms),
        .sku = input->sku,
        .compare_price_minor = PRODUCT_NONE,
        .cost_minor = PRODUCT_NONE,
        .weight_grams = PRODUCT_NONE,
        .stock = {.on_hand = input->has_stock ? input->stock : 0,
                  .is_tracked = !input->has_is_tracked || input->is_tracked,
                  .allows_backorder =
                      input->has_backorder_policy && input->backorder_policy == BACKORDER_POLICY_ALLOW},
    };
    if (edit->before_count > 0) { /* a variant that names no price costs what the product does */
        struct product before = {.variants = (struct product_variant *)edit->before,
                                 .variant_count = edit->before_count};
        variant->price_minor = product_cheapest(&before)->price_minor;
    }
    variant_apply(variant, input);
    enum http_status status = product_edit_check_money(edit, prefix, input);
    return status ? status
                  : fit_options(edit, plan, variant, input->options, field_name(edit, prefix, "options"));
}

/* In what the row of a variant holds. */
static bool differs(const struct product_variant *a, const struct product_variant *b)
{
    return a->price_minor != b->price_minor || a->compare_price_minor != b->compare_price_minor ||
           a->cost_minor != b->cost_minor || a->weight_grams != b->weight_grams ||
           !slice_equals(a->sku, b->sku) || !slice_equals(a->options, b->options);
}

enum http_status product_edit_keep(struct product_edit *edit, const char *prefix,
                                   const struct product_variant *variant,
                                   const struct product_variant_input *input)
{
    static const struct product_variant_input nothing;
    if (input == NULL)
        input = &nothing;
    struct variant_plan *plan = &edit->plans[edit->product.variant_count];
    struct product_variant *kept = &edit->product.variants[edit->product.variant_count++];
    *plan = (struct variant_plan){.prefix = prefix};
    *kept = *variant;
    variant_apply(kept, input);
    if (input->has_sku && !slice_equals(input->sku, variant->sku)) {
        plan->has_new_sku = true;
        kept->sku = input->sku;
    }
    plan->changes_stock = input->has_stock || input->has_is_tracked || input->has_backorder_policy;
    plan->stock = (struct stock_change){
        .has_on_hand = input->has_stock,
        .on_hand = input->stock,
        .has_is_tracked = input->has_is_tracked,
        .is_tracked = input->is_tracked,
        .has_allows_backorder = input->has_backorder_policy,
        .allows_backorder = input->backorder_policy == BACKORDER_POLICY_ALLOW,
        .actor_id = principal_actor_id(&edit->request->principal),
    };
    enum http_status status = product_edit_check_money(edit, prefix, input);
    if (status)
        return status;
    /* The product's options may have changed under a variant that was not touched. */
    const char *field = input->has_options ? field_name(edit, prefix, "options") : "options";
    status = fit_options(edit, plan, kept, input->has_options ? input->options : variant->options, field);
    bool moves = kept - edit->product.variants != variant - edit->before;
    plan->is_changed = moves || differs(kept, variant);
    return status;
}

/* ---- checking ---- */

static enum http_status check_combinations(struct product_edit *edit)
{
    const struct product *product = &edit->product;
    for (size_t i = 1; i < product->variant_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!slice_equals(product->variants[i].options, product->variants[j].options))
                continue;
            if (!edit->is_list)
                return problem(edit->response, PROBLEM_VARIANT_EXISTS,
                               "The product has a variant with these options");
            return problem_field(edit->response, field_name(edit, edit->plans[i].prefix, "options"),
                                 "DUPLICATE", "must differ from the other variants' options");
        }
    }
    return (enum http_status)0;
}

DB_STATEMENT(SKU_OWNER) = {
    .sql = "SELECT product_id FROM variants WHERE sku = $1 AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_UUID},
};

/* Whether another product has it: those of this one are all in the plan, or will be gone. */
static enum db_result sku_is_taken(struct product_edit *edit, struct slice sku, bool *is_taken)
{
    *is_taken = false;
    struct db_rows *rows = db_query(edit->request->db, &SKU_OWNER, DB_ARGS(db_text(sku)));
    enum db_result result = db_next(rows);
    if (result != DB_ROW)
        return result;
    *is_taken = !uuid_equals(db_get_uuid(rows, 0), edit->product.id);
    db_close(rows);
    return DB_DONE;
}

static enum http_status check_given_skus(struct product_edit *edit)
{
    const struct product *product = &edit->product;
    for (size_t i = 0; i < product->variant_count; i++) {
        struct slice sku = product->variants[i].sku;
        if (!edit->plans[i].has_new_sku)
            continue;
        bool is_taken = false;
        if (sku_is_taken(edit, sku, &is_taken) != DB_DONE)
            return problem_database(edit->response, DB_ERROR);
        for (size_t j = 0; j < product->variant_count && !is_taken; j++)
            is_taken = j != i && !edit->plans[j].has_no_sku && slice_equals(sku, product->variants[j].sku);
        if (is_taken)
            return problem(edit->response, PROBLEM_SKU_TAKEN, "Another variant has the SKU %.*s",
                           SLICE_ARG(sku));
    }
    return (enum http_status)0;
}

static enum http_status make_missing_skus(struct product_edit *edit)
{
    struct product *product = &edit->product;
    struct arena *arena = edit->request->arena;
    struct slice *claimed = ARENA_ARRAY(arena, struct slice, product->variant_count);
    size_t claimed_count = 0;
    for (size_t i = 0; i < product->variant_count; i++) {
        if (!edit->plans[i].has_no_sku)
            claimed[claimed_count++] = product->variants[i].sku;
    }
    for (size_t i = 0; i < product->variant_count; i++) {
        const struct option_values *values = &edit->plans[i].values;
        if (!edit->plans[i].has_no_sku)
            continue;
        struct slice stem = sku_stem(arena, edit->sku_base, values->items, values->count);
        struct slice *sku = &product->variants[i].sku;
        enum db_result result = sku_make(edit->request->db, arena, stem, claimed, claimed_count, sku);
        if (result != DB_DONE)
            return problem_database(edit->response, result);
        claimed[claimed_count++] = *sku;
    }
    return (enum http_status)0;
}

enum http_status product_edit_check(struct product_edit *edit)
{
    enum http_status status = check_combinations(edit);
    if (!status)
        status = check_given_skus(edit);
    return status ? status : make_missing_skus(edit);
}

/* ---- writing ---- */

static void drop_from_cache(struct product_edit *edit)
{
    response_drop_id(edit->response, "product", edit->product.id);
    response_drop(edit->response, "products");
    if (edit->counts_moved)
        response_drop(edit->response, "categories");
}

enum http_status product_edit_create(struct product_edit *edit)
{
    struct request *request = edit->request;
    enum db_result result =
        product_insert(request->db, request->arena, &edit->product, principal_actor_id(&request->principal));
    if (result != DB_DONE)
        return problem_database(edit->response, result);
    edit->counts_moved = edit->product.is_active && !uuid_is_nil(edit->product.category_id);
    drop_from_cache(edit);
    return (enum http_status)0;
}

DB_STATEMENT(VARIANT_DELETE) = {
    .sql = "UPDATE variants SET deleted_at = $3, updated_at = $3"
           " WHERE id = $1 AND product_id = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_UUID, DB_TIME},
};

static bool is_planned(const struct product_edit *edit, struct uuid variant_id)
{
    for (size_t i = 0; i < edit->product.variant_count; i++) {
        if (uuid_equals(edit->product.variants[i].id, variant_id))
            return true;
    }
    return false;
}

static enum db_result remove_unplanned(struct product_edit *edit)
{
    struct db *db = edit->request->db;
    struct uuid product_id = edit->product.id;
    enum db_result result = DB_DONE;
    for (size_t i = 0; i < edit->before_count && result == DB_DONE; i++) {
        struct uuid id = edit->before[i].id;
        if (is_planned(edit, id))
            continue;
        result = db_change(db, &VARIANT_DELETE,
                           DB_ARGS(db_uuid(id), db_uuid(product_id), db_time(edit->request->now_ms)));
        if (result == DB_DONE)
            result = stock_retire(db, product_id, id);
    }
    return result;
}

DB_STATEMENT(VARIANT_PARK_SKU) = {
    .sql = "UPDATE variants SET sku = $2 WHERE id = $1",
    .params = {DB_UUID, DB_TEXT},
};

/* Variants may swap their SKUs, of which no two are alike at any moment: those that change step aside first.
 */
static enum db_result park_skus(struct product_edit *edit)
{
    enum db_result result = DB_DONE;
    for (size_t i = 0; i < edit->product.variant_count && result == DB_DONE; i++) {
        if (edit->plans[i].is_new || !edit->plans[i].has_new_sku)
            continue;
        char aside[UUID_TEXT_LEN];
        uuid_format(edit->product.variants[i].id, aside);
        result = db_change(
            edit->request->db, &VARIANT_PARK_SKU,
            DB_ARGS(db_uuid(edit->product.variants[i].id), db_text((struct slice){aside, sizeof(aside)})));
    }
    return result;
}

static enum http_status write_variant(struct product_edit *edit, size_t position)
{
    struct db *db = edit->request->db;
    struct product *product = &edit->product;
    struct variant_plan *plan = &edit->plans[position];
    enum db_result result = DB_DONE;
    if (plan->is_new)
        result = variant_insert(db, product, position, principal_actor_id(&edit->request->principal));
    else if (plan->is_changed)
        result = variant_update_row(db, product, position);
    if (result == DB_DONE && plan->changes_stock) {
        bool is_short = false;
        struct product_variant *variant = &product->variants[position];
        result = stock_set_level(db, product->id, variant->id, &plan->stock, edit->request->now_ms,
                                 &variant->stock, &is_short);
        if (is_short)
            return problem(edit->response, PROBLEM_INSUFFICIENT_STOCK,
                           "Orders have reserved %lld of %.*s: less cannot be on hand",
                           (long long)variant->stock.reserved, SLICE_ARG(variant->sku));
    }
    return result == DB_DONE ? (enum http_status)0 : problem_database(edit->response, result);
}

enum http_status product_edit_write(struct product_edit *edit)
{
    struct db *db = edit->request->db;
    struct arena *arena = edit->request->arena;
    enum db_result result = remove_unplanned(edit);
    if (result == DB_DONE)
        result = park_skus(edit);
    if (result != DB_DONE)
        return problem_database(edit->response, result);
    for (size_t i = 0; i < edit->product.variant_count; i++) {
        enum http_status status = write_variant(edit, i);
        if (status)
            return status;
    }
    result = product_update_row(db, arena, &edit->product);
    if (result == DB_DONE && edit->replaces_tags)
        result = product_tags_replace(db, &edit->product);
    if (result == DB_DONE)
        result = product_publish(db, arena, &edit->product, &edit->counts_moved);
    if (result != DB_DONE)
        return problem_database(edit->response, result);
    drop_from_cache(edit);
    return (enum http_status)0;
}
