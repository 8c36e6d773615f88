/* Whose request it is, when it comes through proxies: the X-Forwarded-For of those that are trusted.
 *
 * Each proxy adds, at the right, the address that it got the request from. So what stands there is true as
 * far as the proxies are ours, from the right, and whatever the client likes to the left of that. */
#pragma once

#include "base/address.h"
#include "base/limits.h"

/* Which proxies are ours: SOUK_TRUSTED_PROXIES. */
struct proxies {
    struct network trusted[TRUSTED_PROXIES_MAX];
    size_t count;
};

/* Reads the setting, which config_load has checked; CHECKs that it is right. */
void proxies_init(struct proxies *proxies, struct slice list);
/* Whether the other end of a connection is one of them. */
bool proxies_have(const struct proxies *proxies, struct slice peer);
/* The client behind `peer`, which is one of them, as text in the arena: the first address from the right that
 * is none of them. An entry may carry a port, IPv6 then stands in brackets. One that is no address ends the
 * walk: what stands left of it was told by nobody that we know, and the last address before it is the
 * answer. The same when all are proxies, or none is named (`forwarded_for` may be absent). */
struct slice client_address(const struct proxies *proxies, struct arena *arena, struct slice peer,
                            struct slice forwarded_for);
