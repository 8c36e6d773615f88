/* Cursors: base64url(8 bytes of HMAC-SHA256 | the sort values in a compact binary form).
 *
 * The MAC covers the scope as well as the values, so that a cursor of one list is refused by another; 64 bits
 * are plenty against guessing, since a forged cursor would only move a reader within a list that it may read
 * anyway. */
#include "http/page.h"

#define CURSOR_MAC_BYTES 8
#define VARINT_BYTES_MAX 10
#define CURSOR_PAYLOAD_MAX (CURSOR_BYTES_MAX / 4 * 3 - CURSOR_MAC_BYTES)

void cursor_scope_init(struct cursor_scope *scope, const struct operation *operation)
{
    scope->hash = hash64(slice_from(operation->name));
}

/* The hash so far, what kind of thing comes, and its own hash: no two different lists of additions give the
 * same text. */
static void scope_mix(struct cursor_scope *scope, uint64_t kind, uint64_t value)
{
    uint64_t words[3] = {scope->hash, kind, value};
    scope->hash = hash64((struct slice){(const char *)words, sizeof(words)});
}

void cursor_scope_add(struct cursor_scope *scope, struct slice text)
{
    scope_mix(scope, slice_is_absent(text) ? 0 : 1, slice_is_absent(text) ? 0 : hash64(text));
}

void cursor_scope_add_int(struct cursor_scope *scope, int64_t value)
{
    scope_mix(scope, 2, (uint64_t)value);
}

static void cursor_mac(const struct request *request, const struct cursor_scope *scope, struct slice payload,
                       uint8_t mac[SHA256_LEN])
{
    char text[sizeof(scope->hash) + CURSOR_PAYLOAD_MAX];
    CHECK(payload.len <= CURSOR_PAYLOAD_MAX);
    memcpy(text, &scope->hash, sizeof(scope->hash));
    memcpy(text + sizeof(scope->hash), payload.ptr, payload.len);
    struct slice key = {(const char *)request->services->cursor_key, sizeof(request->services->cursor_key)};
    hmac_sha256(key, (struct slice){text, sizeof(scope->hash) + payload.len}, mac);
}

/* ---- writing ---- */

struct payload {
    size_t len;
    char bytes[CURSOR_PAYLOAD_MAX];
};

/* False when it does not fit. */
static bool put_bytes(struct payload *payload, const void *bytes, size_t len)
{
    if (len > sizeof(payload->bytes) - payload->len)
        return false;
    memcpy(payload->bytes + payload->len, bytes, len);
    payload->len += len;
    return true;
}

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
static bool put_varint(struct payload *payload, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (uint8_t)(value | 0x80);
    bytes[len++] = (uint8_t)value;
    return put_bytes(payload, bytes, len);
}

static bool put_value(struct payload *payload, const struct db_value *value)
{
    CHECK(!value->is_null); /* no NULL in a sort key */
    switch (value->type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME: /* zigzag: small numbers of either sign are short */
        return put_varint(payload, ((uint64_t)value->integer << 1) ^ (uint64_t)(value->integer >> 63));
    case DB_UUID:
        return put_bytes(payload, value->uuid.bytes, sizeof(value->uuid.bytes));
    case DB_TEXT:
    case DB_JSON:
    case DB_BLOB:
        return put_varint(payload, value->text.len) && put_bytes(payload, value->text.ptr, value->text.len);
    case DB_END:
        break;
    }
    CHECK(!"a sort value has a type");
    return false;
}

struct slice cursor_make(const struct request *request, const struct cursor_scope *scope,
                         const struct db_value *values, size_t count)
{
    CHECK(count > 0 && count <= CURSOR_VALUES_MAX);
    struct payload payload = {.len = 0};
    for (size_t i = 0; i < count; i++)
        CHECK(put_value(&payload, &values[i])); /* sort keys are short by their schema */
    struct slice body = {payload.bytes, payload.len};
    uint8_t mac[SHA256_LEN];
    cursor_mac(request, scope, body, mac);
    char raw[CURSOR_MAC_BYTES + CURSOR_PAYLOAD_MAX];
    memcpy(raw, mac, CURSOR_MAC_BYTES);
    memcpy(raw + CURSOR_MAC_BYTES, body.ptr, body.len);
    return base64url_encode(request->arena, (struct slice){raw, CURSOR_MAC_BYTES + body.len});
}

/* ---- reading ---- */

static bool take_varint(struct slice *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)rest->ptr[0];
        *rest = slice_skip(*rest, 1);
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return true;
    }
    return false;
}

static bool take_value(struct slice *rest, enum db_type type, struct db_value *value)
{
    uint64_t number;
    *value = (struct db_value){.type = type};
    switch (type) {
    case DB_INT:
    case DB_BOOL:
    case DB_TIME:
        if (!take_varint(rest, &number))
            return false;
        value->integer = (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
        return true;
    case DB_UUID:
        if (rest->len < sizeof(value->uuid.bytes))
            return false;
        memcpy(value->uuid.bytes, rest->ptr, sizeof(value->uuid.bytes));
        *rest = slice_skip(*rest, sizeof(value->uuid.bytes));
        return true;
    case DB_TEXT:
    case DB_JSON:
    case DB_BLOB:
        if (!take_varint(rest, &number) || number > rest->len)
            return false;
        value->text = (struct slice){rest->ptr, (size_t)number};
        *rest = slice_skip(*rest, (size_t)number);
        return true;
    case DB_END:
        break;
    }
    return false;
}

bool cursor_open(const struct request *request, const struct cursor_scope *scope, struct slice cursor,
                 const enum db_type *types, size_t count, struct db_value *values)
{
    if (cursor.len > CURSOR_BYTES_MAX)
        return false;
    struct slice raw = base64url_decode(request->arena, cursor);
    if (slice_is_absent(raw) || raw.len < CURSOR_MAC_BYTES || raw.len > CURSOR_MAC_BYTES + CURSOR_PAYLOAD_MAX)
        return false;
    struct slice payload = slice_skip(raw, CURSOR_MAC_BYTES);
    uint8_t mac[SHA256_LEN];
    cursor_mac(request, scope, payload, mac);
    if (!bytes_equal_constant_time((struct slice){(const char *)mac, CURSOR_MAC_BYTES},
                                   (struct slice){raw.ptr, CURSOR_MAC_BYTES}))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!take_value(&payload, types[i], &values[i]))
            return false;
    }
    return payload.len == 0;
}

/* ---- what the gateway writes under "pagination" ---- */

void response_page(struct response *response, int64_t limit, struct slice next_cursor)
{
    response->pagination.is_present = true;
    response->pagination.limit = limit;
    response->pagination.next_cursor = next_cursor;
}

void response_page_total(struct response *response, int64_t counted)
{
    response->pagination.has_total = true;
    response->pagination.total_is_capped = counted > PAGE_TOTAL_MAX;
    response->pagination.total = counted > PAGE_TOTAL_MAX ? PAGE_TOTAL_MAX : counted;
}
