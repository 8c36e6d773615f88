/* The walk along X-Forwarded-For, from its right end. */
#include "http/client_address.h"

#include "base/check.h"

#define PORT_DIGITS_MAX 5

void proxies_init(struct proxies *proxies, struct slice list)
{
    struct slice rest = list;
    proxies->count = 0;
    while (proxies->count < TRUSTED_PROXIES_MAX && network_next(&rest, &proxies->trusted[proxies->count]))
        proxies->count++;
    CHECK(rest.len == 0);
}

static bool is_trusted(const struct proxies *proxies, const struct address *address)
{
    for (size_t i = 0; i < proxies->count; i++) {
        if (network_has(&proxies->trusted[i], address))
            return true;
    }
    return false;
}

bool proxies_have(const struct proxies *proxies, struct slice peer)
{
    struct address address;
    return proxies->count > 0 && address_parse(peer, &address) && is_trusted(proxies, &address);
}

/* What stands behind the last comma; *list is left with what stands before it, absent when nothing does. */
static struct slice take_last(struct slice *list)
{
    size_t start = list->len;
    while (start > 0 && list->ptr[start - 1] != ',')
        start--;
    struct slice last = slice_skip(*list, start);
    *list = start > 0 ? (struct slice){list->ptr, start - 1} : SLICE_ABSENT;
    return slice_trim(last);
}

/* Nothing, or ":443". */
static bool is_port(struct slice text)
{
    if (text.len == 0)
        return true;
    if (text.ptr[0] != ':' || text.len < 2 || text.len > 1 + PORT_DIGITS_MAX)
        return false;
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return true;
}

static bool entry_parse(struct slice entry, struct address *address)
{
    if (entry.len > 0 && entry.ptr[0] == '[') {
        struct slice behind = slice_skip(entry, 1);
        struct slice inside;
        (void)slice_split(&behind, ']', &inside);
        return !slice_is_absent(behind) && is_port(behind) && memchr(inside.ptr, ':', inside.len) != NULL &&
               address_parse(inside, address);
    }
    const char *dot = entry.len > 0 ? memchr(entry.ptr, '.', entry.len) : NULL;
    const char *colon = entry.len > 0 ? memchr(entry.ptr, ':', entry.len) : NULL;
    if (dot != NULL && colon > dot) { /* IPv4 with a port; in IPv6 the dots come last */
        size_t len = (size_t)(colon - entry.ptr);
        return is_port(slice_skip(entry, len)) && address_parse((struct slice){entry.ptr, len}, address);
    }
    return address_parse(entry, address);
}

struct slice client_address(const struct proxies *proxies, struct arena *arena, struct slice peer,
                            struct slice forwarded_for)
{
    struct address client;
    if (!address_parse(peer, &client))
        return peer;
    struct slice rest = forwarded_for;
    struct address next;
    while (is_trusted(proxies, &client) && !slice_is_absent(rest) && entry_parse(take_last(&rest), &next))
        client = next;
    return address_format(arena, &client);
}
