/* Money is a whole number of minor units (cents) and a currency code. There is no floating point anywhere. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

#define MONEY_MAX_MINOR INT64_C(99999999999) /* the most one price may be; sums stay far from INT64_MAX */
#define BASIS_POINTS_ONE 10000               /* 100 % */

/* amount * rate / 10000, rounded half up. Amount >= 0, rate 0..10000. */
int64_t money_rate_half_up(int64_t amount_minor, int64_t rate_basis_points);
/* amount * quantity; false when the result would pass INT64_MAX / 4 (`*out` untouched). Both >= 0. */
bool money_multiply(int64_t amount_minor, int64_t quantity, int64_t *out);
