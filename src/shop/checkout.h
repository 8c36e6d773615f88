/* Checkout's own: what placing an order alone (checkout.c) and placing many at once (checkout_together.c)
 * share. */
#pragma once

#include "shop/cart.h"
#include "shop/order.h"

/* One checkout on its way through. Filled anew by each run of its transaction. */
struct checkout {
    struct request *request;
    struct response *response;
    const struct checkout_create_input *input;
    const struct payment_provider *provider;
    struct slice card_number; /* digits only; absent without a provider */
    struct slice email;
    struct cart cart;
    struct cart_line *lines;
    size_t line_count;
    struct shop_settings settings;
    struct totals totals;
    struct order order;
    bool is_replay;
    struct uuid payment_id;
    struct slice payment_key;
    enum http_status status; /* of a refusal; 0: placed */
};

/* Prices the lines: checkout->totals. False when the total is more than can be counted. */
bool checkout_total(struct checkout *checkout);
/* Whether a line is no longer on sale or wants more than there is. */
bool checkout_has_unbuyable_line(const struct checkout *checkout);
/* The refusal that names every line that cannot be bought; `short_line` may name one that has just turned out
 * to be short, else it is NULL. */
enum http_status checkout_refuse_lines(struct checkout *checkout, const struct stock_line *short_line);
/* What the lines want of the stock, normalized; returns how many. */
size_t checkout_stock_lines(const struct checkout *checkout, struct stock_line **lines);
/* Makes checkout->order of the cart, the lines and the totals, without a number. */
void checkout_order_fill(struct checkout *checkout);
/* Whether a provider has to be asked for money. */
bool checkout_is_charged(const struct checkout *checkout);
/* Whether a limit on open unpaid orders concerns this order. */
bool checkout_is_limited(const struct checkout *checkout);

/* Places orders, as struct db_batch wants it: those that can simply be placed; those
 * whose lines cannot be bought are refused (status). What was asked before or needs a second look is left to
 * be done alone. On PostgreSQL only. */
enum db_result checkout_place_together(struct db *db, void **args, enum db_result *results, size_t count);
