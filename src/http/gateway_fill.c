/* Single flight: of several requests that miss the same reply in the cache one makes it, the others wait for
 * it, suspended, so that a popular page whose entry was dropped costs the database one read.
 *
 * What waits does not take the reply from whoever made it but from the cache, where a reply that raced an
 * edit never arrives: so nobody is shown what was true before their own write. When it is not there (it
 * raced, it may not be cached) the first that waits makes it in its turn, and the rest wait for that one: one
 * after another, never all at once. When whoever made it found the shop too busy or its database away, so it
 * is for all who waited: in turn each would wait for the same silence again. */
#include "base/crypto.h"
#include "http/gateway_private.h"

METRIC_DEFINE(FILLS_JOINED, "souk_response_cache_joined_total", "Requests that waited for another's reply",
              NULL, METRIC_COUNTER);

static struct fill_stripe *stripe_of(struct exchange *x)
{
    return &x->gateway->fills[x->fill.hash % FILL_STRIPES];
}

static struct exchange *exchange_of_fill(struct fill *fill)
{
    return (struct exchange *)((char *)fill - offsetof(struct exchange, fill));
}

static void fill_register(struct fill_stripe *stripe, struct exchange *x)
{
    x->fill.is_registered = true;
    x->fill.next = stripe->first;
    stripe->first = &x->fill;
}

static void fill_wait(struct fill *fill, struct exchange *x)
{
    x->fill.next_waiting = NULL;
    if (fill->last != NULL)
        fill->last->fill.next_waiting = x;
    else
        fill->first = x;
    fill->last = x;
    fill->waiting++;
}

static struct fill *fill_find(struct fill_stripe *stripe, const struct exchange *x)
{
    struct fill *fill = stripe->first;
    while (fill != NULL &&
           (fill->hash != x->fill.hash || !slice_equals(exchange_of_fill(fill)->cache_key, x->cache_key)))
        fill = fill->next;
    return fill;
}

bool fill_begin(struct exchange *x)
{
    x->fill = (struct fill){.hash = hash64(x->cache_key)};
    struct fill_stripe *stripe = stripe_of(x);
    pthread_mutex_lock(&stripe->lock);
    bool is_first = fill_find(stripe, x) == NULL;
    if (is_first)
        fill_register(stripe, x);
    pthread_mutex_unlock(&stripe->lock);
    return is_first;
}

bool fill_join(struct exchange *x)
{
    if (x->cache_state != CACHE_MISS || x->fill.is_registered)
        return false;
    x->fill = (struct fill){.hash = hash64(x->cache_key)};
    struct fill_stripe *stripe = stripe_of(x);
    bool is_waiting = false;
    pthread_mutex_lock(&stripe->lock);
    struct fill *fill = fill_find(stripe, x);
    if (fill == NULL) {
        fill_register(stripe, x);
    } else if (fill->waiting < FILL_WAITERS_MAX) { /* beyond it: runs for itself, and nobody waits for it */
        is_waiting = true;
        fill_wait(fill, x);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (is_waiting)
        metric_add(&FILLS_JOINED, 1);
    return is_waiting;
}

static struct fill **fill_link(struct fill_stripe *stripe, struct fill *fill)
{
    struct fill **link = &stripe->first;
    while (*link != fill)
        link = &(*link)->next;
    return link;
}

/* The next that waits for x; when there is none it is over, and who comes now begins anew. */
static struct exchange *fill_next(struct exchange *x)
{
    struct fill_stripe *stripe = stripe_of(x);
    pthread_mutex_lock(&stripe->lock);
    struct exchange *next = x->fill.first;
    if (next != NULL) {
        x->fill.first = next->fill.next_waiting;
        x->fill.last = x->fill.first != NULL ? x->fill.last : NULL;
        x->fill.waiting--;
    } else {
        *fill_link(stripe, &x->fill) = x->fill.next;
        x->fill.is_registered = false;
    }
    pthread_mutex_unlock(&stripe->lock);
    return next;
}

/* `next` makes the reply from here on, and what waited for x waits for it. */
static void fill_hand_on(struct exchange *x, struct exchange *next)
{
    struct fill_stripe *stripe = stripe_of(x);
    pthread_mutex_lock(&stripe->lock);
    next->fill = x->fill;
    *fill_link(stripe, &x->fill) = &next->fill;
    x->fill.is_registered = false;
    pthread_mutex_unlock(&stripe->lock);
}

void fill_end(struct exchange *x)
{
    if (!x->fill.is_registered)
        return;
    /* Whoever makes a reply and shows a stale one could not make it (gateway_fall_back). */
    bool is_unavailable = x->status == HTTP_STATUS_UNAVAILABLE || x->cache_state == CACHE_HIT_STALE;
    struct exchange *next;
    while ((next = fill_next(x)) != NULL) {
        if (is_unavailable) {
            exchange_set_unavailable(next, "The shop is busy; try again");
        } else if (!gateway_take_fresh(next)) {
            fill_hand_on(x, next);
            gateway_submit(x->gateway, next);
            return;
        }
        gateway_conclude(next);
    }
}
