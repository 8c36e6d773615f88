/* Orders of the past for the sample shops: placed, and led through their life by the functions that lead
 * every order - the tables of transitions, stock and history are the shop's own. Only what would leave the
 * house (mail, webhooks) is left out. */
#pragma once

#include "shop/order.h"
#include "shop/product.h"
#include "shop/seed_random.h"
#include "shop/settings.h"

/* What became of an order. seed_order.c has the table of the steps. */
enum seed_life {
    SEED_LIFE_PENDING,
    SEED_LIFE_PAID,
    SEED_LIFE_CONFIRMED,
    SEED_LIFE_CONFIRMED_INVOICE,
    SEED_LIFE_DEPOSIT,
    SEED_LIFE_PROCESSING,
    SEED_LIFE_SHIPPED,
    SEED_LIFE_DELIVERED,
    SEED_LIFE_DELIVERED_INVOICE,
    SEED_LIFE_PARTIALLY_REFUNDED,
    SEED_LIFE_REFUNDED,
    SEED_LIFE_CANCELLED,
    SEED_LIFE_CANCELLED_REFUNDED,
    SEED_LIFE_EXPIRED,
    SEED_LIFE_DECLINED,
    SEED_LIFE_COUNT
};

/* By its name in orders.json; CHECKs that there is such a one. */
enum seed_life seed_life_find(struct slice name);
/* Whether its goods left the house or are still promised: what it took is missing from what can be sold. */
bool seed_life_takes_stock(enum seed_life life);

struct seed_line {
    const struct product *product;
    size_t variant;
    int64_t quantity;
};

struct seed_order {
    enum seed_life life;
    int64_t placed_at_ms;
    struct uuid user_id; /* nil: a guest's */
    struct slice email;
    const struct address_input *shipping_address;
    const struct address_input *billing_address; /* NULL: the same */
    enum shipping_method shipping_method;
    struct slice customer_notes; /* absent without */
    const struct seed_line *lines;
    size_t line_count;
};

/* Writes the order, its history, payments and parcel, and moves its stock. Orders are written in the order of
 * their placing, so that the movements of stock are in the order of their time. Ids and delays come from
 * `random`. DB_DONE, DB_CONFLICT or DB_ERROR. */
enum db_result seed_order_write(struct db *db, struct arena *arena, const struct shop_settings *settings,
                                struct seed_random *random, const struct seed_order *seed);
