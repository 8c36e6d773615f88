/* The JSON of a product. For shoppers it is rendered once at each edit and stored with holes where stock
 * figures go, since a sale changes nothing else; reading fills them.
 *
 * A hole is the byte 0x01 (which JSON text never holds) and what stands there: "s" for the product's sum, or
 * two digits: the rank of the variant's id among the product's variants. Variants stand in the product's
 * order while their stock comes in the order of their ids (the key of variant_stock), so that the rank,
 * worked out at the edit, spares every read a search. */
#include "shop/product.h"

#define HOLE '\x01'
#define HOLE_SUM 's'

_Static_assert(PRODUCT_VARIANTS_MAX <= 100, "a rank has two digits");

const struct product_variant *product_cheapest(const struct product *product)
{
    CHECK(product->variant_count > 0 && product->variant_count <= PRODUCT_VARIANTS_MAX);
    const struct product_variant *cheapest = &product->variants[0];
    for (size_t i = 1; i < product->variant_count; i++) {
        if (product->variants[i].price_minor < cheapest->price_minor)
            cheapest = &product->variants[i];
    }
    return cheapest;
}

/* ---- parts ---- */

/* Null when there is no amount. */
static void money_or_null(struct json_writer *json, const char *key, int64_t amount_minor,
                          struct slice currency)
{
    if (amount_minor == PRODUCT_NONE)
        json_field_null(json, key);
    else
        json_field_money(json, key, amount_minor, currency);
}

static void int_or_null(struct json_writer *json, const char *key, int64_t value)
{
    if (value == PRODUCT_NONE)
        json_field_null(json, key);
    else
        json_field_int(json, key, value);
}

static void variant_hole(struct json_writer *json, const struct product *product,
                         const struct product_variant *variant)
{
    unsigned rank = 0;
    for (size_t i = 0; i < product->variant_count; i++)
        rank += uuid_compare(product->variants[i].id, variant->id) < 0;
    char hole[3] = {HOLE, (char)('0' + rank / 10), (char)('0' + rank % 10)};
    json_field_raw(json, "available", (struct slice){hole, sizeof(hole)});
}

static void stock_figure(struct json_writer *json, const char *key, bool is_counted, int64_t available)
{
    if (is_counted)
        json_field_int(json, key, available);
    else
        json_field_null(json, key);
}

static void variant_write(struct json_writer *json, const struct product *product,
                          const struct product_variant *variant, enum product_view view)
{
    json_object_begin(json);
    json_field_uuid(json, "id", variant->id);
    json_field_string(json, "sku", variant->sku);
    json_field_raw(json, "options", variant->options);
    json_field_money(json, "price", variant->price_minor, product->currency);
    money_or_null(json, "comparePrice", variant->compare_price_minor, product->currency);
    const struct stock_level *stock = &variant->stock;
    if (view == PRODUCT_VIEW_DOCUMENT)
        variant_hole(json, product, variant);
    else
        stock_figure(json, "available", stock->is_tracked, stock_available(stock));
    int_or_null(json, "weightGrams", variant->weight_grams);
    if (view == PRODUCT_VIEW_STAFF) {
        money_or_null(json, "costPrice", variant->cost_minor, product->currency);
        json_field_int(json, "onHand", stock->on_hand);
        json_field_int(json, "reserved", stock->reserved);
        json_field_bool(json, "isTracked", stock->is_tracked);
        json_field_string(json, "backorderPolicy", stock->allows_backorder ? SLICE("allow") : SLICE("deny"));
    }
    json_object_end(json);
}

void product_variant_write(struct json_writer *json, const struct product *product,
                           const struct product_variant *variant)
{
    variant_write(json, product, variant, PRODUCT_VIEW_STAFF);
}

/* The sum over all variants; null when one of them is not counted, since then nobody knows it. */
static void product_stock_write(struct json_writer *json, const struct product *product,
                                enum product_view view)
{
    static const char hole[] = {HOLE, HOLE_SUM};
    if (view == PRODUCT_VIEW_DOCUMENT) {
        json_field_raw(json, "stock", (struct slice){hole, sizeof(hole)});
        return;
    }
    bool is_counted = true;
    int64_t sum = 0;
    for (size_t i = 0; i < product->variant_count; i++) {
        is_counted = is_counted && product->variants[i].stock.is_tracked;
        sum += stock_available(&product->variants[i].stock);
    }
    stock_figure(json, "stock", is_counted, sum);
}

static void prices_write(struct json_writer *json, const struct product *product, enum product_view view)
{
    const struct product_variant *cheapest = product_cheapest(product);
    json_field_money(json, "price", cheapest->price_minor, product->currency);
    money_or_null(json, "comparePrice", cheapest->compare_price_minor, product->currency);
    if (view == PRODUCT_VIEW_STAFF)
        money_or_null(json, "costPrice", cheapest->cost_minor, product->currency);
}

static void tags_write(struct json_writer *json, const struct product *product)
{
    json_field_array_begin(json, "tags");
    for (size_t i = 0; i < product->tag_count; i++)
        json_text(json, product->tags[i]);
    json_array_end(json);
}

static void seo_write(struct json_writer *json, const struct product *product)
{
    json_field_object_begin(json, "seo");
    json_field_string(json, "title", product->seo_title);
    json_field_string(json, "description", product->seo_description);
    json_object_end(json);
}

/* ---- the whole ---- */

void product_write(struct json_writer *json, const struct product *product, enum product_view view,
                   const struct category_ref *category)
{
    json_object_begin(json);
    json_field_uuid(json, "id", product->id);
    json_field_string(json, "name", product->name);
    json_field_string(json, "slug", product->slug);
    json_field_string(json, "description", product->description);
    if (uuid_is_nil(product->category_id))
        json_field_null(json, "categoryId");
    else
        json_field_uuid(json, "categoryId", product->category_id);
    prices_write(json, product, view);
    json_field_string(json, "sku", product->variant_count == 1 ? product->variants[0].sku : SLICE_ABSENT);
    product_stock_write(json, product, view);
    json_field_raw(json, "images", product->images);
    json_field_raw(json, "attributes", product->attributes);
    tags_write(json, product);
    json_field_string(json, "vendor", product->vendor);
    json_field_bool(json, "isActive", product->is_active);
    json_field_bool(json, "isFeatured", product->is_featured);
    json_field_raw(json, "options", product->options);
    json_field_array_begin(json, "variants");
    for (size_t i = 0; i < product->variant_count; i++)
        variant_write(json, product, &product->variants[i], view);
    json_array_end(json);
    seo_write(json, product);
    json_field_time(json, "createdAt", product->created_at_ms);
    json_field_time(json, "updatedAt", product->updated_at_ms);
    if (category != NULL && !uuid_is_nil(category->id)) {
        json_key(json, "category");
        category_ref_write(json, category);
    }
    json_object_end(json);
}

/* ---- documents ---- */

struct slice product_document_render(struct arena *arena, const struct product *product)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    product_write(&json, product, PRODUCT_VIEW_DOCUMENT, NULL);
    CHECK(!text.overflow); /* the contract bounds every member */
    return buf_slice(&text);
}

static void fill(struct buf *out, const struct document_stock *stock)
{
    if (stock->is_counted)
        buf_append_int(out, stock->available);
    else
        buf_append(out, SLICE("null"));
}

static struct document_stock sum_of(const struct document_stock *stocks, size_t count)
{
    struct document_stock sum = {.is_counted = count > 0};
    for (size_t i = 0; i < count; i++) {
        sum.is_counted = sum.is_counted && stocks[i].is_counted;
        sum.available += stocks[i].available;
    }
    return sum;
}

/* Fills the hole that `part` begins with and answers what stands behind it. A rank without a row shows as
 * null: what is stored must not be able to stop a reader. */
static struct slice fill_hole(struct buf *out, struct slice part, const struct document_stock *stocks,
                              size_t count)
{
    struct document_stock stock = {.is_counted = false};
    if (part.len > 0 && part.ptr[0] == HOLE_SUM) {
        stock = sum_of(stocks, count);
        fill(out, &stock);
        return slice_skip(part, 1);
    }
    long long rank;
    if (part.len >= 2 && slice_to_int64((struct slice){part.ptr, 2}, &rank) && rank >= 0 &&
        (size_t)rank < count)
        stock = stocks[rank];
    fill(out, &stock);
    return slice_skip(part, 2);
}

void product_document_write(struct json_writer *json, struct slice document,
                            const struct document_stock *stocks, size_t count,
                            const struct category_ref *category)
{
    CHECK(document.len >= 2 && document.ptr[document.len - 1] == '}');
    struct buf *out = json->out;
    json_raw(json, (struct slice){document.ptr,
                                  1}); /* with the comma that it needs; the rest goes past the writer */
    document = (struct slice){document.ptr + 1, document.len - 2};
    (void)buf_reserve(out, document.len + 1 + count * 8);
    struct slice part;
    bool is_behind_hole = false;
    while (slice_split(&document, HOLE, &part)) {
        buf_append(out, is_behind_hole ? fill_hole(out, part, stocks, count) : part);
        is_behind_hole = true;
    }
    if (category != NULL && !uuid_is_nil(category->id)) {
        struct json_writer member;
        buf_append(out, SLICE(",\"category\":"));
        json_init(&member, out);
        category_ref_write(&member, category);
    }
    buf_append_char(out, '}');
}
