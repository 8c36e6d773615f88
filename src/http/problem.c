/* Problems (RFC 9457): the table of codes, and writing one in place of a reply.
 *
 * The JSON object stays open until problem_close, so that a handler can add members; `requestId` is its last
 * one. */
#include "http/problem.h"

#include "http/response.h"

#include <stdarg.h>
#include <stdio.h>

#define DETAIL_BYTES_MAX 512

static const struct problem_kind {
    const char *name;
    enum http_status status;
    const char *title;
} KINDS[] = {
#define X(code, status, title) [PROBLEM_##code] = {#code, (enum http_status)(status), title},
    PROBLEM_TABLE(X)
#undef X
};

const char *problem_code_name(enum problem_code code)
{
    CHECK((size_t)code < COUNT_OF(KINDS));
    return KINDS[code].name;
}

/* Everything up to the members that only some problems have. */
static enum http_status problem_open(struct response *response, enum problem_code code,
                                     enum http_status status, struct slice detail)
{
    CHECK((size_t)code < COUNT_OF(KINDS));
    const struct problem_kind *kind = &KINDS[code];
    struct response_drop *drops = response->drops;
    response_init(response, response->arena, true);
    /* A commit whose answer was lost may have happened: what it would have made stale is dropped. */
    if (code == PROBLEM_UNAVAILABLE)
        response->drops = drops;
    response->content_type = "application/problem+json";
    response->problem_code = kind->name;
    struct json_writer *json = &response->json;
    json_object_begin(json);
    json_field_string(json, "type", SLICE("about:blank"));
    json_field_string(json, "title", slice_from(kind->title));
    json_field_int(json, "status", status);
    json_field_string(json, "detail", detail);
    json_field_string(json, "code", slice_from(kind->name));
    return status;
}

/* A formatted text of people's length in the arena. */
static struct slice format_detail(struct response *response, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));

static struct slice format_detail(struct response *response, const char *format, va_list list)
{
    char text[DETAIL_BYTES_MAX];
    int len = vsnprintf(text, sizeof(text), format, list);
    CHECK(len >= 0);
    size_t kept = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    if (kept < (size_t)len) {
        /* Cut: the last character may be half there, so it goes, unless it is ASCII. */
        while (kept > 0 && ((unsigned char)text[kept - 1] & 0xC0) == 0x80)
            kept--;
        if (kept > 0 && ((unsigned char)text[kept - 1] & 0xC0) == 0xC0)
            kept--;
    }
    return arena_copy(response->arena, (struct slice){text, kept});
}

enum http_status problem(struct response *response, enum problem_code code, const char *detail, ...)
{
    va_list list;
    va_start(list, detail);
    struct slice text = format_detail(response, detail, list);
    va_end(list);
    CHECK((size_t)code < COUNT_OF(KINDS));
    return problem_open(response, code, KINDS[code].status, text);
}

enum http_status problem_with_status(struct response *response, enum problem_code code,
                                     enum http_status status, const char *detail, ...)
{
    va_list list;
    va_start(list, detail);
    struct slice text = format_detail(response, detail, list);
    va_end(list);
    return problem_open(response, code, status, text);
}

void problem_errors(struct response *response, const struct field_error *errors, size_t count)
{
    CHECK(response->problem_code != NULL);
    struct json_writer *json = &response->json;
    json_field_array_begin(json, "errors");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_field_string(json, "field", errors[i].field);
        json_field_string(json, "code", slice_from(errors[i].code));
        json_field_string(json, "message", errors[i].message);
        json_object_end(json);
    }
    json_array_end(json);
}

enum http_status problem_fields(struct response *response, const struct field_error *errors, size_t count)
{
    CHECK(count > 0);
    enum http_status status =
        problem_open(response, PROBLEM_VALIDATION_ERROR, HTTP_STATUS_BAD_REQUEST,
                     count == 1 ? arena_format(response->arena, "%.*s: %.*s", SLICE_ARG(errors[0].field),
                                               SLICE_ARG(errors[0].message))
                                : arena_format(response->arena, "%zu fields are not valid", count));
    problem_errors(response, errors, count);
    return status;
}

enum http_status problem_field(struct response *response, const char *field, const char *code,
                               const char *message, ...)
{
    va_list list;
    va_start(list, message);
    struct slice text = format_detail(response, message, list);
    va_end(list);
    struct field_error error = {.field = slice_from(field), .code = code, .message = text};
    return problem_fields(response, &error, 1);
}

void problem_extra_string(struct response *response, const char *key, struct slice value)
{
    CHECK(response->problem_code != NULL);
    json_field_string(&response->json, key, value);
}

void problem_extra_int(struct response *response, const char *key, int64_t value)
{
    CHECK(response->problem_code != NULL);
    json_field_int(&response->json, key, value);
}

enum http_status problem_database(struct response *response, enum db_result result)
{
    CHECK(result == DB_ERROR || result == DB_CONFLICT);
    if (result == DB_CONFLICT)
        return problem(response, PROBLEM_CONFLICT, "Somebody else changed this meanwhile; read it again");
    enum http_status status =
        problem(response, PROBLEM_UNAVAILABLE, "The database does not answer; try again");
    response_header(response, "Retry-After", SLICE("1"));
    response->database_failed = true;
    return status;
}

void problem_close(struct response *response, struct slice request_id)
{
    CHECK(response->problem_code != NULL);
    json_field_string(&response->json, "requestId", request_id);
    json_object_end(&response->json);
}
