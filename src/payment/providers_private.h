/* The drivers behind payment.h. */
#pragma once

#include "payment/payment.h"

extern const struct payment_provider PAYMENT_TEST;
