/* The large sample shop: the same counts make the same shop, whenever and wherever. Nothing of it depends on
 * what was made before: the 17th product can be told from its number alone, so that orders name products
 * without reading them, and how much of each all orders will take is known before the first product is
 * written. Its stock at the start is that and what shall be left.
 *
 * It is written in many transactions, each as long as CHUNK_US, so that a server on the same database goes on
 * working. (Ids of movements of stock are the only thing that differs from run to run.) */
#include "shop/names.h"
#include "shop/seed_data.h"
#include "shop/seed_order.h"
#include "shop/seed_rows.h"
#include "shop/seed_shared.h"

#include "base/text.h"

#include <time.h>

#define DAY_MS INT64_C(86400000)
#define PRODUCTS_BEGIN_MS INT64_C(1672531200000) /* 2023-01-01: products and users appear, evenly, */
#define ORDERS_BEGIN_MS INT64_C(1735689600000)   /* until 2025-01-01; then orders are placed */
#define ORDERS_END_MS INT64_C(1767225600000)     /* until 2026-01-01 */

#define VARIANTS_MAX 6
#define LINES_MAX 3
#define PICTURES_PER_KIND 3
#define KINDS_MAX 64
#define SCRATCH_BYTES ((size_t)16 << 20)

#define CHUNK_US 70000 /* of work in one transaction; its commit comes on top */
#define BREATH_US 3000 /* between two of them, for other writers */

enum kind_options { KIND_NONE, KIND_SIZES, KIND_COLOURS, KIND_BOTH };

/* A sort of product. */
struct kind {
    struct slice noun;
    struct slice glyph;
    const struct seed_category *category;
    int64_t price_low_minor, price_high_minor;
    enum kind_options options;
};

struct large {
    struct seed_counts counts;
    struct shop_settings settings;
    struct seed_categories categories;
    struct kind kinds[KINDS_MAX];
    size_t kind_count;
    struct slice_list collections, styles, vendors, openings, closings, tags, materials, countries, colours,
        sizes;
    struct slice_list first_names, last_names, streets;
    struct address_input *cities; /* city, province, zip, country */
    size_t city_count;
    uint32_t *demand;     /* pieces that orders take, [product * VARIANTS_MAX + variant] */
    struct arena scratch; /* for one thing at a time */
};

/* ---- words ---- */

static struct slice_list words(struct arena *arena, const json_t *file, const char *key)
{
    struct slice_list list = seed_texts(arena, json_object_get(file, key));
    CHECK(list.count > 0);
    return list;
}

static struct slice pick(struct seed_random *random, const struct slice_list *list)
{
    return list->items[seed_random_below(random, list->count)];
}

static enum kind_options kind_options_of(struct slice name)
{
    if (slice_is(name, "sizes"))
        return KIND_SIZES;
    if (slice_is(name, "colours"))
        return KIND_COLOURS;
    return slice_is(name, "both") ? KIND_BOTH : KIND_NONE;
}

static void kinds_read(struct large *large, struct arena *arena, const json_t *list)
{
    large->kind_count = json_array_size(list);
    CHECK(large->kind_count > 0 && large->kind_count <= KINDS_MAX);
    for (size_t i = 0; i < large->kind_count; i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *price = json_object_get(entry, "price");
        large->kinds[i] = (struct kind){
            .noun = seed_member(arena, entry, "noun"),
            .glyph = seed_member(arena, entry, "glyph"),
            .category = seed_category_find(&large->categories, seed_member(arena, entry, "category")),
            .price_low_minor = json_integer_value(json_array_get(price, 0)),
            .price_high_minor = json_integer_value(json_array_get(price, 1)),
            .options = kind_options_of(seed_member(arena, entry, "options")),
        };
    }
}

static void cities_read(struct large *large, struct arena *arena, const json_t *list)
{
    large->city_count = json_array_size(list);
    large->cities = ARENA_ARRAY(arena, struct address_input, large->city_count);
    for (size_t i = 0; i < large->city_count; i++) {
        const json_t *entry = json_array_get(list, i);
        large->cities[i] = (struct address_input){
            .city = seed_member(arena, entry, "city"),
            .province = seed_member(arena, entry, "province"),
            .zip = seed_member(arena, entry, "zip"),
            .country = seed_member(arena, entry, "country"),
        };
    }
}

static void words_read(struct large *large, struct arena *arena)
{
    large->categories = seed_categories_read(arena, PRODUCTS_BEGIN_MS - DAY_MS);
    json_t *file = seed_json("large.json");
    large->collections = words(arena, file, "collections");
    large->styles = words(arena, file, "styles");
    large->vendors = words(arena, file, "vendors");
    large->openings = words(arena, file, "openings");
    large->closings = words(arena, file, "closings");
    large->tags = words(arena, file, "tags");
    large->materials = words(arena, file, "materials");
    large->countries = words(arena, file, "countries");
    large->colours = words(arena, file, "colours");
    large->sizes = words(arena, file, "sizes");
    large->first_names = words(arena, file, "firstNames");
    large->last_names = words(arena, file, "lastNames");
    large->streets = words(arena, file, "streets");
    kinds_read(large, arena, json_object_get(file, "kinds"));
    cities_read(large, arena, json_object_get(file, "cities"));
    json_decref(file);
}

/* ---- products ---- */

/* `begin` and `end` divided into `count` parts: where the part `index` begins. */
static int64_t spread(int64_t begin, int64_t end, int64_t index, int64_t count)
{
    return begin + (int64_t)((__int128)(end - begin) * index / count);
}

static const struct kind *kind_of(const struct large *large, int64_t index)
{
    return &large->kinds[(size_t)index % large->kind_count];
}

/* Unique: every combination of words once, then "No. 2". */
static struct slice product_name(const struct large *large, struct arena *arena, int64_t index)
{
    size_t of_kind = (size_t)index / large->kind_count;
    size_t collections = large->collections.count;
    size_t styles = large->styles.count;
    /* A step that has no divisor in common with the number of words mixes neighbours and still meets each
     * once. */
    size_t collection = (of_kind * 7 + (size_t)index % large->kind_count * 11) % collections;
    size_t style = of_kind / collections % styles;
    size_t edition = of_kind / (collections * styles) + 1;
    struct slice name =
        arena_format(arena, "%.*s %.*s %.*s", SLICE_ARG(large->collections.items[collection]),
                     SLICE_ARG(large->styles.items[style]), SLICE_ARG(kind_of(large, index)->noun));
    return edition == 1 ? name : arena_format(arena, "%.*s No. %zu", SLICE_ARG(name), edition);
}

/* What there is to choose of a product: values of none, one or two options. */
struct choices {
    struct slice_list sizes, colours; /* empty: no such option */
    size_t variant_count;
};

static struct choices choices_of(const struct large *large, int64_t index)
{
    const struct kind *kind = kind_of(large, index);
    struct choices choices = {.variant_count = 1};
    struct slice_list colours = {.count = kind->options == KIND_BOTH ? 2 : 3};
    colours.items = large->colours.items + (size_t)index % (large->colours.count - colours.count + 1);
    if (kind->options == KIND_SIZES || kind->options == KIND_BOTH)
        choices.sizes = large->sizes;
    if (kind->options == KIND_COLOURS || kind->options == KIND_BOTH)
        choices.colours = colours;
    choices.variant_count *= choices.sizes.count > 0 ? choices.sizes.count : 1;
    choices.variant_count *= choices.colours.count > 0 ? choices.colours.count : 1;
    CHECK(choices.variant_count <= VARIANTS_MAX);
    return choices;
}

static void option_append(struct buf *out, const char *name, const struct slice_list *values)
{
    if (values->count == 0)
        return;
    buf_format(out, "%s{\"name\":\"%s\",\"values\":[", out->len > 1 ? "," : "", name);
    for (size_t i = 0; i < values->count; i++)
        buf_format(out, "%s\"%.*s\"", i > 0 ? "," : "", SLICE_ARG(values->items[i]));
    buf_append(out, SLICE("]}"));
}

static struct slice options_text(struct arena *arena, const struct choices *choices)
{
    struct buf out;
    buf_init(&out, arena);
    buf_append_char(&out, '[');
    option_append(&out, "Size", &choices->sizes);
    option_append(&out, "Colour", &choices->colours);
    buf_append_char(&out, ']');
    return buf_slice(&out);
}

/* The SKU and options of the variant at `position`; sizes run slower than colours. */
static void variant_name(struct arena *arena, const struct choices *choices, size_t position,
                         struct slice base, struct product_variant *variant)
{
    struct slice values[2];
    size_t count = 0;
    size_t colours = choices->colours.count > 0 ? choices->colours.count : 1;
    struct buf options;
    buf_init(&options, arena);
    buf_append_char(&options, '{');
    if (choices->sizes.count > 0) {
        values[count++] = choices->sizes.items[position / colours];
        buf_format(&options, "\"Size\":\"%.*s\"", SLICE_ARG(values[0]));
    }
    if (choices->colours.count > 0) {
        values[count++] = choices->colours.items[position % colours];
        buf_format(&options, "%s\"Colour\":\"%.*s\"", count > 1 ? "," : "", SLICE_ARG(values[count - 1]));
    }
    buf_append_char(&options, '}');
    variant->options = buf_slice(&options);
    variant->sku = sku_stem(arena, base, values, count);
}

/* What is left today: one in twelve sold out, one in six low, the others well stocked. */
static int64_t left_over(struct seed_random *random)
{
    uint64_t luck = seed_random_below(random, 12);
    if (luck == 0)
        return 0;
    return luck <= 2 ? seed_random_between(random, 1, 4) : seed_random_between(random, 5, 120);
}

/* What orders need to know of a product; the rest is product_describe's. */
static struct seed_random product_outline(const struct large *large, struct arena *arena, int64_t index,
                                          struct product *product)
{
    const struct kind *kind = kind_of(large, index);
    struct choices choices = choices_of(large, index);
    int64_t created_at_ms = spread(PRODUCTS_BEGIN_MS, ORDERS_BEGIN_MS, index, large->counts.products);
    struct seed_random random;
    seed_random_init(&random, 'P', (uint64_t)index);
    *product = (struct product){
        .id = seed_uuid_v7(&random, created_at_ms),
        .name = product_name(large, arena, index),
        .options = options_text(arena, &choices),
        .currency = large->settings.currency,
        .version = 1,
        .created_at_ms = created_at_ms,
        .updated_at_ms = created_at_ms,
        .variants = ARENA_ARRAY(arena, struct product_variant, choices.variant_count),
        .variant_count = choices.variant_count,
    };
    int64_t price_minor =
        seed_random_between(&random, kind->price_low_minor, kind->price_high_minor) / 100 * 100 + 90;
    bool is_reduced = seed_random_below(&random, 8) == 0;
    struct slice base = arena_format(arena, "L%07lld", (long long)index + 1);
    for (size_t v = 0; v < product->variant_count; v++) {
        struct product_variant *variant = &product->variants[v];
        *variant = (struct product_variant){
            .id = seed_uuid_v7(&random, created_at_ms),
            .price_minor = price_minor,
            .compare_price_minor = is_reduced ? price_minor * 5 / 4 : PRODUCT_NONE,
            .cost_minor = price_minor * 2 / 5,
            .weight_grams = seed_random_between(&random, 50, 4000),
            .stock = {.on_hand = left_over(&random), .is_tracked = true},
        };
        variant_name(arena, &choices, v, base, variant);
    }
    return random;
}

static struct slice picture_name(struct arena *arena, size_t kind, uint64_t which)
{
    return arena_format(arena, "large-%zu-%llu.svg", kind + 1, (unsigned long long)which + 1);
}

static void product_describe(const struct large *large, struct arena *arena, struct seed_random *random,
                             int64_t index, struct product *product)
{
    const struct kind *kind = kind_of(large, index);
    struct slice material = pick(random, &large->materials);
    struct slice country = pick(random, &large->countries);
    struct slice *tags = ARENA_ARRAY(arena, struct slice, 3);
    struct seed_image image = {
        .id = seed_uuid_v7(random, product->created_at_ms),
        .name = picture_name(arena, (size_t)index % large->kind_count,
                             seed_random_below(random, PICTURES_PER_KIND)),
        .alt = product->name,
    };
    tags[0] = material;
    tags[1] = pick(random, &large->tags);
    tags[2] = pick(random, &large->tags);
    product->slug =
        arena_format(arena, "%.*s-%lld", SLICE_ARG(text_slug(arena, product->name)), (long long)index + 1);
    product->category_id = kind->category->id;
    product->vendor = pick(random, &large->vendors);
    product->description =
        arena_format(arena, "%.*s in %.*s, from %.*s. %.*s %.*s", SLICE_ARG(product->name),
                     SLICE_ARG(material), SLICE_ARG(country), SLICE_ARG(pick(random, &large->openings)),
                     SLICE_ARG(pick(random, &large->closings)));
    product->attributes =
        arena_format(arena, "{\"material\":\"%.*s\",\"madeIn\":\"%.*s\",\"guaranteeYears\":%lld}",
                     SLICE_ARG(material), SLICE_ARG(country), (long long)seed_random_between(random, 1, 10));
    product->seo_title =
        arena_format(arena, "%.*s by %.*s", SLICE_ARG(product->name), SLICE_ARG(product->vendor));
    product->images = seed_images_json(arena, &image, 1);
    product->tags = tags;
    product->tag_count = 3;
    product->is_active = seed_random_below(random, 50) != 0;
    product->is_featured = seed_random_below(random, 200) == 0;
}

static enum db_result product_write_one(struct db *db, struct large *large, int64_t index)
{
    struct arena *arena = &large->scratch;
    struct product product;
    struct seed_random random = product_outline(large, arena, index, &product);
    product_describe(large, arena, &random, index, &product);
    for (size_t v = 0; v < product.variant_count; v++)
        product.variants[v].stock.on_hand += large->demand[(size_t)index * VARIANTS_MAX + v];
    return product_insert(db, arena, &product, (struct uuid){{0}});
}

/* ---- users ---- */

struct person {
    struct seed_user user;
    struct uuid address_id;
    struct address_input address;
};

/* `kind` 'U' is an account, 'G' a guest. */
static void person_make(const struct large *large, struct arena *arena, char kind, int64_t index,
                        int64_t created_at_ms, struct person *person)
{
    struct seed_random random;
    seed_random_init(&random, (uint64_t)kind, (uint64_t)index);
    struct slice first = pick(&random, &large->first_names);
    struct slice last = pick(&random, &large->last_names);
    person->user = (struct seed_user){
        .id = seed_uuid_v7(&random, created_at_ms),
        .email = arena_format(arena, "%.*s.%.*s.%lld@example.%s", SLICE_ARG(text_slug(arena, first)),
                              SLICE_ARG(text_slug(arena, last)), (long long)index + 1,
                              kind == 'U' ? "com" : "org"),
        .first_name = first,
        .last_name = last,
        .is_email_verified = seed_random_below(&random, 10) != 0,
        .created_at_ms = created_at_ms,
    };
    person->address_id = seed_uuid_v7(&random, created_at_ms);
    person->address = large->cities[seed_random_below(&random, large->city_count)];
    person->address.first_name = first;
    person->address.last_name = last;
    person->address.address1 =
        arena_format(arena, "%lld %.*s", (long long)seed_random_between(&random, 1, 199),
                     SLICE_ARG(pick(&random, &large->streets)));
}

static void user_make(const struct large *large, struct arena *arena, int64_t index, struct person *person)
{
    person_make(large, arena, 'U', index,
                spread(PRODUCTS_BEGIN_MS, ORDERS_BEGIN_MS, index, large->counts.users), person);
}

static enum db_result user_write_one(struct db *db, struct large *large, int64_t index)
{
    struct person person;
    user_make(large, &large->scratch, index, &person);
    enum db_result result = seed_user_insert(db, &large->scratch, &person.user);
    return result == DB_DONE ? seed_address_insert(db, person.address_id, person.user.id, &person.address,
                                                   true, person.user.created_at_ms)
                             : result;
}

/* ---- orders ---- */

/* What an order takes, in numbers. */
struct take {
    int64_t product;
    size_t variant;
    int64_t quantity;
};

/* The lines of an order: some products are bought more often than others. One product stands in it once. */
static size_t takes_make(const struct large *large, int64_t index, struct take takes[LINES_MAX])
{
    struct seed_random random;
    seed_random_init(&random, 'L', (uint64_t)index);
    size_t count = 0;
    uint64_t wanted = 1 + seed_random_below(&random, LINES_MAX);
    for (uint64_t i = 0; i < wanted; i++) {
        uint64_t a = seed_random_below(&random, (uint64_t)large->counts.products);
        uint64_t b = seed_random_below(&random, (uint64_t)large->counts.products);
        struct take take = {.product = (int64_t)(a < b ? a : b)};
        take.variant = seed_random_below(&random, choices_of(large, take.product).variant_count);
        take.quantity = seed_random_below(&random, 4) == 0 ? 2 : 1;
        bool is_there = false;
        for (size_t k = 0; k < count; k++)
            is_there = is_there || takes[k].product == take.product;
        if (!is_there)
            takes[count++] = take;
    }
    return count;
}

static void demand_count(struct large *large)
{
    struct take takes[LINES_MAX];
    for (int64_t i = 0; i < large->counts.orders; i++) {
        size_t count = takes_make(large, i, takes);
        for (size_t k = 0; k < count; k++)
            large->demand[(size_t)takes[k].product * VARIANTS_MAX + takes[k].variant] +=
                (uint32_t)takes[k].quantity;
    }
}

/* The young are on their way, the old have arrived, or have come to another end. None is left unpaid with a
 * hold that ends: the job would cancel it and the shop would be another one. */
static enum seed_life life_of(struct seed_random *random, int64_t age_ms)
{
    uint64_t luck = seed_random_below(random, 100);
    if (luck < 2)
        return SEED_LIFE_DECLINED;
    if (luck < 5)
        return SEED_LIFE_CANCELLED;
    if (luck < 7)
        return SEED_LIFE_EXPIRED;
    if (age_ms < 2 * DAY_MS)
        return luck < 30 ? SEED_LIFE_PAID : luck < 60 ? SEED_LIFE_CONFIRMED : SEED_LIFE_PROCESSING;
    if (age_ms < 7 * DAY_MS)
        return luck < 12 ? SEED_LIFE_CONFIRMED_INVOICE : SEED_LIFE_SHIPPED;
    if (luck < 10)
        return SEED_LIFE_REFUNDED;
    if (luck < 13)
        return SEED_LIFE_PARTIALLY_REFUNDED;
    return luck < 18 ? SEED_LIFE_DELIVERED_INVOICE : SEED_LIFE_DELIVERED;
}

static enum db_result order_write_one(struct db *db, struct large *large, int64_t index)
{
    struct arena *arena = &large->scratch;
    struct seed_random random;
    struct take takes[LINES_MAX];
    struct product products[LINES_MAX];
    struct seed_line lines[LINES_MAX];
    struct person buyer;
    int64_t placed_at_ms = spread(ORDERS_BEGIN_MS, ORDERS_END_MS, index, large->counts.orders);
    seed_random_init(&random, 'O', (uint64_t)index);
    bool is_guest = large->counts.users == 0 || seed_random_below(&random, 10) == 0;
    if (is_guest)
        person_make(large, arena, 'G', index, placed_at_ms, &buyer);
    else
        user_make(large, arena, (int64_t)seed_random_below(&random, (uint64_t)large->counts.users), &buyer);
    size_t count = takes_make(large, index, takes);
    for (size_t i = 0; i < count; i++) {
        product_outline(large, arena, takes[i].product, &products[i]);
        lines[i] = (struct seed_line){&products[i], takes[i].variant, takes[i].quantity};
    }
    struct seed_order order = {
        .life = life_of(&random, ORDERS_END_MS - placed_at_ms),
        .placed_at_ms = placed_at_ms,
        .user_id = is_guest ? (struct uuid){{0}} : buyer.user.id,
        .email = buyer.user.email,
        .shipping_address = &buyer.address,
        .shipping_method =
            seed_random_below(&random, 8) == 0 ? SHIPPING_METHOD_EXPRESS : SHIPPING_METHOD_STANDARD,
        .lines = lines,
        .line_count = count,
    };
    return seed_order_write(db, arena, &large->settings, &random, &order);
}

/* ---- the tree and the shared pictures ---- */

static enum db_result ground_write(struct db *db, void *arg)
{
    struct large *large = arg;
    struct arena *arena = &large->scratch;
    arena_reset(arena);
    enum db_result result = seed_require_empty(db);
    for (size_t i = 0; i < large->categories.count && result == DB_DONE; i++)
        result = seed_category_insert(db, arena, &large->categories.items[i]);
    for (size_t i = 0; i < large->kind_count * PICTURES_PER_KIND && result == DB_DONE; i++) {
        const struct kind *kind = &large->kinds[i / PICTURES_PER_KIND];
        uint64_t which = i % PICTURES_PER_KIND;
        struct seed_random random;
        seed_random_init(&random, 'I', i);
        struct picture picture = {
            .palette = &kind->category->palette,
            .glyph = kind->glyph,
            .variety =
                seed_random_next(&random) / 3 * 3 + which, /* each in another of the palette's colours */
        };
        result = seed_media_insert(db, picture_name(arena, i / PICTURES_PER_KIND, which),
                                   picture_draw(arena, &picture), PRODUCTS_BEGIN_MS);
    }
    return result;
}

/* ---- in pieces ---- */

/* Of this thread's own work, so that a busy machine makes a transaction longer, not the number of them
 * larger: each costs a sync, and the search index is merged after each. */
static int64_t work_us(void)
{
    struct timespec time;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

/* Things of one sort, written one by one in transactions of CHUNK_US. */
struct run {
    struct large *large;
    enum db_result (*write_one)(struct db *db, struct large *large, int64_t index);
    int64_t first; /* of this transaction */
    int64_t done;  /* how many are written after it */
    int64_t total;
};

static enum db_result chunk_write(struct db *db, void *arg)
{
    struct run *run = arg;
    int64_t until_us = work_us() + CHUNK_US;
    enum db_result result = DB_DONE;
    for (run->done = run->first; run->done < run->total && result == DB_DONE; run->done++) {
        if (run->done > run->first && work_us() >= until_us)
            break;
        arena_reset(&run->large->scratch);
        result = run->write_one(db, run->large, run->done);
    }
    return result;
}

/* Other processes wait for the lock by trying again and again: between two transactions they need a moment in
 * which they can find it free. */
static void breathe(void)
{
    nanosleep(&(struct timespec){.tv_nsec = BREATH_US * 1000}, NULL);
}

struct report {
    void (*progress)(const char *what, int64_t done, int64_t total, void *arg);
    void *arg;
};

static enum db_result run_all(struct db *db, struct run *run, const char *what, const struct report *report)
{
    enum db_result result = DB_DONE;
    for (run->first = 0; run->first < run->total && result == DB_DONE; run->first = run->done) {
        result = db_transaction(db, chunk_write, run);
        if (result == DB_DONE && report->progress != NULL)
            report->progress(what, run->done, run->total, report->arg);
        breathe();
    }
    return result;
}

static enum db_result all_write(struct db *db, struct large *large, const struct report *report)
{
    struct run products = {.large = large, .write_one = product_write_one, .total = large->counts.products};
    struct run users = {.large = large, .write_one = user_write_one, .total = large->counts.users};
    struct run orders = {.large = large, .write_one = order_write_one, .total = large->counts.orders};
    enum db_result result = run_all(db, &products, "products", report);
    if (result == DB_DONE)
        result = run_all(db, &users, "users", report);
    return result == DB_DONE ? run_all(db, &orders, "orders", report) : result;
}

/* ---- the whole ---- */

static bool large_fill(struct store *store, struct db *db, struct large *large, const struct report *report,
                       struct arena *arena, struct slice *complaint)
{
    size_t demand_bytes = (size_t)large->counts.products * VARIANTS_MAX * sizeof(*large->demand);
    large->demand = arena_try_alloc(arena, demand_bytes + 1);
    *complaint = SLICE("so many products do not fit into memory");
    if (large->demand == NULL)
        return false;
    memset(large->demand, 0, demand_bytes);
    *complaint = SLICE("the database failed; nothing was added");
    if (shop_settings_read(db, arena, &large->settings) != DB_DONE)
        return false;
    words_read(large, arena);
    demand_count(large);
    enum db_result result = db_transaction(db, ground_write, large);
    struct seed_counts counts;
    bool is_empty = true;
    if (result == DB_CONFLICT && seed_counts_read(store, &counts, &is_empty))
        *complaint = seed_not_empty(arena, &counts);
    if (result != DB_DONE)
        return false;
    result = all_write(db, large, report);
    *complaint = result == DB_CONFLICT
                     ? SLICE("something in the shop collides with the sample, which was added in part; "
                             "\"souk migrate reset\" empties it")
                     : SLICE("the database failed; a part was added, \"souk migrate reset\" empties it");
    return result == DB_DONE;
}

bool seed_large(struct store *store, const struct seed_counts *counts,
                void (*progress)(const char *what, int64_t done, int64_t total, void *arg), void *arg,
                struct arena *arena, struct slice *complaint)
{
    CHECK(counts->products >= 0 && counts->products <= SEED_PRODUCTS_MAX);
    CHECK(counts->users >= 0 && counts->users <= SEED_USERS_MAX);
    CHECK(counts->orders >= 0 && counts->orders <= SEED_ORDERS_MAX);
    CHECK(counts->products > 0 || counts->orders == 0);
    struct large *large = ARENA_NEW(arena, struct large);
    struct report report = {progress, arg};
    large->counts = *counts;
    struct db *db = store_connect(store);
    *complaint = SLICE("the database cannot be reached");
    if (db == NULL)
        return false;
    bool done = arena_init(&large->scratch, SCRATCH_BYTES);
    *complaint = SLICE("the system gives no memory");
    if (done)
        done = large_fill(store, db, large, &report, arena, complaint);
    arena_release(&large->scratch);
    store_disconnect(db);
    return done;
}
