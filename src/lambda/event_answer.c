/* From a reply to what its front takes back. */
#include "base/text.h"
#include "lambda/event.h"

#include <microhttpd.h>
#include <sodium.h>

#define STREAM_DELIMITER "\0\0\0\0\0\0\0\0"

static bool is_cookie(const struct response_header *header)
{
    return slice_equals_ignore_case(slice_from(header->name), SLICE("set-cookie"));
}

/* Whether a header of this name stands before this one. */
static bool came_before(const struct reply *reply, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (slice_equals_ignore_case(slice_from(reply->headers[j].name), slice_from(reply->headers[i].name)))
            return true;
    return false;
}

/* All values of the name, as one. */
static struct slice joined(const struct reply *reply, unsigned i, struct arena *arena)
{
    struct slice name = slice_from(reply->headers[i].name);
    struct slice text = reply->headers[i].value;
    for (unsigned j = i + 1; j < reply->header_count; j++)
        if (slice_equals_ignore_case(slice_from(reply->headers[j].name), name))
            text = arena_format(arena, "%.*s, %.*s", SLICE_ARG(text), SLICE_ARG(reply->headers[j].value));
    return text;
}

static void write_lists(struct json_writer *json, const struct reply *reply)
{
    json_field_object_begin(json, "multiValueHeaders");
    for (unsigned i = 0; i < reply->header_count; i++) {
        if (came_before(reply, i))
            continue;
        json_field_array_begin(json, reply->headers[i].name);
        for (unsigned j = i; j < reply->header_count; j++)
            if (slice_equals_ignore_case(slice_from(reply->headers[j].name),
                                         slice_from(reply->headers[i].name)))
                json_text(json, reply->headers[j].value);
        json_array_end(json);
    }
    json_object_end(json);
}

/* A front that takes one value a name sends several cookies when their names differ in case: "sET-cOOKIE". */
static const char *cookie_name(unsigned nth, struct arena *arena)
{
    struct slice name = arena_copy(arena, SLICE("Set-Cookie"));
    char *letters = (char *)(uintptr_t)name.ptr;
    for (unsigned bit = 0; bit < 3; bit++)
        if (nth & (1u << bit))
            letters[bit] = (char)(letters[bit] ^ 0x20);
    return letters;
}

/* Cookies stand apart in format 2.0. */
static void write_singles(struct json_writer *json, const struct lambda_event *event,
                          const struct reply *reply, struct arena *arena)
{
    unsigned cookies = 0;
    json_field_object_begin(json, "headers");
    for (unsigned i = 0; i < reply->header_count; i++) {
        if (is_cookie(&reply->headers[i])) {
            if (event->front == FRONT_ALB)
                json_field_string(json, cookie_name(cookies++, arena), reply->headers[i].value);
        } else if (!came_before(reply, i)) {
            json_field_string(json, reply->headers[i].name, joined(reply, i, arena));
        }
    }
    json_object_end(json);
    if (event->front != FRONT_HTTP_API)
        return;
    json_field_array_begin(json, "cookies");
    for (unsigned i = 0; i < reply->header_count; i++)
        if (is_cookie(&reply->headers[i]))
            json_text(json, reply->headers[i].value);
    json_array_end(json);
}

static void write_head(struct json_writer *json, const struct lambda_event *event, const struct reply *reply,
                       struct arena *arena)
{
    json_field_int(json, "statusCode", reply->status);
    if (event->front == FRONT_ALB)
        json_field_string(json, "statusDescription",
                          arena_format(arena, "%d %s", (int)reply->status,
                                       MHD_get_reason_phrase_for((unsigned)reply->status)));
    if (event->front == FRONT_REST_API || event->has_multi_values)
        write_lists(json, reply);
    else
        write_singles(json, event, reply, arena);
}

static void write_base64(struct json_writer *json, struct slice bytes, struct arena *arena)
{
    size_t len = sodium_base64_ENCODED_LEN(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = arena_alloc(arena, len); /* the caller has bounded it */
    sodium_bin2base64(text, len, (const unsigned char *)bytes.ptr, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    json_field_string(json, "body", (struct slice){text, len - 1});
}

size_t event_answer_bytes_max(const struct lambda_event *event)
{
    return event->front == FRONT_ALB ? LAMBDA_ANSWER_BYTES_MAX_OF_ALB : LAMBDA_ANSWER_BYTES_MAX;
}

struct slice event_answer(const struct lambda_event *event, const struct reply *reply, bool has_body,
                          struct arena *arena)
{
    struct buf out;
    struct json_writer json;
    struct slice body = has_body ? reply->body : SLICE("");
    size_t bytes_max = event_answer_bytes_max(event);
    if (body.len > bytes_max)
        return SLICE_ABSENT;
    bool is_text = text_is_valid(body);
    buf_init(&out, arena);
    (void)buf_reserve(&out, body.len + body.len / 4); /* one block, mostly */
    json_init(&json, &out);
    json_object_begin(&json);
    write_head(&json, event, reply, arena);
    if (is_text)
        json_field_string(&json, "body", body);
    else
        write_base64(&json, body, arena);
    json_field_bool(&json, "isBase64Encoded", !is_text);
    json_object_end(&json);
    return out.overflow || out.len > bytes_max ? SLICE_ABSENT : buf_slice(&out);
}

struct slice event_stream_prelude(const struct lambda_event *event, const struct reply *reply,
                                  struct arena *arena)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, arena);
    json_init(&json, &out);
    json_object_begin(&json);
    write_head(&json, event, reply, arena);
    json_object_end(&json);
    buf_append(&out, (struct slice){STREAM_DELIMITER, 8});
    return buf_slice(&out);
}
