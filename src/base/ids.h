/* Identifiers: UUIDs (RFC 9562) and order numbers. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_LEN 36
#define ORDER_NUMBER_LEN 14 /* "SK-" and eleven characters of Crockford's base 32: 55 random bits */

/* Time-ordered (version 7): milliseconds, then random bits; ids made by one thread in one millisecond stay in
 * order. `now_ms` is 0 .. 2^48-1. */
struct uuid uuid_v7(int64_t now_ms);
/* 122 random bits (version 4): for ids that are keys in themselves, as a guest's cart. */
struct uuid uuid_v4(void);
/* Any version, canonical 8-4-4-4-12 form, either case. */
bool uuid_parse(struct slice text, struct uuid *out);
/* Lower case, into 36 bytes, no NUL. */
void uuid_format(struct uuid id, char text[UUID_TEXT_LEN]);

static inline bool uuid_equals(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

static inline int uuid_compare(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

static inline bool uuid_is_nil(struct uuid a)
{
    static const struct uuid nil;
    return uuid_equals(a, nil);
}

/* A short, unique, unguessable order number, e.g. "SK-7F3K9Q2M8XA": 55 bits from the system's random source.
 */
void order_number_make(char text[ORDER_NUMBER_LEN]);
/* Reads what people type: either case, spaces and dashes ignored, I/L as 1, O as 0, with or without the
 * leading SK. False when it is no order number (`text` is then unspecified). */
bool order_number_parse(struct slice typed, char text[ORDER_NUMBER_LEN]);
