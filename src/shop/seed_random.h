/* Numbers that look random and are the same each time: what a large sample shop is made of. Every thing (the
 * 17th product, the 4,000th order) has a source of its own, so that it can be made again without those before
 * it. */
#pragma once

#include "base/ids.h"

struct seed_random {
    uint64_t state;
};

/* `kind` tells products from orders and so on. */
void seed_random_init(struct seed_random *random, uint64_t kind, uint64_t index);
uint64_t seed_random_next(struct seed_random *random);
/* 0 .. count - 1; count > 0. */
uint64_t seed_random_below(struct seed_random *random, uint64_t count);
/* low .. high, both included. */
int64_t seed_random_between(struct seed_random *random, int64_t low, int64_t high);

struct uuid seed_uuid_v7(struct seed_random *random, int64_t time_ms);
struct uuid seed_uuid_v4(struct seed_random *random);
void seed_order_number(struct seed_random *random, char text[ORDER_NUMBER_LEN]);
