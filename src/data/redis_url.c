/* What REDIS_URL says: redis://user:password@host:port,host:port/database?ca=FILE */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/crypto.h"

#include <stdio.h>

/* Never with a part of the URL that may hold the password. */
static bool complain(struct arena *arena, struct slice *complaint, const char *what)
{
    *complaint = arena_format(arena, "REDIS_URL %s", what);
    return false;
}

/* Percent-decoded, with a NUL behind it; absent when malformed or when a NUL is in it. */
static struct slice decode(struct arena *arena, struct slice text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return SLICE_ABSENT;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return SLICE_ABSENT;
        out[len++] = c;
    }
    out[len] = '\0';
    return (struct slice){out, len};
}

/* Where the last `c` stands; text.len when there is none. */
static size_t find_last(struct slice text, char c)
{
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == c)
            return i - 1;
    return text.len;
}

static bool parse_port(struct slice text, uint16_t *port)
{
    long long number;
    if (text.len > 5 || !slice_to_int64(text, &number) || number < 1 || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool set_host(struct redis_address *address, struct slice host)
{
    if (host.len >= sizeof(address->host))
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || host.ptr[i] == 0x7f || host.ptr[i] == '/' || host.ptr[i] == '@')
            return false;
    if (host.len > 0)
        memcpy(address->host, host.ptr, host.len);
    address->host[host.len] = '\0';
    return true;
}

bool redis_address_parse(struct slice text, struct redis_address *address)
{
    size_t colon = find_last(text, ':');
    if (colon == text.len || !parse_port(slice_skip(text, colon + 1), &address->port))
        return false;
    struct slice host = {text.ptr, colon};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = (struct slice){host.ptr + 1, host.len - 2};
    return set_host(address, host);
}

bool redis_address_equals(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* host, host:port, [::1] or [::1]:port */
static bool parse_seed(struct slice text, struct redis_address *address)
{
    bool is_bracketed = text.len > 0 && text.ptr[0] == '[';
    size_t end = is_bracketed ? find_last(text, ']') + 1 : find_last(text, ':');
    if (end >= text.len) { /* no port */
        address->port = REDIS_PORT_DEFAULT;
        struct slice host = is_bracketed ? (struct slice){text.ptr + 1, text.len - 2} : text;
        return host.len > 0 && set_host(address, host);
    }
    return redis_address_parse(text, address) && address->host[0] != '\0';
}

static bool parse_seeds(struct slice text, struct redis_settings *settings)
{
    struct slice part;
    while (slice_split(&text, ',', &part)) {
        if (settings->seed_count == REDIS_SEEDS_MAX)
            return false;
        if (!parse_seed(part, &settings->seeds[settings->seed_count]))
            return false;
        settings->seed_count++;
    }
    return settings->seed_count > 0;
}

/* user:password, :password or user */
static bool parse_user(struct slice text, struct redis_settings *settings)
{
    struct slice rest = text, user;
    slice_split(&rest, ':', &user);
    if (user.len > 0) {
        settings->user = decode(&settings->arena, user);
        if (slice_is_absent(settings->user))
            return false;
    }
    if (slice_is_absent(rest))
        return true;
    settings->password = decode(&settings->arena, rest);
    return !slice_is_absent(settings->password);
}

static bool parse_query(struct slice text, struct redis_settings *settings)
{
    struct slice part;
    while (slice_split(&text, '&', &part)) {
        struct slice value = part, name;
        slice_split(&value, '=', &name);
        struct slice *file = slice_is(name, "ca")     ? &settings->ca_file
                             : slice_is(name, "cert") ? &settings->certificate_file
                             : slice_is(name, "key")  ? &settings->key_file
                                                      : NULL;
        if (file == NULL || slice_is_absent(value) || value.len == 0)
            return false;
        *file = decode(&settings->arena, value);
        if (slice_is_absent(*file))
            return false;
    }
    return true;
}

static bool parse_database(struct slice text, struct redis_settings *settings)
{
    long long number;
    if (text.len == 0)
        return true;
    if (text.len > 6 || !slice_to_int64(text, &number) || number < 0)
        return false;
    settings->database = number;
    return true;
}

/* Everything behind "scheme://". */
static bool parse_rest(struct slice rest, struct redis_settings *settings, struct arena *arena,
                       struct slice *complaint)
{
    struct slice query = rest, path;
    slice_split(&query, '?', &rest);
    path = rest;
    slice_split(&path, '/', &rest);
    size_t at = find_last(rest, '@');
    struct slice hosts = rest;
    if (at < rest.len) {
        hosts = slice_skip(rest, at + 1);
        if (!parse_user((struct slice){rest.ptr, at}, settings))
            return complain(arena, complaint, "has a user or password that is not percent-encoded properly");
        if (!slice_is_absent(settings->user) && slice_is_absent(settings->password))
            return complain(arena, complaint, "names a user without a password");
    }
    if (!parse_seeds(hosts, settings))
        return complain(arena, complaint,
                        "must name its hosts as host:port, or several with commas between them"
                        " (encode '@', '/', '?' and ',' in a password as %40, %2F, %3F, %2C)");
    if (!slice_is_absent(path) && !parse_database(path, settings))
        return complain(arena, complaint, "must end in /NUMBER of the database, or in nothing");
    if (!slice_is_absent(query) && !parse_query(query, settings))
        return complain(arena, complaint, "takes ?ca=FILE, &cert=FILE and &key=FILE, and nothing else");
    if (slice_is_absent(settings->certificate_file) != slice_is_absent(settings->key_file))
        return complain(arena, complaint, "needs both cert=FILE and key=FILE, or none of them");
    if (!settings->is_tls &&
        (!slice_is_absent(settings->ca_file) || !slice_is_absent(settings->certificate_file)))
        return complain(arena, complaint, "names files for TLS, but starts with redis:// and not rediss://");
    return true;
}

bool redis_url_parse(struct slice url, struct redis_settings *settings, struct arena *arena,
                     struct slice *complaint)
{
    if (url.len > REDIS_URL_BYTES_MAX)
        return complain(arena, complaint, "is too long");
    if (slice_starts_with(url, SLICE("rediss://"))) {
        settings->is_tls = true;
        return parse_rest(slice_skip(url, strlen("rediss://")), settings, arena, complaint);
    }
    if (slice_starts_with(url, SLICE("redis://")))
        return parse_rest(slice_skip(url, strlen("redis://")), settings, arena, complaint);
    return complain(arena, complaint, "must start with redis:// or rediss://");
}
