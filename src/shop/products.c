/* One product: reading, making, changing, deleting it. The plan of it all is at the top of product.h; lists
 * are in products_list.c. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "shop/category.h"
#include "shop/names.h"
#include "shop/product_edit.h"

/* ---- GET /products/{id} ---- */

#define DOCUMENT_COLUMNS "d.product_id, d.version, s.is_tracked, s.on_hand - s.reserved, d.body"
#define DOCUMENT_TYPES                                                                                       \
    {                                                                                                        \
        DB_UUID, DB_INT, DB_BOOL, DB_INT, DB_TEXT                                                            \
    }

/* One row for each variant, in the order of the holes' ranks. */
DB_STATEMENT(DOCUMENT_BY_ID) = {
    .sql = "SELECT " DOCUMENT_COLUMNS " FROM products p"
           " JOIN product_documents d ON d.product_number = p.number"
           " JOIN variant_stock s ON s.product_id = d.product_id"
           " WHERE p.id = $1 AND s.is_retired = FALSE ORDER BY s.variant_id",
    .params = {DB_UUID},
    .columns = DOCUMENT_TYPES,
};

DB_STATEMENT(DOCUMENT_BY_SLUG) = {
    .sql = "SELECT " DOCUMENT_COLUMNS " FROM products p"
           " JOIN product_documents d ON d.product_number = p.number"
           " JOIN variant_stock s ON s.product_id = d.product_id"
           " WHERE p.slug = $1 AND p.deleted_at IS NULL AND s.is_retired = FALSE ORDER BY s.variant_id",
    .params = {DB_TEXT},
    .columns = DOCUMENT_TYPES,
};

/* What a shopper sees. */
static enum http_status get_document(struct request *request, struct response *response, struct db_rows *rows,
                                     bool expands)
{
    struct document_stock stocks[PRODUCT_VARIANTS_MAX];
    size_t count = 0;
    struct slice body = SLICE_ABSENT;
    struct uuid id = {0};
    enum db_result result;
    while ((result = db_next(rows)) == DB_ROW) {
        if (count == 0) {
            id = db_get_uuid(rows, 0);
            response_version(response, db_get_int(rows, 1));
            body = db_copy_text(rows, 4, request->arena);
        }
        if (count < PRODUCT_VARIANTS_MAX)
            stocks[count++] = (struct document_stock){db_get_bool(rows, 2), db_get_int(rows, 3)};
    }
    if (result != DB_DONE)
        return problem_database(response, result);
    if (slice_is_absent(body))
        return problem(response, PROBLEM_PRODUCT_NOT_FOUND, "No product has this id or slug");
    struct category_ref category = {0};
    if (expands && category_ref_of_product(request->db, request->arena, id, true, &category) != DB_DONE)
        return problem_database(response, DB_ERROR);
    response_tag(response, "product", id);
    if (!uuid_is_nil(category.id))
        response_tag(response, "category", category.id);
    product_document_write(&response->json, body, stocks, count, &category);
    return HTTP_STATUS_OK;
}

/* What staff see: all of it, and what is inactive too. */
static enum http_status get_for_staff(struct request *request, struct response *response, bool expands)
{
    const struct product_get_input *input = request->input;
    struct product product;
    struct uuid id;
    enum db_result result = uuid_parse(input->id, &id)
                                ? product_read(request->db, request->arena, id, &product)
                                : product_read_by_slug(request->db, request->arena, input->id, &product);
    if (result == DB_DONE)
        return problem(response, PROBLEM_PRODUCT_NOT_FOUND, "No product has this id or slug");
    if (result != DB_ROW)
        return problem_database(response, result);
    struct category_ref category = {0};
    if (expands &&
        category_ref_of_product(request->db, request->arena, product.id, false, &category) != DB_DONE)
        return problem_database(response, DB_ERROR);
    response_version(response, product.version);
    product_write(&response->json, &product, PRODUCT_VIEW_STAFF, &category);
    return HTTP_STATUS_OK;
}

void product_get_expect(const struct request *request)
{
    const struct product_get_input *input = request->input;
    struct uuid id;
    if (principal_sees_drafts(&request->principal))
        return;
    if (uuid_parse(input->id, &id))
        db_expect(request->db, &DOCUMENT_BY_ID, DB_ARGS(db_uuid(id)));
    else
        db_expect(request->db, &DOCUMENT_BY_SLUG, DB_ARGS(db_text(input->id)));
}

enum http_status product_get(struct request *request, struct response *response)
{
    const struct product_get_input *input = request->input;
    if (principal_sees_drafts(&request->principal))
        return get_for_staff(request, response, input->has_expand);
    struct uuid id;
    struct db_rows *rows = uuid_parse(input->id, &id)
                               ? db_query(request->db, &DOCUMENT_BY_ID, DB_ARGS(db_uuid(id)))
                               : db_query(request->db, &DOCUMENT_BY_SLUG, DB_ARGS(db_text(input->id)));
    return get_document(request, response, rows, input->has_expand);
}

/* ---- what creating and changing share ---- */

DB_STATEMENT(PRODUCT_SLUG_IS_TAKEN) = {
    .sql = "SELECT 1 FROM products WHERE slug = $1 AND deleted_at IS NULL",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

enum db_result product_slug_make(struct db *db, struct arena *arena, struct slice name, struct slice *slug)
{
    return slug_make(db, arena, &PRODUCT_SLUG_IS_TAKEN, name, SLICE("product"), slug);
}

static enum http_status take_slug(struct product_edit *edit, struct slice slug)
{
    int64_t one;
    if (slug_looks_like_id(slug))
        return problem_field(edit->response, "slug", "FORMAT", "must not look like an id");
    switch (db_one_int(edit->request->db, &PRODUCT_SLUG_IS_TAKEN, DB_ARGS(db_text(slug)), &one)) {
    case DB_DONE:
        edit->product.slug = slug;
        return (enum http_status)0;
    case DB_ROW:
        return problem(edit->response, PROBLEM_SLUG_TAKEN, "Another product has the slug %.*s",
                       SLICE_ARG(slug));
    case DB_CONFLICT:
    case DB_ERROR:
        break;
    }
    return problem_database(edit->response, DB_ERROR);
}

static enum http_status take_category(struct product_edit *edit, bool is_null, struct uuid category_id)
{
    edit->product.category_id = (struct uuid){0};
    if (is_null)
        return (enum http_status)0;
    struct category_chain chain;
    if (category_chain_read(edit->request->db, category_id, &chain) != DB_DONE)
        return problem_database(edit->response, DB_ERROR);
    if (chain.count == 0)
        return problem_field(edit->response, "categoryId", "NOT_FOUND", "there is no such category");
    edit->product.category_id = category_id;
    return (enum http_status)0;
}

static enum http_status take_options(struct product_edit *edit,
                                     const struct product_option_input_list *options)
{
    struct fault fault;
    if (!product_options_check(edit->request->arena, options, &fault))
        return problem_field(edit->response, fault.field, fault.code, "%s", fault.message);
    edit->options = *options;
    edit->product.options = product_options_text(edit->request->arena, options);
    return (enum http_status)0;
}

static struct slice images_text(const struct request *request, const struct product_image_input_list *images)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, request->arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < images->count; i++) {
        json_object_begin(&json);
        json_field_uuid(&json, "id", uuid_v7(request->now_ms));
        json_field_string(&json, "url", images->items[i].url);
        json_field_string(&json, "alt", images->items[i].alt);
        json_field_int(&json, "position", (int64_t)i);
        json_object_end(&json);
    }
    json_array_end(&json);
    return buf_slice(&text);
}

static void take_seo(struct product *product, const struct seo_input *seo)
{
    if (seo->has_title)
        product->seo_title = seo->title;
    if (seo->has_description)
        product->seo_description = seo->description;
}

/* What of the product itself stands behind each variant of a list: the price of those that name none, and
 * alike the rest. Its SKU is what made ones begin with, and its stock that of new ones - unless there is only
 * one variant, whose they are. */
static struct product_variant_input with_defaults(const struct product_variant_input *given,
                                                  const struct product_variant_input *defaults, bool is_only)
{
    struct product_variant_input merged = *defaults;
    merged.id = given->id;
    merged.has_id = given->has_id;
    merged.options = given->options;
    merged.has_options = given->has_options;
    merged.has_sku = defaults->has_sku && is_only;
    merged.has_stock = defaults->has_stock && (is_only || !given->has_id);
#define PREFER_GIVEN(member)                                                                                 \
    if (given->has_##member) {                                                                               \
        merged.member = given->member;                                                                       \
        merged.has_##member = true;                                                                          \
    }
    PREFER_GIVEN(sku)
    PREFER_GIVEN(price)
    PREFER_GIVEN(compare_price)
    PREFER_GIVEN(cost_price)
    PREFER_GIVEN(stock)
    PREFER_GIVEN(weight_grams)
    PREFER_GIVEN(is_tracked)
    PREFER_GIVEN(backorder_policy)
#undef PREFER_GIVEN
    if (given->has_compare_price)
        merged.compare_price_is_null = given->compare_price_is_null;
    if (given->has_cost_price)
        merged.cost_price_is_null = given->cost_price_is_null;
    if (given->has_weight_grams)
        merged.weight_grams_is_null = given->weight_grams_is_null;
    return merged;
}

static bool is_planned(const struct product_edit *edit, struct uuid id)
{
    for (size_t i = 0; i < edit->product.variant_count; i++) {
        if (uuid_equals(edit->product.variants[i].id, id))
            return true;
    }
    return false;
}

/* Plans the variants as a list of the request names them. */
static enum http_status plan_list(struct product_edit *edit, const struct product_variant_input_list *list,
                                  const struct product_variant_input *defaults)
{
    edit->is_list = true;
    product_edit_plan(edit, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const char *prefix = arena_format(edit->request->arena, "variants[%zu].", i).ptr;
        const char *id_field = arena_format(edit->request->arena, "variants[%zu].id", i).ptr;
        struct product_variant_input input = with_defaults(&list->items[i], defaults, list->count == 1);
        const struct product_variant *kept = input.has_id ? product_edit_variant(edit, input.id) : NULL;
        if (input.has_id && kept == NULL)
            return problem_field(edit->response, id_field, "NOT_FOUND", "the product has no such variant");
        if (kept != NULL && is_planned(edit, kept->id))
            return problem_field(edit->response, id_field, "DUPLICATE", "names a variant once more");
        enum http_status status = kept != NULL ? product_edit_keep(edit, prefix, kept, &input)
                                               : product_edit_add(edit, prefix, &input);
        if (status)
            return status;
    }
    return (enum http_status)0;
}

/* What the audit log keeps of a product before it changes. */
static struct slice product_state(struct arena *arena, const struct product *product)
{
    struct audit_state state;
    audit_state_begin(&state, arena);
    product_write(&state.json, product, PRODUCT_VIEW_STAFF, NULL);
    return audit_state_end(&state);
}

static enum http_status answer_product(struct product_edit *edit, struct slice before,
                                       enum http_status status)
{
    product_write(&edit->response->json, &edit->product, PRODUCT_VIEW_STAFF, NULL);
    return audited(edit->request, edit->response, "product", edit->product.id, before, status);
}

/* ---- POST /products ---- */

/* Everything but slug, category, options and variants, which must be checked. */
static struct product product_from_input(const struct request *request,
                                         const struct product_create_input *input)
{
    struct product product = {
        .id = uuid_v7(request->now_ms),
        .name = input->name,
        .description = input->has_description ? input->description : SLICE(""),
        .vendor = input->vendor,
        .options = SLICE("[]"),
        .images = images_text(request, &input->images),
        .attributes = input->has_attributes ? input->attributes : SLICE("{}"),
        .is_active = !input->has_is_active || input->is_active,
        .is_featured = input->has_is_featured && input->is_featured,
        .version = 1,
        .created_at_ms = request->now_ms,
        .updated_at_ms = request->now_ms,
    };
    product_tags_set(request->arena, &product, input->tags.items, input->tags.count);
    take_seo(&product, &input->seo);
    return product;
}

/* VariantInput is ProductVariantInput without an id. */
static struct product_variant_input_list variants_from_input(struct arena *arena,
                                                             const struct variant_input_list *list)
{
    struct product_variant_input *items = ARENA_ARRAY(arena, struct product_variant_input, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const struct variant_input *input = &list->items[i];
        items[i] = (struct product_variant_input){
            VARIANT_MEMBERS(input),
            .has_price = input->has_price,
            .options = input->options,
            .has_options = input->has_options,
        };
    }
    return (struct product_variant_input_list){items, list->count};
}

static enum http_status plan_new_variants(struct product_edit *edit, const struct product_create_input *input)
{
    struct product_variant_input single = {VARIANT_MEMBERS(input), .has_price = true};
    enum http_status status = product_edit_check_money(edit, "", &single);
    if (status)
        return status;
    if (input->variants.count > 0) {
        struct product_variant_input_list list = variants_from_input(edit->request->arena, &input->variants);
        return plan_list(edit, &list, &single);
    }
    if (edit->options.count > 0)
        return problem_field(edit->response, "variants", "REQUIRED",
                             "must name the combinations of options that are sold");
    product_edit_plan(edit, 1);
    return product_edit_add(edit, "", &single);
}

enum http_status product_create(struct request *request, struct response *response)
{
    const struct product_create_input *input = request->input;
    struct product_edit edit = {.request = request, .response = response};
    edit.product = product_from_input(request, input);
    struct product *product = &edit.product;
    if (shop_currency_read(request->db, request->arena, &product->currency) != DB_ROW)
        return problem_database(response, DB_ERROR);
    enum http_status status = (enum http_status)0;
    if (input->has_category_id)
        status = take_category(&edit, input->category_id_is_null, input->category_id);
    if (!status && input->has_options)
        status = take_options(&edit, &input->options);
    if (!status)
        status = plan_new_variants(&edit, input);
    if (!status && input->has_slug)
        status = take_slug(&edit, input->slug);
    if (status)
        return status;
    if (!input->has_slug) {
        enum db_result result = product_slug_make(request->db, request->arena, input->name, &product->slug);
        if (result != DB_DONE)
            return problem_database(response, result);
    }
    edit.sku_base = input->has_sku ? input->sku : product->slug;
    status = product_edit_check(&edit);
    if (!status)
        status = product_edit_create(&edit);
    if (status)
        return status;
    response_location(response, "/products/", product->id);
    return answer_product(&edit, SLICE_ABSENT, HTTP_STATUS_CREATED);
}

/* ---- PATCH /products/{id} ---- */

/* What needs no check. */
static void take_plain_members(struct product_edit *edit, const struct product_update_input *input)
{
    struct product *product = &edit->product;
    if (input->has_name)
        product->name = input->name;
    if (input->has_description)
        product->description = input->description;
    if (input->has_images)
        product->images = images_text(edit->request, &input->images);
    if (input->has_attributes)
        product->attributes = input->attributes;
    if (input->has_vendor)
        product->vendor = input->vendor;
    if (input->has_is_active)
        product->is_active = input->is_active;
    if (input->has_is_featured)
        product->is_featured = input->is_featured;
    if (input->has_seo)
        take_seo(product, &input->seo);
    edit->replaces_tags = input->has_tags;
    if (input->has_tags)
        product_tags_set(edit->request->arena, product, input->tags.items, input->tags.count);
}

/* A member that belongs to a single variant, when there are several; NULL without. */
static const char *member_of_variant(const struct product_variant_input *single)
{
    return single->has_price              ? "price"
           : single->has_sku              ? "sku"
           : single->has_stock            ? "stock"
           : single->has_compare_price    ? "comparePrice"
           : single->has_cost_price       ? "costPrice"
           : single->has_weight_grams     ? "weightGrams"
           : single->has_is_tracked       ? "isTracked"
           : single->has_backorder_policy ? "backorderPolicy"
                                          : NULL;
}

static enum http_status plan_changed_variants(struct product_edit *edit,
                                              const struct product_update_input *input)
{
    struct product_variant_input single = {VARIANT_MEMBERS(input), .has_price = input->has_price};
    enum http_status status = product_edit_check_money(edit, "", &single);
    if (status)
        return status;
    if (input->has_variants && input->variants.count == 0)
        return problem_field(edit->response, "variants", "MIN_ITEMS", "must name at least one variant");
    if (input->has_variants)
        return plan_list(edit, &input->variants, &single);
    const char *member = member_of_variant(&single);
    if (member != NULL && edit->before_count > 1)
        return problem_field(edit->response, member, "AMBIGUOUS",
                             "belongs to a variant, and the product has several: name them in variants");
    edit->is_list = true;
    product_edit_plan(edit, edit->before_count);
    for (size_t i = 0; i < edit->before_count && !status; i++)
        status = product_edit_keep(edit, "", &edit->before[i], member != NULL ? &single : NULL);
    return status;
}

enum http_status product_update(struct request *request, struct response *response)
{
    const struct product_update_input *input = request->input;
    struct product_edit edit;
    enum http_status status = product_edit_open(&edit, request, response, input->id);
    if (status)
        return status;
    struct slice before = product_state(request->arena, &edit.product);
    take_plain_members(&edit, input);
    if (input->has_category_id)
        status = take_category(&edit, input->category_id_is_null, input->category_id);
    if (!status && input->has_options)
        status = take_options(&edit, &input->options);
    if (!status)
        status = plan_changed_variants(&edit, input);
    if (!status && input->has_slug && !slice_equals(input->slug, edit.product.slug))
        status = take_slug(&edit, input->slug);
    edit.sku_base = input->has_sku ? input->sku : edit.product.slug;
    if (!status)
        status = product_edit_check(&edit);
    if (!status)
        status = product_edit_write(&edit);
    if (status)
        return status;
    response_version(response, edit.product.version);
    return answer_product(&edit, before, HTTP_STATUS_OK);
}

/* ---- DELETE /products/{id} ---- */

/* Leaves its category too, which may be deleted one day. */
DB_STATEMENT(PRODUCT_DELETE) = {
    .sql = "UPDATE products SET deleted_at = $3, updated_at = $3, is_active = FALSE, category_id = NULL,"
           " version = version + 1 WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_INT, DB_TIME},
};

DB_STATEMENT(PRODUCT_VARIANTS_DELETE) = {
    .sql =
        "UPDATE variants SET deleted_at = $2, updated_at = $2 WHERE product_id = $1 AND deleted_at IS NULL",
    .params = {DB_UUID, DB_TIME},
};

/* The rows stay, marked deleted: orders and carts point to them. Slug and SKUs are free again. */
enum http_status product_delete(struct request *request, struct response *response)
{
    const struct product_delete_input *input = request->input;
    struct product_edit edit;
    enum http_status status = product_edit_open(&edit, request, response, input->id);
    if (status)
        return status;
    struct slice before = product_state(request->arena, &edit.product);
    struct db *db = request->db;
    bool counts_moved = false;
    enum db_result result = product_unpublish(db, request->arena, &edit.product, &counts_moved);
    for (size_t i = 0; i < edit.before_count && result == DB_DONE; i++)
        result = stock_retire(db, input->id, edit.before[i].id);
    if (result == DB_DONE)
        result = db_run(db, &PRODUCT_VARIANTS_DELETE, DB_ARGS(db_uuid(input->id), db_time(request->now_ms)));
    if (result == DB_DONE)
        result =
            db_change(db, &PRODUCT_DELETE,
                      DB_ARGS(db_uuid(input->id), db_int(edit.product.version), db_time(request->now_ms)));
    if (result != DB_DONE)
        return problem_database(response, result);
    response_drop_id(response, "product", input->id);
    response_drop(response, "products");
    if (counts_moved)
        response_drop(response, "categories");
    return audited(request, response, "product", input->id, before, HTTP_STATUS_NO_CONTENT);
}
