/* The small sample shop: db/seeds, read and drawn first, then written in one transaction. */
#include "base/clock.h"
#include "shop/seed_catalogue.h"
#include "shop/seed_data.h"
#include "shop/seed_order.h"

#include <math.h>

#define DAY_MS INT64_C(86400000)
#define BUYER_ADDRESSES_MAX 4

/* Somebody of customers.json. */
struct buyer {
    struct seed_user user;
    bool is_guest;
    struct address_input addresses[BUYER_ADDRESSES_MAX];
    size_t address_count;
};

struct sample {
    struct arena *arena;
    int64_t now_ms;
    struct shop_settings settings;
    struct seed_categories categories;
    struct seed_catalogue catalogue;
    struct buyer *buyers;
    size_t buyer_count;
    struct seed_order *orders; /* by the time they were placed */
    size_t order_count;
};

/* ---- reading ---- */

static struct address_input address_read(struct arena *arena, const json_t *object,
                                         const struct seed_user *user)
{
    struct slice phone = seed_member(arena, object, "phone");
    return (struct address_input){
        .first_name = user->first_name,
        .last_name = user->last_name,
        .company = seed_member(arena, object, "company"),
        .address1 = seed_member(arena, object, "address1"),
        .address2 = seed_member(arena, object, "address2"),
        .city = seed_member(arena, object, "city"),
        .province = seed_member(arena, object, "province"),
        .zip = seed_member(arena, object, "zip"),
        .country = seed_member(arena, object, "country"),
        .phone = slice_is_absent(phone) ? user->phone : phone,
    };
}

static void buyer_read(struct sample *sample, const json_t *entry, size_t index)
{
    struct arena *arena = sample->arena;
    struct buyer *buyer = &sample->buyers[index];
    struct seed_random random;
    seed_random_init(&random, 'u', index);
    int64_t created_at_ms = sample->now_ms - seed_member_int(entry, "days", 0) * DAY_MS;
    buyer->is_guest = seed_member_flag(entry, "guest");
    buyer->user = (struct seed_user){
        .id = seed_uuid_v7(&random, created_at_ms),
        .email = seed_member(arena, entry, "email"),
        .first_name = seed_member(arena, entry, "firstName"),
        .last_name = seed_member(arena, entry, "lastName"),
        .phone = seed_member(arena, entry, "phone"),
        .is_email_verified = !seed_member_flag(entry, "unverified"),
        .created_at_ms = created_at_ms,
    };
    const json_t *addresses = json_object_get(entry, "addresses");
    buyer->address_count = json_array_size(addresses);
    CHECK(buyer->address_count <= BUYER_ADDRESSES_MAX);
    for (size_t i = 0; i < buyer->address_count; i++)
        buyer->addresses[i] = address_read(arena, json_array_get(addresses, i), &buyer->user);
}

static void buyers_read(struct sample *sample)
{
    json_t *list = seed_json("customers.json");
    sample->buyer_count = json_array_size(list);
    sample->buyers = ARENA_ARRAY(sample->arena, struct buyer, sample->buyer_count);
    for (size_t i = 0; i < sample->buyer_count; i++)
        buyer_read(sample, json_array_get(list, i), i);
    json_decref(list);
}

static const struct buyer *buyer_find(const struct sample *sample, struct slice email)
{
    size_t i = 0;
    while (i < sample->buyer_count && !slice_equals(sample->buyers[i].user.email, email))
        i++;
    CHECK(i < sample->buyer_count);
    return &sample->buyers[i];
}

/* The lines of an order; what it takes is put on top of what can be sold today. */
static void lines_read(struct sample *sample, json_t *items, struct seed_order *order)
{
    struct seed_line *lines = ARENA_ARRAY(sample->arena, struct seed_line, json_object_size(items));
    const char *sku;
    json_t *quantity;
    json_object_foreach(items, sku, quantity)
    {
        struct seed_line *line = &lines[order->line_count++];
        struct seed_product *seed = seed_catalogue_find(&sample->catalogue, slice_from(sku), &line->variant);
        line->product = &seed->product;
        line->quantity = json_integer_value(quantity);
        struct stock_level *stock = &seed->product.variants[line->variant].stock;
        if (seed_life_takes_stock(order->life) && stock->is_tracked)
            stock->on_hand += line->quantity;
    }
    order->lines = lines;
}

static void order_read_entry(struct sample *sample, const json_t *entry, struct seed_order *order)
{
    struct arena *arena = sample->arena;
    const struct buyer *buyer = buyer_find(sample, seed_member(arena, entry, "email"));
    struct slice shipping = seed_member(arena, entry, "shipping");
    double days = json_number_value(json_object_get(entry, "days"));
    CHECK(buyer->address_count > 0 && (!seed_member_flag(entry, "billing") || buyer->address_count > 1));
    *order = (struct seed_order){
        .life = seed_life_find(seed_member(arena, entry, "life")),
        .placed_at_ms = sample->now_ms - llround(days * (double)DAY_MS),
        .user_id = buyer->is_guest ? (struct uuid){{0}} : buyer->user.id,
        .email = buyer->user.email,
        .shipping_address = &buyer->addresses[0],
        .billing_address = seed_member_flag(entry, "billing") ? &buyer->addresses[1] : NULL,
        .shipping_method = SHIPPING_METHOD_STANDARD,
        .customer_notes = seed_member(arena, entry, "notes"),
    };
    CHECK(slice_is_absent(shipping) || shipping_method_parse(shipping, &order->shipping_method));
    lines_read(sample, json_object_get(entry, "items"), order);
}

static void orders_read(struct sample *sample)
{
    json_t *list = seed_json("orders.json");
    sample->order_count = json_array_size(list);
    sample->orders = ARENA_ARRAY(sample->arena, struct seed_order, sample->order_count);
    for (size_t i = 0; i < sample->order_count; i++) {
        order_read_entry(sample, json_array_get(list, i), &sample->orders[i]);
        CHECK(i == 0 || sample->orders[i - 1].placed_at_ms <= sample->orders[i].placed_at_ms);
    }
    json_decref(list);
}

/* A shop that takes back orders may have promised more than it has. */
static void levels_settle(struct sample *sample)
{
    for (size_t i = 0; i < sample->catalogue.count; i++) {
        struct product *product = &sample->catalogue.products[i].product;
        for (size_t v = 0; v < product->variant_count; v++) {
            struct stock_level *stock = &product->variants[v].stock;
            CHECK(stock->on_hand >= 0 || stock->allows_backorder);
            if (stock->on_hand < 0)
                stock->on_hand = 0;
        }
    }
}

/* Ages are told in days before this moment; the oldest product came before the tree that it hangs in would be
 * odd. */
#define SHOP_AGE_MS (450 * DAY_MS)

static void sample_read(struct sample *sample)
{
    sample->categories = seed_categories_read(sample->arena, sample->now_ms - SHOP_AGE_MS);
    sample->catalogue =
        seed_catalogue_read(sample->arena, &sample->categories, sample->settings.currency, sample->now_ms);
    buyers_read(sample);
    orders_read(sample);
    levels_settle(sample);
}

/* ---- writing ---- */

static enum db_result catalogue_write(struct db *db, struct sample *sample)
{
    enum db_result result = DB_DONE;
    for (size_t i = 0; i < sample->categories.count && result == DB_DONE; i++)
        result = seed_category_insert(db, sample->arena, &sample->categories.items[i]);
    for (size_t i = 0; i < sample->catalogue.count && result == DB_DONE; i++) {
        struct seed_product *seed = &sample->catalogue.products[i];
        result = product_insert(db, sample->arena, &seed->product, (struct uuid){{0}});
        for (size_t k = 0; k < seed->image_count && result == DB_DONE; k++)
            result =
                seed_media_insert(db, seed->images[k].name, seed->drawings[k], seed->product.created_at_ms);
    }
    return result;
}

static enum db_result buyer_write(struct db *db, struct sample *sample, const struct buyer *buyer,
                                  size_t index)
{
    struct seed_random random;
    seed_random_init(&random, 'a', index);
    const struct seed_user *user = &buyer->user;
    enum db_result result = seed_user_insert(db, sample->arena, user);
    for (size_t i = 0; i < buyer->address_count && result == DB_DONE; i++)
        result = seed_address_insert(db, seed_uuid_v7(&random, user->created_at_ms + (int64_t)i), user->id,
                                     &buyer->addresses[i], i == 0, user->created_at_ms);
    return result;
}

static enum db_result sample_write(struct db *db, void *arg)
{
    struct sample *sample = arg;
    enum db_result result = seed_require_empty(db);
    if (result == DB_DONE)
        result = catalogue_write(db, sample);
    for (size_t i = 0; i < sample->buyer_count && result == DB_DONE; i++) {
        if (!sample->buyers[i].is_guest)
            result = buyer_write(db, sample, &sample->buyers[i], i);
    }
    for (size_t i = 0; i < sample->order_count && result == DB_DONE; i++) {
        struct seed_random random;
        seed_random_init(&random, 'o', i);
        result = seed_order_write(db, sample->arena, &sample->settings, &random, &sample->orders[i]);
    }
    return result;
}

static bool sample_fill(struct store *store, struct db *db, struct arena *arena, struct slice *complaint)
{
    struct sample sample = {.arena = arena, .now_ms = clock_now_ms()};
    *complaint = SLICE("the database failed; nothing was added");
    if (shop_settings_read(db, arena, &sample.settings) != DB_DONE)
        return false;
    sample_read(&sample);
    enum db_result result = db_transaction(db, sample_write, &sample);
    if (result != DB_CONFLICT)
        return result == DB_DONE;
    struct seed_counts counts;
    bool is_empty = true;
    if (!seed_counts_read(store, &counts, &is_empty))
        return false;
    *complaint = is_empty
                     ? SLICE("an account has an e-mail address of the sample's customers; nothing was added")
                     : seed_not_empty(arena, &counts);
    return false;
}

bool seed_sample(struct store *store, struct arena *arena, struct slice *complaint)
{
    struct db *db = store_connect(store);
    if (db == NULL) {
        *complaint = SLICE("the database cannot be reached");
        return false;
    }
    bool done = sample_fill(store, db, arena, complaint);
    store_disconnect(db);
    return done;
}
