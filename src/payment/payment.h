/* Payment providers: drivers that speak to the outside and know no table. No transaction is ever open while
 * one is called.
 *
 * Every call carries a key derived from the order, so that repeating it never charges twice. The shop writes
 * a payment row 'started' first, calls, then settles it; a call whose answer was lost is asked about again
 * (payment_query) before anything releases stock. */
#pragma once

#include "base/arena.h"
#include "base/config.h"

enum payment_outcome {
    PAYMENT_APPROVED, /* captured */
    PAYMENT_DECLINED, /* refused for good; `reason` says why */
    PAYMENT_UNKNOWN   /* no answer in time: ask again later, release nothing */
};

struct payment_request {
    struct slice key; /* idempotency key of the provider, derived from the order */
    int64_t amount_minor;
    struct slice currency;
    struct slice card_number; /* test provider only; never stored, never logged */
};

struct payment_answer {
    enum payment_outcome outcome;
    struct slice reference; /* the provider's id of the charge; in the caller's arena */
    const char *reason;     /* of a decline: card_declined, insufficient_funds, ... */
};

struct payment_provider {
    const char *name; /* manual, test */
    bool pays_later;  /* nothing is charged at checkout: charge, query and refund are NULL */
    void (*charge)(const struct config *config, struct arena *arena, const struct payment_request *request,
                   struct payment_answer *answer);
    /* What became of the charge with this key. DECLINED also when the provider never saw it. */
    void (*query)(const struct config *config, struct arena *arena, struct slice key,
                  struct payment_answer *answer);
    void (*refund)(const struct config *config, struct arena *arena, const struct payment_request *request,
                   struct slice charge_reference, struct payment_answer *answer);
};

/* The provider of that name, switched on or not; NULL when there is none. What an order was paid by it stays.
 */
const struct payment_provider *payment_provider_named(struct slice name);
/* The provider of that name, or NULL when there is none or it is switched off (test: SOUK_TEST_PAYMENTS). */
const struct payment_provider *payment_provider_find(const struct config *config, struct slice name);
