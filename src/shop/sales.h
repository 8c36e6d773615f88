/* What the shop sells, as metrics: counted after the commit, by response_count. */
#pragma once

#include "base/metrics.h"

/* The sum of orders in this currency (ISO 4217), in its minor units. Lives for ever; past
 * SALES_CURRENCIES_MAX currencies the rest share one, named "other". Thread-safe. */
#define SALES_CURRENCIES_MAX 8
struct metric *sales_value(struct slice currency);
