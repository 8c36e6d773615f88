/* Reading the sample shop's products and drawing their pictures: see seed_catalogue.h. */
#include "shop/seed_catalogue.h"

#include "base/text.h"
#include "shop/names.h"
#include "shop/product_options.h"
#include "shop/seed_data.h"
#include "shop/seed_random.h"

#include <stdlib.h>

#define DAY_MS INT64_C(86400000)
#define SEO_DESCRIPTION_MAX 155 /* what search engines show */

struct reader {
    struct arena *arena;
    const struct seed_categories *categories;
    const json_t *colours;
    struct slice currency;
    int64_t now_ms;
    const json_t *entry; /* the product being read */
    struct seed_random random;
};

static struct slice member(const struct reader *reader, const char *key)
{
    return seed_member(reader->arena, reader->entry, key);
}

/* ---- variants ---- */

/* The value of option `o` of the variant at `position`, when the last option runs fastest. */
static struct slice value_at(const struct product_option_input_list *options, size_t position, size_t o)
{
    for (size_t later = options->count; later-- > o + 1;)
        position /= options->items[later].values.count;
    const struct product_option_input *option = &options->items[o];
    return option->values.items[position % option->values.count];
}

/* The variant's options as they are stored. */
static struct option_values values_of(struct reader *reader, const struct product_option_input_list *options,
                                      size_t position)
{
    struct option_values values;
    const char *why = NULL;
    json_t *chosen = json_object();
    for (size_t o = 0; o < options->count; o++) {
        struct slice value = value_at(options, position, o);
        struct slice name = arena_copy(reader->arena, options->items[o].name);
        CHECK(json_object_set_new(chosen, name.ptr, json_stringn(value.ptr, value.len)) == 0);
    }
    CHECK(option_values_fit(reader->arena, options, seed_compact(reader->arena, chosen), &values, &why));
    json_decref(chosen);
    return values;
}

static int64_t stock_at(const json_t *stock, size_t position)
{
    const json_t *figure = json_is_array(stock) ? json_array_get(stock, position) : stock;
    CHECK(json_is_integer(figure));
    return json_integer_value(figure);
}

static struct product_variant variant_read(struct reader *reader,
                                           const struct product_option_input_list *options, size_t position)
{
    const json_t *entry = reader->entry;
    struct option_values values = values_of(reader, options, position);
    struct product_variant variant = {
        .id = seed_uuid_v7(&reader->random, reader->now_ms - seed_member_int(entry, "days", 0) * DAY_MS),
        .sku = sku_stem(reader->arena, member(reader, "sku"), values.items, values.count),
        .options = values.text,
        .price_minor = seed_member_int(entry, "price", 0),
        .compare_price_minor = seed_member_int(entry, "compareAt", PRODUCT_NONE),
        .cost_minor = seed_member_int(entry, "cost", PRODUCT_NONE),
        .weight_grams = seed_member_int(entry, "weight", PRODUCT_NONE),
        .stock = {.on_hand = stock_at(json_object_get(entry, "stock"), position),
                  .is_tracked = !seed_member_flag(entry, "untracked"),
                  .allows_backorder = seed_member_flag(entry, "backorder")},
    };
    int64_t base_minor = variant.price_minor;
    const json_t *by = json_object_get(entry, "by");
    for (size_t i = 0; i < values.count; i++) {
        const json_t *change = json_object_get(by, arena_copy(reader->arena, values.items[i]).ptr);
        variant.price_minor = seed_member_int(change, "price", variant.price_minor);
        variant.weight_grams = seed_member_int(change, "weight", variant.weight_grams);
    }
    CHECK(base_minor > 0 && variant.price_minor > 0);
    if (variant.cost_minor != PRODUCT_NONE) /* a larger size costs the shop as much more */
        variant.cost_minor = variant.cost_minor * variant.price_minor / base_minor;
    return variant;
}

static void variants_read(struct reader *reader, struct product *product)
{
    struct product_option_input_list options = product_options_read(reader->arena, product->options);
    product->variant_count = 1;
    for (size_t i = 0; i < options.count; i++)
        product->variant_count *= options.items[i].values.count;
    const json_t *stock = json_object_get(reader->entry, "stock");
    CHECK(!json_is_array(stock) || json_array_size(stock) == product->variant_count);
    product->variants = ARENA_ARRAY(reader->arena, struct product_variant, product->variant_count);
    for (size_t i = 0; i < product->variant_count; i++)
        product->variants[i] = variant_read(reader, &options, i);
}

/* ---- pictures ---- */

static struct slice colour_named(const struct reader *reader, struct slice name)
{
    struct slice colour = seed_member(reader->arena, reader->colours, arena_copy(reader->arena, name).ptr);
    CHECK(!slice_is_absent(colour));
    return colour;
}

static void picture_add(struct reader *reader, struct seed_product *seed, const struct picture *picture,
                        struct slice name, struct slice alt)
{
    CHECK(seed->image_count < SEED_PICTURES_MAX);
    size_t at = seed->image_count++;
    seed->images[at] = (struct seed_image){
        .id = seed_uuid_v7(&reader->random, seed->product.created_at_ms), .name = name, .alt = alt};
    seed->drawings[at] = picture_draw(reader->arena, picture);
}

/* One for each colour there is to choose, on the same background; or one and a close-up. */
static void pictures_draw(struct reader *reader, struct seed_product *seed, const struct palette *palette)
{
    struct arena *arena = reader->arena;
    const struct product *product = &seed->product;
    struct product_option_input_list options = product_options_read(arena, product->options);
    struct slice colour = member(reader, "colour");
    struct picture picture = {
        .palette = palette,
        .glyph = member(reader, "glyph"),
        .colour = slice_is_absent(colour) ? SLICE_ABSENT : colour_named(reader, colour),
        .variety = seed_random_next(&reader->random),
    };
    for (size_t o = 0; o < options.count; o++) {
        if (!slice_is(options.items[o].name, "Colour"))
            continue;
        for (size_t i = 0; i < options.items[o].values.count; i++) {
            struct slice value = options.items[o].values.items[i];
            picture.colour = colour_named(reader, value);
            picture_add(reader, seed, &picture,
                        arena_format(arena, "%.*s-%.*s.svg", SLICE_ARG(product->slug),
                                     SLICE_ARG(text_slug(arena, value))),
                        arena_format(arena, "%.*s in %.*s", SLICE_ARG(product->name), SLICE_ARG(value)));
        }
        return;
    }
    picture_add(reader, seed, &picture, arena_format(arena, "%.*s.svg", SLICE_ARG(product->slug)),
                product->name);
    picture.view = PICTURE_CLOSE;
    picture_add(reader, seed, &picture, arena_format(arena, "%.*s-close.svg", SLICE_ARG(product->slug)),
                arena_format(arena, "%.*s, a close-up", SLICE_ARG(product->name)));
}

/* ---- products ---- */

/* The first sentences, as many as fit. */
static struct slice seo_description(struct slice description)
{
    struct slice text = {description.ptr, 0};
    for (size_t i = 0; i + 1 < description.len && i < SEO_DESCRIPTION_MAX; i++) {
        if (description.ptr[i] == '.' && (description.ptr[i + 1] == ' ' || description.ptr[i + 1] == '\n'))
            text.len = i + 1;
    }
    if (text.len == 0 && description.len <= SEO_DESCRIPTION_MAX)
        return description;
    return text.len > 0 ? text : SLICE_ABSENT;
}

static void seo_read(struct reader *reader, struct product *product)
{
    const json_t *seo = json_object_get(reader->entry, "seo");
    product->seo_title = seed_member(reader->arena, seo, "title");
    product->seo_description = seed_member(reader->arena, seo, "description");
    if (seo != NULL)
        return;
    product->seo_title = arena_format(reader->arena, "%.*s by %.*s | souk", SLICE_ARG(product->name),
                                      SLICE_ARG(product->vendor));
    product->seo_description = seo_description(product->description);
}

static void product_read_entry(struct reader *reader, struct seed_product *seed, size_t index)
{
    struct arena *arena = reader->arena;
    const json_t *entry = reader->entry;
    const struct seed_category *category = seed_category_find(reader->categories, member(reader, "category"));
    const json_t *options = json_object_get(entry, "options");
    struct slice_list tags = seed_texts(arena, json_object_get(entry, "tags"));
    /* Those added on one day came one after the other. */
    int64_t created_at_ms =
        reader->now_ms - seed_member_int(entry, "days", 0) * DAY_MS + (int64_t)index * 1000;
    seed_random_init(&reader->random, 'p', index);
    struct product *product = &seed->product;
    *product = (struct product){
        .id = seed_uuid_v7(&reader->random, created_at_ms),
        .category_id = category->id,
        .name = member(reader, "name"),
        .description = member(reader, "description"),
        .vendor = member(reader, "vendor"),
        .currency = reader->currency,
        .options = options != NULL ? seed_compact(arena, options) : SLICE("[]"),
        .attributes = seed_compact(arena, json_object_get(entry, "attributes")),
        .is_active = !seed_member_flag(entry, "draft"),
        .is_featured = seed_member_flag(entry, "featured"),
        .version = 1,
        .created_at_ms = created_at_ms,
        .updated_at_ms = created_at_ms,
        .tags = tags.items,
        .tag_count = tags.count,
    };
    product->slug = text_slug(arena, product->name);
    seo_read(reader, product);
    variants_read(reader, product);
    pictures_draw(reader, seed, &category->palette);
    product->images = seed_images_json(arena, seed->images, seed->image_count);
}

static int by_time(const void *left, const void *right)
{
    const struct seed_product *a = left;
    const struct seed_product *b = right;
    int64_t x = a->product.created_at_ms;
    int64_t y = b->product.created_at_ms;
    return (x > y) - (x < y);
}

struct seed_catalogue seed_catalogue_read(struct arena *arena, const struct seed_categories *categories,
                                          struct slice currency, int64_t now_ms)
{
    json_t *list = seed_json("products.json");
    json_t *colours = seed_json("colours.json");
    struct reader reader = {
        .arena = arena, .categories = categories, .colours = colours, .currency = currency, .now_ms = now_ms};
    struct seed_catalogue catalogue = {.count = json_array_size(list)};
    catalogue.products = ARENA_ARRAY(arena, struct seed_product, catalogue.count);
    for (size_t i = 0; i < catalogue.count; i++) {
        reader.entry = json_array_get(list, i);
        product_read_entry(&reader, &catalogue.products[i], i);
    }
    json_decref(colours);
    json_decref(list);
    qsort(catalogue.products, catalogue.count, sizeof(*catalogue.products), by_time);
    return catalogue;
}

struct seed_product *seed_catalogue_find(const struct seed_catalogue *catalogue, struct slice sku,
                                         size_t *variant)
{
    for (size_t i = 0; i < catalogue->count; i++) {
        struct seed_product *seed = &catalogue->products[i];
        for (*variant = 0; *variant < seed->product.variant_count; (*variant)++) {
            if (slice_equals(seed->product.variants[*variant].sku, sku))
                return seed;
        }
    }
    UNREACHABLE("orders.json names a SKU that products.json does not have");
}
