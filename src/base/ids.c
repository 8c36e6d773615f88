/* UUIDs and order numbers: making, writing and reading them. */
#include "base/ids.h"

#include "base/check.h"
#include "base/crypto.h"

static void store_big_endian(uint8_t *bytes, uint64_t value, size_t count)
{
    for (size_t i = count; i-- > 0; value >>= 8)
        bytes[i] = (uint8_t)value;
}

/* Lays out 12 and 62 random bits under 48 bits of time, with version and variant between them (RFC
 * 9562, 5.7). */
static struct uuid uuid_v7_layout(uint64_t time_ms, uint64_t high12, uint64_t low62)
{
    struct uuid id;
    store_big_endian(id.bytes, time_ms, 6);
    store_big_endian(id.bytes + 6, UINT64_C(0x7000) | high12, 2);
    store_big_endian(id.bytes + 8, (UINT64_C(1) << 63) | low62, 8);
    return id;
}

struct uuid uuid_v7(int64_t now_ms)
{
    static _Thread_local struct {
        int64_t time_ms;
        uint64_t high12;
        uint64_t low62;
        bool used;
    } last;
    const uint64_t low_mask = (UINT64_C(1) << 62) - 1;

    CHECK(now_ms >= 0 && now_ms < (INT64_C(1) << 48));
    if (last.used && last.time_ms == now_ms) {
        /* RFC 9562, 6.2, method 2: a random step keeps the order and does not give the next id away. */
        uint64_t low = last.low62 + 1 + (random_u64() >> 32);
        last.high12 += low >> 62;
        last.low62 = low & low_mask;
        CHECK(last.high12 <= 0xfff); /* it starts in the lower half: 2^41 ids in one millisecond away */
    } else {
        last.used = true;
        last.time_ms = now_ms;
        last.high12 = random_u64() & 0x7ff;
        last.low62 = random_u64() & low_mask;
    }
    return uuid_v7_layout((uint64_t)now_ms, last.high12, last.low62);
}

struct uuid uuid_v4(void)
{
    struct uuid id;
    uint64_t random[2] = {random_u64(), random_u64()};
    memcpy(id.bytes, random, sizeof(id.bytes));
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

static bool is_dash_position(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool uuid_parse(struct slice text, struct uuid *out)
{
    struct uuid id;
    if (text.len != UUID_TEXT_LEN)
        return false;
    size_t byte = 0;
    for (size_t i = 0; i < UUID_TEXT_LEN;) {
        if (is_dash_position(i)) {
            if (text.ptr[i++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text.ptr[i]);
        int low = hex_value(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        id.bytes[byte++] = (uint8_t)(high * 16 + low);
        i += 2;
    }
    *out = id;
    return true;
}

void uuid_format(struct uuid id, char text[UUID_TEXT_LEN])
{
    static const char HEX[] = "0123456789abcdef";
    for (size_t i = 0, byte = 0; i < UUID_TEXT_LEN;) {
        if (is_dash_position(i)) {
            text[i++] = '-';
            continue;
        }
        text[i++] = HEX[id.bytes[byte] >> 4];
        text[i++] = HEX[id.bytes[byte] & 15];
        byte++;
    }
}

/* Crockford's base 32: no I, L, O (read as digits) and no U. */
static const char CROCKFORD[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
#define ORDER_DIGITS (ORDER_NUMBER_LEN - 3)

void order_number_make(char text[ORDER_NUMBER_LEN])
{
    uint64_t bits = random_u64();
    memcpy(text, "SK-", 3);
    for (size_t i = 3; i < ORDER_NUMBER_LEN; i++, bits >>= 5)
        text[i] = CROCKFORD[bits & 31];
}

/* The digit that a typed character stands for, or NUL. */
static char crockford_digit(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'I' || c == 'L')
        return '1';
    if (c == 'O')
        return '0';
    return c != '\0' && memchr(CROCKFORD, c, sizeof(CROCKFORD) - 1) != NULL ? c : '\0';
}

bool order_number_parse(struct slice typed, char text[ORDER_NUMBER_LEN])
{
    char digits[ORDER_DIGITS + 2]; /* with the S and K of the prefix */
    size_t count = 0;
    for (size_t i = 0; i < typed.len; i++) {
        if (typed.ptr[i] == ' ' || typed.ptr[i] == '-')
            continue;
        char digit = crockford_digit(typed.ptr[i]);
        if (digit == '\0' || count == sizeof(digits))
            return false;
        digits[count++] = digit;
    }
    /* A body may itself begin with SK, so that only the length tells whether the prefix is there. */
    bool prefixed = count == sizeof(digits) && digits[0] == 'S' && digits[1] == 'K';
    if (!prefixed && count != ORDER_DIGITS)
        return false;
    memcpy(text, "SK-", 3);
    memcpy(text + 3, prefixed ? digits + 2 : digits, ORDER_DIGITS);
    return true;
}
