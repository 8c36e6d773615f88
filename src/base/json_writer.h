/* Writes JSON (RFC 8259) straight into a buffer: no tree, no allocation of its own.
 * Commas and colons are the writer's business. Misuse asserts: a key outside an object, a value in an object
 * without its key, an end without its begin, a second value at the top, more than JSON_DEPTH_MAX levels.
 * json_text and json_nil are named so because jansson, which is linked into the same program, has json_string
 * and json_null. */
#pragma once

#include "base/buf.h"
#include "base/ids.h"

#define JSON_DEPTH_MAX 16

struct json_writer {
    struct buf *out;
    uint8_t depth;
    bool after_key;
    bool is_object[JSON_DEPTH_MAX + 1];  /* what is open at each depth; [0] is the top level */
    bool has_member[JSON_DEPTH_MAX + 1]; /* whether the next member needs a comma */
};

void json_init(struct json_writer *json, struct buf *out);

void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);
void json_key(struct json_writer *json, const char *key); /* the key is a literal that needs no escape */

/* Values. Text must be valid UTF-8; an absent slice is written as null. */
void json_text(struct json_writer *json, struct slice text);
void json_int(struct json_writer *json, int64_t value);
void json_bool(struct json_writer *json, bool value);
void json_nil(struct json_writer *json);
void json_uuid(struct json_writer *json, struct uuid id);
/* RFC 3339 UTC with milliseconds, from milliseconds since 1970. */
void json_time(struct json_writer *json, int64_t time_ms);
/* Text that already is one JSON value; an absent slice is written as null. */
void json_raw(struct json_writer *json, struct slice text);

/* Key and value in one. */
void json_field_string(struct json_writer *json, const char *key, struct slice text);
void json_field_int(struct json_writer *json, const char *key, int64_t value);
void json_field_bool(struct json_writer *json, const char *key, bool value);
void json_field_null(struct json_writer *json, const char *key);
void json_field_uuid(struct json_writer *json, const char *key, struct uuid id);
void json_field_time(struct json_writer *json, const char *key, int64_t time_ms);
void json_field_raw(struct json_writer *json, const char *key, struct slice text);
/* {"amount": minor units, "currency": "USD"}; see base/money.h. */
void json_field_money(struct json_writer *json, const char *key, int64_t amount_minor, struct slice currency);
void json_field_object_begin(struct json_writer *json, const char *key);
void json_field_array_begin(struct json_writer *json, const char *key);
