/* Web origins and lists of them. */
#include "base/origin.h"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A letter, then letters, digits, '+', '-', '.' (RFC 3986, 3.1): capacitor:// is an origin, too. */
static bool is_scheme(struct slice scheme)
{
    for (size_t i = 0; i < scheme.len; i++) {
        char c = scheme.ptr[i];
        if (!is_lower(c) && (i == 0 || (!is_digit(c) && c != '+' && c != '-' && c != '.')))
            return false;
    }
    return scheme.len > 0;
}

static bool is_host(struct slice host)
{
    bool is_ipv6 = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (is_ipv6)
        host = (struct slice){host.ptr + 1, host.len - 2};
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool is_good = is_ipv6 ? is_digit(c) || (c >= 'a' && c <= 'f') || c == ':' || c == '.'
                               : is_digit(c) || is_lower(c) || c == '-' || c == '.' || c == '_';
        if (!is_good)
            return false;
    }
    return host.len > 0;
}

/* 1..65535 without leading zeros, and not the one that goes without saying. */
static bool is_port(struct slice port, struct slice scheme)
{
    long long number;
    if (port.len == 0 || port.len > 5 || port.ptr[0] < '1' || port.ptr[0] > '9' ||
        !slice_to_int64(port, &number) || number > 65535)
        return false;
    return !(number == 80 && slice_is(scheme, "http")) && !(number == 443 && slice_is(scheme, "https"));
}

bool origin_is_valid(struct slice origin)
{
    struct slice rest = origin;
    struct slice scheme;
    if (origin.len > ORIGIN_BYTES_MAX || !slice_split(&rest, ':', &scheme) || !is_scheme(scheme) ||
        !slice_starts_with(rest, SLICE("//")))
        return false;
    struct slice authority = slice_skip(rest, 2);
    size_t end = authority.len; /* of the host */
    while (end > 0 && authority.ptr[end - 1] != ':' && authority.ptr[end - 1] != ']')
        end--;
    if (end == 0 || authority.ptr[end - 1] == ']')
        return is_host(authority);
    return is_host((struct slice){authority.ptr, end - 1}) && is_port(slice_skip(authority, end), scheme);
}

bool origin_next(struct slice *rest, struct slice *origin)
{
    if (rest->len == 0 || !slice_split(rest, ',', origin))
        return false;
    *origin = slice_trim(*origin);
    return true;
}

bool origin_is_listed(struct slice list, struct slice origin)
{
    struct slice listed;
    while (origin_next(&list, &listed)) {
        if (slice_equals(listed, origin))
            return true;
    }
    return false;
}
