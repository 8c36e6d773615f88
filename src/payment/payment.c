/* The list of payment providers. */
#include "payment/payment.h"

#include "base/check.h"
#include "payment/providers_private.h"

static const struct payment_provider MANUAL = {.name = "manual", .pays_later = true};

const struct payment_provider *payment_provider_named(struct slice name)
{
    if (slice_is(name, MANUAL.name))
        return &MANUAL;
    return slice_is(name, PAYMENT_TEST.name) ? &PAYMENT_TEST : NULL;
}

const struct payment_provider *payment_provider_find(const struct config *config, struct slice name)
{
    const struct payment_provider *provider = payment_provider_named(name);
    return provider == &PAYMENT_TEST && !config->test_payments ? NULL : provider;
}
