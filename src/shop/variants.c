/* The variants of a product, one at a time: adding, changing, removing. Each is a change of the product's
 * whole plan of variants (product_edit.h), so that combinations, SKUs, price and document stay right
 * together. */
#include "contract/handlers.h"
#include "contract/inputs.h"
#include "http/audit.h"
#include "shop/product_edit.h"

/* Plans every variant as it is, but `except` (NULL: none). */
static enum http_status keep_others(struct product_edit *edit, const struct product_variant *except)
{
    enum http_status status = (enum http_status)0;
    for (size_t i = 0; i < edit->before_count && !status; i++) {
        if (&edit->before[i] != except)
            status = product_edit_keep(edit, "", &edit->before[i], NULL);
    }
    return status;
}

static enum http_status answer_no_variant(struct response *response)
{
    return problem(response, PROBLEM_VARIANT_NOT_FOUND, "The product has no variant with this id");
}

/* What the audit log keeps of a variant before it changes. */
static struct slice variant_state(const struct product_edit *edit, const struct product_variant *variant)
{
    struct audit_state state;
    audit_state_begin(&state, edit->request->arena);
    product_variant_write(&state.json, &edit->product, variant);
    return audit_state_end(&state);
}

/* ---- POST /products/{id}/variants ---- */

static void locate(struct request *request, struct response *response, struct uuid product_id,
                   struct uuid variant_id)
{
    char product[UUID_TEXT_LEN];
    char variant[UUID_TEXT_LEN];
    uuid_format(product_id, product);
    uuid_format(variant_id, variant);
    response_header(response, "Location",
                    arena_format(request->arena, "/products/%.*s/variants/%.*s", UUID_TEXT_LEN, product,
                                 UUID_TEXT_LEN, variant));
}

enum http_status variant_create(struct request *request, struct response *response)
{
    const struct variant_create_input *input = request->input;
    struct product_edit edit;
    enum http_status status = product_edit_open(&edit, request, response, input->id);
    if (status)
        return status;
    if (edit.before_count >= PRODUCT_VARIANTS_MAX)
        return problem(response, PROBLEM_LIMIT_REACHED, "A product has at most %d variants",
                       PRODUCT_VARIANTS_MAX);
    struct product_variant_input given = {
        VARIANT_MEMBERS(input),
        .has_price = input->has_price,
        .options = input->options,
        .has_options = input->has_options,
    };
    edit.sku_base = edit.product.slug;
    product_edit_plan(&edit, edit.before_count + 1);
    status = keep_others(&edit, NULL);
    if (!status)
        status = product_edit_add(&edit, "", &given);
    if (!status)
        status = product_edit_check(&edit);
    if (!status)
        status = product_edit_write(&edit);
    if (status)
        return status;
    const struct product_variant *made = &edit.product.variants[edit.before_count];
    locate(request, response, edit.product.id, made->id);
    product_variant_write(&response->json, &edit.product, made);
    return audited(request, response, "variant", made->id, SLICE_ABSENT, HTTP_STATUS_CREATED);
}

/* ---- PATCH /products/{id}/variants/{variantId} ---- */

enum http_status variant_update(struct request *request, struct response *response)
{
    const struct variant_update_input *input = request->input;
    struct product_edit edit;
    enum http_status status = product_edit_open(&edit, request, response, input->id);
    if (status)
        return status;
    const struct product_variant *variant = product_edit_variant(&edit, input->variant_id);
    if (variant == NULL)
        return answer_no_variant(response);
    struct slice before = variant_state(&edit, variant);
    struct product_variant_input given = {
        VARIANT_MEMBERS(input),
        .has_price = input->has_price,
        .options = input->options,
        .has_options = input->has_options,
    };
    product_edit_plan(&edit, edit.before_count);
    for (size_t i = 0; i < edit.before_count && !status; i++)
        status = product_edit_keep(&edit, "", &edit.before[i], &edit.before[i] == variant ? &given : NULL);
    if (!status)
        status = product_edit_check(&edit);
    if (!status)
        status = product_edit_write(&edit);
    if (status)
        return status;
    product_variant_write(&response->json, &edit.product, &edit.product.variants[variant - edit.before]);
    return audited(request, response, "variant", input->variant_id, before, HTTP_STATUS_OK);
}

/* ---- DELETE /products/{id}/variants/{variantId} ---- */

enum http_status variant_delete(struct request *request, struct response *response)
{
    const struct variant_delete_input *input = request->input;
    struct product_edit edit;
    enum http_status status = product_edit_open(&edit, request, response, input->id);
    if (status)
        return status;
    const struct product_variant *variant = product_edit_variant(&edit, input->variant_id);
    if (variant == NULL)
        return answer_no_variant(response);
    if (edit.before_count == 1)
        return problem(response, PROBLEM_LAST_VARIANT,
                       "A product has at least one variant: delete the product");
    struct slice before = variant_state(&edit, variant);
    product_edit_plan(&edit, edit.before_count - 1);
    status = keep_others(&edit, variant);
    if (!status)
        status = product_edit_write(&edit);
    return audited(request, response, "variant", input->variant_id, before,
                   status ? status : HTTP_STATUS_NO_CONTENT);
}
