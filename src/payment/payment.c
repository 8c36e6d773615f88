/* The list of payment providers. */
#include "payment/payment.h"

#include "base/check.h"
#include "payment/providers_private.h"

static const struct payment_provider MANUAL = {.name = "manual", .pays_later = true};

const struct payment_provider *payment_provider_find(const struct config *config, struct slice name)
{
    if (slice_is(name, MANUAL.name))
        return &MANUAL;
    if (slice_is(name, PAYMENT_TEST.name) && config->test_payments)
        return &PAYMENT_TEST;
    return NULL;
}
