/* IP addresses and networks, as settings and proxies write them. An IPv4 address is held as IPv4-mapped IPv6
 * (RFC 4291, 2.5.5.2), so that either spelling is the same address. */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

#include <stdint.h>

/* Of an address as text, with the NUL behind it. */
#define ADDRESS_TEXT_MAX 46

struct address {
    uint8_t bytes[16];
};

struct network {
    struct address first;
    unsigned prefix_bits; /* of 128 */
};

/* "192.0.2.1" or "2001:db8::1", nothing around it: no port, no brackets, no zone. */
bool address_parse(struct slice text, struct address *address);
/* The shortest spelling, in the arena; an IPv4-mapped one as IPv4. */
struct slice address_format(struct arena *arena, const struct address *address);

/* What is counted as one caller: an IPv4 address; of IPv6 the first address of its /64, since one household
 * or one machine has all of those. */
struct address address_household(const struct address *address);

/* An address, or a network as ADDRESS/BITS whose address has no bit set behind them. */
bool network_parse(struct slice text, struct network *network);
bool network_has(const struct network *network, const struct address *address);
/* Takes the next network off a list of them with commas between (spaces do not count). Neither at the end
 * nor at a wrong one is there a next: *rest is empty only at the end. */
bool network_next(struct slice *rest, struct network *network);
