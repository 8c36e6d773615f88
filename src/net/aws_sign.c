/* Signing, in the four steps of AWS's documentation: the canonical request, the string to sign, the key, the
 * signature. */
#include "net/aws_sign.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/crypto.h"

#include <sodium.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DATE_LEN 8 /* of a time: 20150830 */

static const char HEX[] = "0123456789ABCDEF";

static void append_hex(struct buf *out, const uint8_t digest[SHA256_LEN])
{
    char text[2 * SHA256_LEN];
    hex_encode(digest, SHA256_LEN, text);
    buf_append(out, (struct slice){text, sizeof(text)});
}

static void append_hash(struct buf *out, struct slice text)
{
    uint8_t digest[SHA256_LEN];
    sha256(text, digest);
    append_hex(out, digest);
}

/* ---- the canonical request ---- */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Escapes what is not unreserved (RFC 3986) nor `kept`. */
static void append_escaped(struct buf *out, struct slice text, char kept)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_unreserved(text.ptr[i]) || text.ptr[i] == kept) {
            buf_append_char(out, text.ptr[i]);
            continue;
        }
        buf_append_char(out, '%');
        buf_append_char(out, HEX[c >> 4]);
        buf_append_char(out, HEX[c & 15]);
    }
}

struct parameter {
    struct slice name, value;
};

static int compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int parameter_compare(const struct parameter *a, const struct parameter *b)
{
    int order = compare(a->name, b->name);
    return order != 0 ? order : compare(a->value, b->value);
}

/* A part of a query, which is escaped already but for what every client escapes otherwise. */
static struct slice escaped(struct arena *arena, struct slice text)
{
    struct buf out;
    buf_init(&out, arena);
    append_escaped(&out, text, '%');
    return buf_slice(&out);
}

/* By name, then by value. */
static void append_query(struct buf *out, struct slice query)
{
    struct parameter parameters[AWS_SIGNED_PARAMETERS_MAX];
    size_t count = 0;
    struct slice part;
    while (query.len > 0 && slice_split(&query, '&', &part)) {
        struct slice name, value = part;
        (void)slice_split(&value, '=', &name);
        struct parameter parameter = {escaped(out->arena, name), escaped(out->arena, value)};
        CHECK(count < AWS_SIGNED_PARAMETERS_MAX);
        size_t at = count++;
        for (; at > 0 && parameter_compare(&parameter, &parameters[at - 1]) < 0; at--)
            parameters[at] = parameters[at - 1];
        parameters[at] = parameter;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(out, '&');
        buf_append(out, parameters[i].name);
        buf_append_char(out, '=');
        buf_append(out, parameters[i].value);
    }
}

static struct slice lower_case(struct arena *arena, struct slice name)
{
    char *text = arena_alloc(arena, name.len + 1);
    for (size_t i = 0; i < name.len; i++)
        text[i] = name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] - 'A' + 'a') : name.ptr[i];
    return (struct slice){text, name.len};
}

/* With lower-case names, in their order; those of one name stay in the order in which they are sent. */
static void sort_headers(struct arena *arena, const struct aws_signing *signing,
                         struct aws_signed_header sorted[AWS_SIGNED_HEADERS_MAX])
{
    CHECK(signing->header_count <= AWS_SIGNED_HEADERS_MAX);
    for (size_t i = 0; i < signing->header_count; i++) {
        struct aws_signed_header header = {lower_case(arena, signing->headers[i].name),
                                           signing->headers[i].value};
        size_t at = i;
        for (; at > 0 && compare(header.name, sorted[at - 1].name) < 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = header;
    }
}

/* Without white space at its ends, and with single spaces within. */
static void append_header_value(struct buf *out, struct slice value)
{
    value = slice_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] != ' ' || value.ptr[i - 1] != ' ')
            buf_append_char(out, value.ptr[i]);
    }
}

static bool is_repeated(const struct aws_signed_header *sorted, size_t i)
{
    return i > 0 && compare(sorted[i].name, sorted[i - 1].name) == 0;
}

static struct slice header_names(struct arena *arena, const struct aws_signed_header *sorted, size_t count)
{
    struct buf out;
    buf_init(&out, arena);
    for (size_t i = 0; i < count; i++) {
        if (is_repeated(sorted, i))
            continue;
        if (i > 0)
            buf_append_char(&out, ';');
        buf_append(&out, sorted[i].name);
    }
    return buf_slice(&out);
}

static struct slice canonical_request(struct arena *arena, const struct aws_signing *signing,
                                      const struct aws_signed_header *sorted, struct slice names)
{
    struct buf out;
    buf_init(&out, arena);
    buf_append(&out, signing->method);
    buf_append_char(&out, '\n');
    append_escaped(&out, signing->path, '/');
    buf_append_char(&out, '\n');
    append_query(&out, signing->query);
    for (size_t i = 0; i < signing->header_count; i++) {
        if (is_repeated(sorted, i)) {
            buf_append_char(&out, ',');
        } else {
            buf_append_char(&out, '\n');
            buf_append(&out, sorted[i].name);
            buf_append_char(&out, ':');
        }
        append_header_value(&out, sorted[i].value);
    }
    buf_append(&out, SLICE("\n\n"));
    buf_append(&out, names);
    buf_append_char(&out, '\n');
    append_hash(&out, signing->body);
    return buf_slice(&out);
}

/* ---- the key and the signature ---- */

static struct slice bytes_of(const uint8_t mac[SHA256_LEN])
{
    return (struct slice){(const char *)mac, SHA256_LEN};
}

static void signing_key(struct arena *arena, struct slice secret, const struct aws_signing *signing,
                        uint8_t key[SHA256_LEN])
{
    uint8_t step[SHA256_LEN];
    struct slice first = arena_format(arena, "AWS4%.*s", SLICE_ARG(secret));
    hmac_sha256(first, (struct slice){signing->time.ptr, DATE_LEN}, step);
    hmac_sha256(bytes_of(step), signing->region, key);
    hmac_sha256(bytes_of(key), signing->service, step);
    hmac_sha256(bytes_of(step), SLICE("aws4_request"), key);
    sodium_memzero(step, sizeof(step));
    sodium_memzero((char *)(uintptr_t)first.ptr, first.len);
}

void aws_sign(struct arena *arena, const struct aws_credentials *credentials,
              const struct aws_signing *signing, struct aws_signature *signature)
{
    struct aws_signed_header sorted[AWS_SIGNED_HEADERS_MAX];
    uint8_t key[SHA256_LEN], mac[SHA256_LEN];
    struct buf out;
    CHECK(signing->time.len == AWS_TIME_LEN && signing->path.len > 0 && signing->path.ptr[0] == '/');
    sort_headers(arena, signing, sorted);
    struct slice names = header_names(arena, sorted, signing->header_count);
    struct slice scope = arena_format(arena, "%.*s/%.*s/%.*s/aws4_request", DATE_LEN, signing->time.ptr,
                                      SLICE_ARG(signing->region), SLICE_ARG(signing->service));
    signature->canonical_request = canonical_request(arena, signing, sorted, names);
    buf_init(&out, arena);
    buf_format(&out, ALGORITHM "\n%.*s\n%.*s\n", SLICE_ARG(signing->time), SLICE_ARG(scope));
    append_hash(&out, signature->canonical_request);
    signature->string_to_sign = buf_slice(&out);
    signing_key(arena, credentials->secret_access_key, signing, key);
    hmac_sha256(bytes_of(key), signature->string_to_sign, mac);
    sodium_memzero(key, sizeof(key));
    buf_init(&out, arena);
    buf_format(&out, ALGORITHM " Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=",
               SLICE_ARG(credentials->access_key_id), SLICE_ARG(scope), SLICE_ARG(names));
    append_hex(&out, mac);
    signature->authorization = buf_slice(&out);
}

struct slice aws_time(struct arena *arena, int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm at;
    CHECK(gmtime_r(&seconds, &at) != NULL);
    return arena_format(arena, "%04d%02d%02dT%02d%02d%02dZ", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday,
                        at.tm_hour, at.tm_min, at.tm_sec);
}
