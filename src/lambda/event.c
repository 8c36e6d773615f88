/* From an event to an exchange: which front it is of, then method, target, headers, cookies, body, address.
 */
#include "lambda/event.h"

#include "base/address.h"
#include "http/headers.h"

#include <jansson.h>
#include <sodium.h>

struct reading {
    const json_t *root;
    const json_t *context; /* requestContext */
    struct exchange *x;
    struct arena *arena;
    struct lambda_event *event;
    enum event_result result;
    struct slice complaint;
};

/* ---- what is wrong ---- */

static bool malformed(struct reading *reading, const char *rule)
{
    reading->result = EVENT_MALFORMED;
    reading->complaint = slice_from(rule);
    return false;
}

static bool refused(struct reading *reading, const char *why)
{
    if (reading->result == EVENT_GOOD) {
        reading->result = EVENT_REFUSED;
        reading->complaint = slice_from(why);
    }
    return true; /* the rest is read on: the reply still goes to somebody */
}

/* ---- members ---- */

static struct slice text_of(const json_t *value)
{
    return json_is_string(value) ? (struct slice){json_string_value(value), json_string_length(value)}
                                 : SLICE_ABSENT;
}

/* The text of a member of a member of ...; absent when one of them is missing or another type. */
static struct slice text_at(const json_t *object, const char *outer, const char *name)
{
    if (outer != NULL)
        object = json_object_get(object, outer);
    return text_of(json_object_get(object, name));
}

/* An object, or NULL for one that is missing or null; anything else is malformed. */
static bool object_at(struct reading *reading, const char *name, const char *rule, const json_t **object)
{
    *object = json_object_get(reading->root, name);
    if (*object == NULL || json_is_null(*object))
        *object = NULL;
    return *object == NULL || json_is_object(*object) || malformed(reading, rule);
}

/* ---- which front ---- */

static bool find_front(struct reading *reading)
{
    struct lambda_event *event = reading->event;
    reading->context = json_object_get(reading->root, "requestContext");
    if (!json_is_object(reading->context))
        return malformed(reading, "requestContext must be an object, as API Gateway, function URLs and load "
                                  "balancers send it");
    if (json_is_object(json_object_get(reading->context, "elb")))
        event->front = FRONT_ALB;
    else if (slice_is(text_at(reading->root, NULL, "version"), "2.0"))
        event->front = FRONT_HTTP_API;
    else if (json_is_string(json_object_get(reading->root, "httpMethod")))
        event->front = FRONT_REST_API;
    else
        return malformed(reading, "httpMethod must be a string, or version \"2.0\"");
    event->has_multi_values =
        event->front == FRONT_ALB && json_is_object(json_object_get(reading->root, "multiValueHeaders"));
    return true;
}

/* ---- the method ---- */

static bool read_method(struct reading *reading)
{
    struct slice name = reading->event->front == FRONT_HTTP_API ? text_at(reading->context, "http", "method")
                                                                : text_at(reading->root, NULL, "httpMethod");
    if (slice_is_absent(name))
        return malformed(reading, "httpMethod (requestContext.http.method in format 2.0) must be a string");
    reading->x->method = http_method_parse(name);
    return true;
}

/* ---- the path ---- */

static void append_escape(struct buf *out, char c)
{
    static const char DIGITS[] = "0123456789ABCDEF";
    unsigned byte = (unsigned char)c;
    const char escape[3] = {'%', DIGITS[byte >> 4], DIGITS[byte & 15]};
    buf_append(out, (struct slice){escape, sizeof(escape)});
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* Escapes what may not stand there (RFC 3986, 3.3 and 3.4). Escapes that are there stay, good or bad: the
 * router judges them. */
static void append_as_sent(struct buf *out, struct slice text, const char *allowed)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%' || is_unreserved(c) || (c != '\0' && strchr(allowed, c) != NULL))
            buf_append_char(out, c);
        else
            append_escape(out, c);
    }
}

/* Escapes a text that was unescaped. */
static void append_escaped(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_unreserved(text.ptr[i]))
            buf_append_char(out, text.ptr[i]);
        else
            append_escape(out, text.ptr[i]);
    }
}

static size_t count_segments(struct slice path)
{
    struct slice segment;
    size_t count = 0;
    while (slice_split(&path, '/', &segment))
        count += segment.len > 0;
    return count;
}

static struct slice skip_segments(struct slice path, size_t count)
{
    size_t at = 0;
    while (count-- > 0) {
        while (at < path.len && path.ptr[at] == '/')
            at++;
        while (at < path.len && path.ptr[at] != '/')
            at++;
    }
    return slice_skip(path, at);
}

/* The route that the front chose ("/products/{id}", "/{proxy+}") says how many segments are the API's own;
 * what the path has more of stands before them: the stage, or where a custom domain has the API. */
static struct slice without_prefix(struct slice path, struct slice route, struct slice proxy)
{
    size_t own = count_segments(route);
    bool is_greedy = route.len > 2 && memcmp(route.ptr + route.len - 2, "+}", 2) == 0;
    if (is_greedy && slice_is_absent(proxy))
        return path; /* what it stands for is not said */
    if (is_greedy)
        own = own - 1 + count_segments(proxy);
    size_t all = count_segments(path);
    return all > own ? skip_segments(path, all - own) : path;
}

static struct slice without_stage(struct slice path, struct slice stage)
{
    bool is_prefix = stage.len > 0 && path.len > stage.len && path.ptr[0] == '/' &&
                     slice_starts_with(slice_skip(path, 1), stage) &&
                     (path.len == stage.len + 1 || path.ptr[stage.len + 1] == '/');
    return is_prefix && !slice_is(stage, "$default") ? slice_skip(path, stage.len + 1) : path;
}

/* The greedy parameter's value, whatever it is called. */
static struct slice proxy_value(const struct reading *reading, struct slice route)
{
    size_t open = route.len;
    while (open > 0 && route.ptr[open - 1] != '{')
        open--;
    if (open == 0 || route.len < open + 2)
        return SLICE_ABSENT;
    struct slice name = arena_copy(reading->arena, (struct slice){route.ptr + open, route.len - open - 2});
    return text_at(reading->root, "pathParameters", name.ptr);
}

static struct slice own_path(const struct reading *reading, struct slice path)
{
    struct slice route;
    switch (reading->event->front) {
    case FRONT_ALB:
        return path;
    case FRONT_REST_API:
        route = text_at(reading->root, NULL, "resource");
        if (slice_starts_with(route, SLICE("/")))
            return without_prefix(path, route, proxy_value(reading, route));
        return without_stage(path, text_at(reading->context, NULL, "stage")); /* "$default" of an HTTP API */
    case FRONT_HTTP_API:
        break;
    }
    struct slice method;
    route = text_at(reading->root, NULL, "routeKey"); /* "GET /products/{id}", "$default" */
    path = without_stage(path, text_at(reading->context, NULL, "stage"));
    if (!slice_split(&route, ' ', &method) || slice_is_absent(route))
        return path;
    return without_prefix(path, route, proxy_value(reading, route));
}

static bool append_path(struct reading *reading, struct buf *target)
{
    struct slice path = reading->event->front == FRONT_HTTP_API ? text_at(reading->root, NULL, "rawPath")
                                                                : text_at(reading->root, NULL, "path");
    if (slice_is_absent(path))
        return malformed(reading, "path (rawPath in format 2.0) must be a string");
    path = own_path(reading, path);
    if (path.len == 0)
        path = SLICE("/");
    append_as_sent(target, path, "/!$&'()*+,;=:@");
    return true;
}

/* ---- the query ---- */

static void append_parameter(const struct reading *reading, struct buf *target, size_t *count,
                             struct slice name, struct slice value)
{
    buf_append_char(target, (*count)++ == 0 ? '?' : '&');
    if (reading->event->front == FRONT_ALB) { /* it hands them on as they were sent */
        append_as_sent(target, name, "/!$'()*+,;:@?[]");
        buf_append_char(target, '=');
        append_as_sent(target, value, "/!$'()*+,;:@?[]=");
    } else {
        append_escaped(target, name);
        buf_append_char(target, '=');
        append_escaped(target, value);
    }
}

static bool append_parameters(struct reading *reading, struct buf *target)
{
    const json_t *lists, *singles, *list;
    const char *name;
    json_t *value;
    size_t i, count = 0;
    if (!object_at(reading, "multiValueQueryStringParameters",
                   "multiValueQueryStringParameters must be an object or null", &lists) ||
        !object_at(reading, "queryStringParameters", "queryStringParameters must be an object or null",
                   &singles))
        return false;
    json_object_foreach((json_t *)(uintptr_t)(lists != NULL ? lists : singles), name, value)
    {
        list = value;
        if (lists == NULL)
            append_parameter(reading, target, &count, slice_from(name),
                             json_is_string(value) ? text_of(value) : SLICE(""));
        else if (!json_is_array(list))
            return malformed(reading, "multiValueQueryStringParameters must hold lists of strings");
        else
            json_array_foreach(list, i, value)
                append_parameter(reading, target, &count, slice_from(name),
                                 json_is_string(value) ? text_of(value) : SLICE(""));
    }
    return true;
}

static bool read_target(struct reading *reading)
{
    struct buf target;
    buf_init(&target, reading->arena);
    if (!append_path(reading, &target))
        return false;
    if (reading->event->front != FRONT_HTTP_API) {
        if (!append_parameters(reading, &target))
            return false;
    } else {
        struct slice query = text_at(reading->root, NULL, "rawQueryString");
        if (query.len > 0)
            buf_append_char(&target, '?');
        append_as_sent(&target, query, "/!$&'()*+,;=:@?[]");
    }
    if (target.overflow)
        return malformed(reading, "the event is too large");
    reading->x->target = buf_slice(&target);
    return true;
}

/* ---- headers ---- */

/* What a client says about where it comes from. */
static bool is_forwarding(struct slice name)
{
    return slice_equals_ignore_case(name, SLICE("x-forwarded-for")) ||
           slice_equals_ignore_case(name, SLICE("forwarded"));
}

static bool take_header(struct reading *reading, struct slice name, struct slice value)
{
    if (is_forwarding(name))
        return true;
    name = arena_copy(reading->arena, name);
    value = arena_copy(reading->arena, slice_trim(value));
    if (!header_name_is_valid(name))
        return refused(reading, "A header's name holds a forbidden character");
    if (!header_value_is_valid(value))
        return refused(reading, "A header's value holds a control character");
    if (!exchange_header(reading->x, name, value))
        return refused(reading, "A header stands twice that may stand once");
    return true;
}

/* What a browser's HTTP/2 has parted is one field again (RFC 9113, 8.2.3). */
static bool take_cookies(struct reading *reading, const json_t *list)
{
    struct buf joined;
    size_t i;
    json_t *value;
    buf_init(&joined, reading->arena);
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return malformed(reading, "multiValueHeaders must hold lists of strings");
        if (i > 0)
            buf_append(&joined, SLICE("; "));
        buf_append(&joined, text_of(value));
    }
    return take_header(reading, SLICE("cookie"), buf_slice(&joined));
}

static bool take_header_list(struct reading *reading, const char *name, const json_t *list)
{
    size_t i;
    json_t *value;
    if (json_array_size(list) > 1 && slice_equals_ignore_case(slice_from(name), SLICE("cookie")))
        return take_cookies(reading, list);
    if (!json_is_array(list))
        return malformed(reading, "multiValueHeaders must hold lists of strings");
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value))
            return malformed(reading, "multiValueHeaders must hold lists of strings");
        take_header(reading, slice_from(name), text_of(value));
    }
    return true;
}

static bool read_headers(struct reading *reading)
{
    const json_t *lists, *singles;
    const char *name;
    json_t *value;
    if (!object_at(reading, "multiValueHeaders", "multiValueHeaders must be an object or null", &lists) ||
        !object_at(reading, "headers", "headers must be an object or null", &singles))
        return false;
    json_object_foreach((json_t *)(uintptr_t)(lists != NULL ? lists : singles), name, value)
    {
        if (lists != NULL && !take_header_list(reading, name, value))
            return false;
        if (lists != NULL)
            continue;
        if (!json_is_string(value))
            return malformed(reading, "headers must hold strings");
        take_header(reading, slice_from(name), text_of(value));
    }
    return true;
}

/* Format 2.0 takes them out of the headers. */
static bool read_cookies(struct reading *reading)
{
    const json_t *cookies = json_object_get(reading->root, "cookies");
    struct buf text;
    size_t i;
    json_t *cookie;
    if (reading->event->front != FRONT_HTTP_API || cookies == NULL || json_is_null(cookies))
        return true;
    if (!json_is_array(cookies))
        return malformed(reading, "cookies must be a list of strings");
    buf_init(&text, reading->arena);
    json_array_foreach(cookies, i, cookie)
    {
        if (!json_is_string(cookie))
            return malformed(reading, "cookies must be a list of strings");
        if (text.len > 0)
            buf_append(&text, SLICE("; "));
        buf_append(&text, text_of(cookie));
    }
    return text.len == 0 || take_header(reading, SLICE("cookie"), buf_slice(&text));
}

/* ---- who asks ---- */

/* A load balancer adds the address that it saw behind what the client sent. */
static struct slice last_forwarded(const struct reading *reading)
{
    const json_t *headers =
        json_object_get(reading->root, reading->event->has_multi_values ? "multiValueHeaders" : "headers");
    const char *name;
    json_t *value;
    struct slice last = SLICE_ABSENT, entry;
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (!slice_equals_ignore_case(slice_from(name), SLICE("x-forwarded-for")))
            continue;
        if (json_is_array(value) && json_array_size(value) > 0)
            value = json_array_get(value, json_array_size(value) - 1);
        struct slice rest = text_of(value);
        while (slice_split(&rest, ',', &entry))
            last = slice_trim(entry);
    }
    return last;
}

static void read_address(struct reading *reading)
{
    struct slice text;
    switch (reading->event->front) {
    case FRONT_REST_API:
        text = text_at(reading->context, "identity", "sourceIp");
        break;
    case FRONT_HTTP_API:
        text = text_at(reading->context, "http", "sourceIp");
        break;
    case FRONT_ALB:
        text = last_forwarded(reading);
        break;
    }
    struct address address;
    bool is_address = !slice_is_absent(text) && address_parse(text, &address);
    /* None in health checks of a load balancer, and in API Gateway's own trial calls. */
    reading->x->address = is_address ? address_format(reading->arena, &address) : SLICE("");
}

/* ---- the body ---- */

static bool read_body(struct reading *reading)
{
    const json_t *body = json_object_get(reading->root, "body");
    const json_t *is_base64 = json_object_get(reading->root, "isBase64Encoded");
    if (body == NULL || json_is_null(body))
        return true;
    if (!json_is_string(body))
        return malformed(reading, "body must be a string or null");
    if (is_base64 != NULL && !json_is_boolean(is_base64) && !json_is_null(is_base64))
        return malformed(reading, "isBase64Encoded must be true or false");
    struct slice text = text_of(body);
    if (!json_is_true(is_base64)) {
        reading->x->body = arena_copy(reading->arena, text);
        return true;
    }
    size_t len = 0;
    char *bytes = arena_alloc(reading->arena, text.len / 4 * 3 + 3);
    if (sodium_base642bin((unsigned char *)bytes, text.len / 4 * 3 + 3, text.ptr, text.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return malformed(reading, "body must be base64 where isBase64Encoded is true");
    reading->x->body = (struct slice){bytes, len};
    return true;
}

/* ---- all of it ---- */

static void read_all(struct reading *reading)
{
    if (!json_is_object(reading->root))
        (void)malformed(reading, "the event must be a JSON object");
    else if (find_front(reading) && read_method(reading) && read_target(reading) && read_headers(reading) &&
             read_cookies(reading) && read_body(reading))
        read_address(reading);
}

enum event_result event_read(struct slice json, struct exchange *x, struct lambda_event *event,
                             struct slice *complaint)
{
    struct reading reading = {.x = x, .arena = x->arena, .event = event};
    json_error_t error;
    *event = (struct lambda_event){.front = FRONT_REST_API};
    json_t *root =
        json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (root == NULL && json_error_code(&error) == json_error_null_byte_in_key) {
        /* A front unescapes the names of a query, and clients send what they like. */
        x->method = METHOD_GET;
        x->target = SLICE("/");
        *complaint = SLICE("A name holds a NUL");
        return EVENT_REFUSED;
    }
    if (root == NULL) {
        *complaint =
            arena_format(x->arena, "the event is no JSON: %s at byte %d", error.text, error.position);
        return EVENT_MALFORMED;
    }
    reading.root = root;
    read_all(&reading);
    json_decref(root);
    *complaint = reading.complaint;
    return reading.result;
}
