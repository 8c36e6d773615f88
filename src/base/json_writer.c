/* The JSON writer: every reply passes through here, so that strings are scanned eight bytes at a time and
 * copied in runs. */
#include "base/json_writer.h"

#include "base/check.h"
#include "base/clock.h"

void json_init(struct json_writer *json, struct buf *out)
{
    *json = (struct json_writer){.out = out};
}

/* Before each value: the comma it needs, and the check that a value may stand here. */
static void value_begin(struct json_writer *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    CHECK(!json->is_object[json->depth]);
    if (json->has_member[json->depth]) {
        CHECK(json->depth > 0);
        buf_append_char(json->out, ',');
    }
    json->has_member[json->depth] = true;
}

static void container_begin(struct json_writer *json, bool is_object)
{
    value_begin(json);
    CHECK(json->depth < JSON_DEPTH_MAX);
    json->depth++;
    json->is_object[json->depth] = is_object;
    json->has_member[json->depth] = false;
    buf_append_char(json->out, is_object ? '{' : '[');
}

static void container_end(struct json_writer *json, bool is_object)
{
    CHECK(json->depth > 0);
    CHECK(json->is_object[json->depth] == is_object);
    CHECK(!json->after_key);
    json->depth--;
    buf_append_char(json->out, is_object ? '}' : ']');
}

void json_object_begin(struct json_writer *json)
{
    container_begin(json, true);
}

void json_object_end(struct json_writer *json)
{
    container_end(json, true);
}

void json_array_begin(struct json_writer *json)
{
    container_begin(json, false);
}

void json_array_end(struct json_writer *json)
{
    container_end(json, false);
}

void json_key(struct json_writer *json, const char *key)
{
    CHECK(json->depth > 0 && json->is_object[json->depth]);
    CHECK(!json->after_key);
    bool comma = json->has_member[json->depth];
    json->has_member[json->depth] = true;
    json->after_key = true;

    size_t len = strlen(key);
    if (!buf_reserve(json->out, len + 4))
        return;
    char *at = json->out->ptr + json->out->len;
    if (comma)
        *at++ = ',';
    *at++ = '"';
    memcpy(at, key, len);
    at += len;
    *at++ = '"';
    *at++ = ':';
    json->out->len = (size_t)(at - json->out->ptr);
}

static bool needs_escape(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* Whether one of eight bytes needs an escape: the classic tests for "has a byte less than n" and "has a zero
 * byte". A false alarm costs a slower look; the borrow that could cause one never hides a hit. */
static bool word_needs_escape(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    uint64_t control = (word - ones * 0x20) & ~word;
    quote = (quote - ones) & ~quote;
    backslash = (backslash - ones) & ~backslash;
    return ((control | quote | backslash) & tops) != 0;
}

/* How many bytes from the front may be copied as they are. */
static size_t plain_run(struct slice text)
{
    size_t i = 0;
    while (text.len - i >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, text.ptr + i, sizeof(word));
        if (word_needs_escape(word))
            break;
        i += sizeof(word);
    }
    while (i < text.len && !needs_escape(text.ptr[i]))
        i++;
    return i;
}

static void append_escape(struct buf *out, char c)
{
    static const char HEX[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', HEX[((unsigned char)c >> 4) & 15], HEX[c & 15]};
    size_t len = 2;
    switch (c) {
    case '"':
    case '\\':
        text[1] = c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    case '\b':
        text[1] = 'b';
        break;
    case '\f':
        text[1] = 'f';
        break;
    default:
        len = sizeof(text);
        break;
    }
    buf_append(out, (struct slice){text, len});
}

void json_text(struct json_writer *json, struct slice text)
{
    if (slice_is_absent(text)) {
        json_nil(json);
        return;
    }
    value_begin(json);
    struct buf *out = json->out;
    (void)buf_reserve(out, text.len + 2); /* the common string has no escapes: grow once at most */
    buf_append_char(out, '"');
    for (;;) {
        size_t run = plain_run(text);
        buf_append(out, (struct slice){text.ptr, run});
        if (run == text.len)
            break;
        append_escape(out, text.ptr[run]);
        text = slice_skip(text, run + 1);
    }
    buf_append_char(out, '"');
}

void json_int(struct json_writer *json, int64_t value)
{
    value_begin(json);
    buf_append_int(json->out, value);
}

void json_bool(struct json_writer *json, bool value)
{
    value_begin(json);
    buf_append(json->out, value ? SLICE("true") : SLICE("false"));
}

void json_nil(struct json_writer *json)
{
    value_begin(json);
    buf_append(json->out, SLICE("null"));
}

/* A string that is known to need no escape. */
static void append_quoted(struct json_writer *json, const char *text, size_t len)
{
    value_begin(json);
    if (!buf_reserve(json->out, len + 2))
        return;
    char *at = json->out->ptr + json->out->len;
    at[0] = '"';
    memcpy(at + 1, text, len);
    at[len + 1] = '"';
    json->out->len += len + 2;
}

void json_uuid(struct json_writer *json, struct uuid id)
{
    char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    append_quoted(json, text, sizeof(text));
}

void json_time(struct json_writer *json, int64_t time_ms)
{
    char text[CLOCK_RFC3339_LEN];
    clock_format_rfc3339(time_ms, text);
    append_quoted(json, text, sizeof(text));
}

void json_raw(struct json_writer *json, struct slice text)
{
    if (slice_is_absent(text)) {
        json_nil(json);
        return;
    }
    CHECK(text.len > 0);
    value_begin(json);
    buf_append(json->out, text);
}

void json_field_string(struct json_writer *json, const char *key, struct slice text)
{
    json_key(json, key);
    json_text(json, text);
}

void json_field_int(struct json_writer *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_int(json, value);
}

void json_field_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

void json_field_null(struct json_writer *json, const char *key)
{
    json_key(json, key);
    json_nil(json);
}

void json_field_uuid(struct json_writer *json, const char *key, struct uuid id)
{
    json_key(json, key);
    json_uuid(json, id);
}

void json_field_time(struct json_writer *json, const char *key, int64_t time_ms)
{
    json_key(json, key);
    json_time(json, time_ms);
}

void json_field_raw(struct json_writer *json, const char *key, struct slice text)
{
    json_key(json, key);
    json_raw(json, text);
}

void json_field_money(struct json_writer *json, const char *key, int64_t amount_minor, struct slice currency)
{
    json_field_object_begin(json, key);
    json_field_int(json, "amount", amount_minor);
    json_field_string(json, "currency", currency);
    json_object_end(json);
}

void json_field_object_begin(struct json_writer *json, const char *key)
{
    json_key(json, key);
    json_object_begin(json);
}

void json_field_array_begin(struct json_writer *json, const char *key)
{
    json_key(json, key);
    json_array_begin(json);
}
