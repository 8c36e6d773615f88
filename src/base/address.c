/* Addresses by the system's own parser, which takes no shorthand, no octal and no zone. */
#include "base/address.h"

#include <arpa/inet.h>

#define IPV4_BITS_BEFORE 96 /* of an IPv4-mapped address */
#define HOUSEHOLD_BITS 64   /* of an IPv6 address */

static const uint8_t IPV4_PREFIX[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_ipv4(const struct address *address)
{
    return memcmp(address->bytes, IPV4_PREFIX, sizeof(IPV4_PREFIX)) == 0;
}

bool address_parse(struct slice text, struct address *address)
{
    char terminated[ADDRESS_TEXT_MAX];
    if (text.len == 0 || text.len >= sizeof(terminated) || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(terminated, text.ptr, text.len);
    terminated[text.len] = '\0';
    if (memchr(text.ptr, ':', text.len) != NULL)
        return inet_pton(AF_INET6, terminated, address->bytes) == 1;
    memcpy(address->bytes, IPV4_PREFIX, sizeof(IPV4_PREFIX));
    return inet_pton(AF_INET, terminated, address->bytes + sizeof(IPV4_PREFIX)) == 1;
}

struct slice address_format(struct arena *arena, const struct address *address)
{
    char *text = arena_alloc(arena, ADDRESS_TEXT_MAX);
    const char *written =
        is_ipv4(address) ? inet_ntop(AF_INET, address->bytes + sizeof(IPV4_PREFIX), text, ADDRESS_TEXT_MAX)
                         : inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_MAX);
    return slice_from(written); /* it always fits */
}

/* The bits of an address that belong to the network of so many. */
static struct address masked(struct address address, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(address.bytes); i++) {
        unsigned before = 8 * i;
        if (bits <= before)
            address.bytes[i] = 0;
        else if (bits < before + 8)
            address.bytes[i] &= (uint8_t)(0xffu << (before + 8 - bits));
    }
    return address;
}

struct address address_household(const struct address *address)
{
    return is_ipv4(address) ? *address : masked(*address, HOUSEHOLD_BITS);
}

static bool is_same(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool network_parse(struct slice text, struct network *network)
{
    struct slice rest = text;
    struct slice address;
    long long bits;
    if (text.len == 0 || !slice_split(&rest, '/', &address) || !address_parse(address, &network->first))
        return false;
    /* An IPv4 prefix counts from the address as it was written. */
    bool is_short = memchr(address.ptr, ':', address.len) == NULL;
    unsigned before = is_short ? IPV4_BITS_BEFORE : 0;
    network->prefix_bits = 128;
    if (address.len == text.len)
        return true;
    if (rest.len > 3 || slice_starts_with(rest, SLICE("-")) || !slice_to_int64(rest, &bits) || bits < 0 ||
        bits > 128 - (long long)before)
        return false;
    network->prefix_bits = before + (unsigned)bits;
    struct address first = masked(network->first, network->prefix_bits);
    return is_same(&first, &network->first);
}

bool network_has(const struct network *network, const struct address *address)
{
    struct address first = masked(*address, network->prefix_bits);
    return is_same(&first, &network->first);
}

bool network_next(struct slice *rest, struct network *network)
{
    struct slice after = *rest;
    struct slice one;
    if (slice_trim(*rest).len == 0) {
        *rest = SLICE("");
        return false;
    }
    if (!slice_split(&after, ',', &one) || !network_parse(slice_trim(one), network))
        return false;
    *rest = slice_is_absent(after) ? SLICE("") : after;
    return true;
}
