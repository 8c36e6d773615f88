/* Deterministic numbers and ids: see seed_random.h. SplitMix64, which needs no warming up. */
#include "shop/seed_random.h"

#include "base/check.h"

uint64_t seed_random_next(struct seed_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void seed_random_init(struct seed_random *random, uint64_t kind, uint64_t index)
{
    random->state = kind;
    random->state = seed_random_next(random) ^ index;
    random->state = seed_random_next(random);
}

uint64_t seed_random_below(struct seed_random *random, uint64_t count)
{
    CHECK(count > 0);
    return seed_random_next(random) % count; /* the bias is less than anybody could see here */
}

int64_t seed_random_between(struct seed_random *random, int64_t low, int64_t high)
{
    CHECK(low <= high);
    return low + (int64_t)seed_random_below(random, (uint64_t)(high - low) + 1);
}

static struct uuid uuid_of(uint64_t high, uint64_t low, uint64_t version)
{
    struct uuid id;
    high = (high & ~UINT64_C(0xf000)) | version << 12;
    low = (low >> 2) | UINT64_C(1) << 63;
    for (size_t i = 0; i < 8; i++) {
        id.bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return id;
}

struct uuid seed_uuid_v7(struct seed_random *random, int64_t time_ms)
{
    uint64_t high = (uint64_t)time_ms << 16 | (seed_random_next(random) & 0xfff);
    return uuid_of(high, seed_random_next(random), 7);
}

struct uuid seed_uuid_v4(struct seed_random *random)
{
    uint64_t high = seed_random_next(random);
    return uuid_of(high, seed_random_next(random), 4);
}

void seed_order_number(struct seed_random *random, char text[ORDER_NUMBER_LEN])
{
    static const char DIGITS[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* as base/ids.c: Crockford's */
    uint64_t bits = seed_random_next(random);
    memcpy(text, "SK-", 3);
    for (size_t i = 3; i < ORDER_NUMBER_LEN; i++, bits >>= 5)
        text[i] = DIGITS[bits & 31];
}
