/* Reading header fields. */
#include "http/headers.h"

#include "base/check.h"
#include "base/limits.h"

#define REQUEST_ID_BYTES_MAX 128

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What a character may stand in: every byte of a request's head is looked at, so a table decides. */
enum {
    IN_NAME = 1,  /* RFC 9110, 5.6.2: token */
    IN_VALUE = 2, /* RFC 9110, 5.5: no control character but the tab */
    IN_TOKEN = 4  /* RFC 6750, 2.1: b64token */
};
#define IN_ALL (IN_NAME | IN_VALUE | IN_TOKEN)

static const uint8_t CLASSES[256] = {
    ['\t'] = IN_VALUE,
    [' '] = IN_VALUE,
    ['!'] = IN_NAME | IN_VALUE,
    ['"'] = IN_VALUE,
    ['#' ... '\''] = IN_NAME | IN_VALUE, /* # $ % & ' */
    ['(' ... ')'] = IN_VALUE,
    ['*'] = IN_NAME | IN_VALUE,
    ['+'] = IN_ALL,
    [','] = IN_VALUE,
    ['-' ... '.'] = IN_ALL,
    ['/'] = IN_VALUE | IN_TOKEN,
    ['0' ... '9'] = IN_ALL,
    [':' ... '<'] = IN_VALUE,
    ['='] = IN_VALUE | IN_TOKEN,
    ['>' ... '@'] = IN_VALUE,
    ['A' ... 'Z'] = IN_ALL,
    ['[' ... ']'] = IN_VALUE,
    ['^'] = IN_NAME | IN_VALUE,
    ['_'] = IN_ALL,
    ['`'] = IN_NAME | IN_VALUE,
    ['a' ... 'z'] = IN_ALL,
    ['{'] = IN_VALUE,
    ['|'] = IN_NAME | IN_VALUE,
    ['}'] = IN_VALUE,
    ['~'] = IN_ALL,
    [0x80 ... 0xff] = IN_VALUE,
};

static bool is_all(struct slice text, uint8_t class)
{
    size_t i = 0;
    while (i < text.len && (CLASSES[(uint8_t)text.ptr[i]] & class) != 0)
        i++;
    return i == text.len;
}

bool header_name_is_valid(struct slice name)
{
    return name.len > 0 && is_all(name, IN_NAME);
}

bool header_value_is_valid(struct slice value)
{
    return is_all(value, IN_VALUE);
}

bool header_next_element(struct slice *rest, char separator, struct slice *element)
{
    if (slice_is_absent(*rest))
        return false;
    bool in_quotes = false;
    size_t i = 0;
    for (; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (c == '"')
            in_quotes = !in_quotes;
        else if (c == '\\' && in_quotes)
            i++;
        else if (c == separator && !in_quotes)
            break;
    }
    if (i >= rest->len) {
        *element = slice_trim(*rest);
        *rest = SLICE_ABSENT;
    } else {
        *element = slice_trim((struct slice){rest->ptr, i});
        *rest = slice_skip(*rest, i + 1);
    }
    return true;
}

/* "q=0", "q=0.000": the client says that it does not want it. */
static bool weight_is_zero(struct slice parameters)
{
    struct slice parameter;
    while (header_next_element(&parameters, ';', &parameter)) {
        if (parameter.len < 3 || (parameter.ptr[0] | 0x20) != 'q' || parameter.ptr[1] != '=')
            continue;
        for (size_t i = 2; i < parameter.len; i++) {
            if (parameter.ptr[i] != '0' && parameter.ptr[i] != '.')
                return false;
        }
        return true;
    }
    return false;
}

bool header_accepts_json(struct slice accept)
{
    /* The most specific range decides, so that JSON with q=0 beside a wildcard is a refusal. */
    int best = 0;
    bool is_accepted = false;
    struct slice element;
    while (header_next_element(&accept, ',', &element)) {
        struct slice type;
        struct slice parameters = element;
        (void)header_next_element(&parameters, ';', &type);
        int precision = slice_is(type, "*/*")                                               ? 1
                        : slice_equals_ignore_case(type, SLICE("application/*"))            ? 2
                        : slice_equals_ignore_case(type, SLICE("application/json"))         ? 3
                        : slice_equals_ignore_case(type, SLICE("application/problem+json")) ? 3
                                                                                            : 0;
        if (precision == 0 || precision < best)
            continue;
        bool is_wanted = !weight_is_zero(parameters);
        is_accepted = precision > best ? is_wanted : is_accepted || is_wanted;
        best = precision;
    }
    return is_accepted;
}

bool header_is_json(struct slice content_type)
{
    struct slice type;
    if (!header_next_element(&content_type, ';', &type) ||
        !slice_equals_ignore_case(type, SLICE("application/json")))
        return false;
    struct slice parameter;
    while (header_next_element(&content_type, ';', &parameter)) {
        static const char CHARSET[] = "charset=";
        struct slice name = {parameter.ptr,
                             parameter.len < sizeof(CHARSET) - 1 ? parameter.len : sizeof(CHARSET) - 1};
        if (!slice_equals_ignore_case(name, SLICE("charset=")))
            continue; /* other parameters mean nothing for JSON */
        struct slice value = slice_skip(parameter, sizeof(CHARSET) - 1);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = (struct slice){value.ptr + 1, value.len - 2};
        if (!slice_equals_ignore_case(value, SLICE("utf-8")))
            return false;
    }
    return true;
}

bool header_bearer(struct slice authorization, struct slice *token)
{
    static const struct slice scheme = {"Bearer ", 7};
    if (authorization.len <= scheme.len ||
        !slice_equals_ignore_case((struct slice){authorization.ptr, scheme.len}, scheme))
        return false;
    *token = slice_trim(slice_skip(authorization, scheme.len));
    return token->len > 0 && is_all(*token, IN_TOKEN);
}

bool header_request_id_is_sane(struct slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!is_letter_or_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
    }
    return id.len > 0 && id.len <= REQUEST_ID_BYTES_MAX;
}

bool header_idempotency_key_is_valid(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        if ((unsigned char)key.ptr[i] < 0x20 || (unsigned char)key.ptr[i] > 0x7e)
            return false;
    }
    return key.len > 0 && key.len <= IDEMPOTENCY_KEY_BYTES_MAX;
}

/* An entity tag without W/: quotes around bytes that are no quote, control or space. */
static bool is_entity_tag(struct slice tag)
{
    if (tag.len < 2 || tag.ptr[0] != '"' || tag.ptr[tag.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < tag.len; i++) {
        unsigned char c = (unsigned char)tag.ptr[i];
        if (c <= 0x20 || c == '"' || c == 0x7f)
            return false;
    }
    return true;
}

static struct slice without_weakness(struct slice tag)
{
    return slice_starts_with(tag, SLICE("W/")) ? slice_skip(tag, 2) : tag;
}

enum if_match header_if_match(struct slice if_match, int64_t *version)
{
    struct slice tag = slice_trim(if_match);
    if (slice_is(tag, "*"))
        return IF_MATCH_ANY;
    if (!is_entity_tag(without_weakness(tag)))
        return IF_MATCH_MALFORMED;
    *version = -1; /* a well-formed tag that cannot be one of ours matches nothing: 412 */
    struct slice inner = tag.ptr[0] == '"' ? (struct slice){tag.ptr + 1, tag.len - 2} : SLICE("");
    struct slice number;
    long long parsed;
    if (inner.len < 2 || inner.ptr[0] != 'v')
        return IF_MATCH_VERSION;
    inner = slice_skip(inner, 1);
    if (slice_split(&inner, '-', &number) && !slice_is_absent(inner) && slice_to_int64(number, &parsed) &&
        parsed >= 0)
        *version = parsed;
    return IF_MATCH_VERSION;
}

bool header_none_match_has(struct slice if_none_match, struct slice etag, enum content_coding *coding)
{
    struct slice element;
    while (header_next_element(&if_none_match, ',', &element)) {
        if (slice_is(element, "*") || coding_etag_matches(without_weakness(element), etag, coding))
            return true;
    }
    return false;
}

bool header_has_directive(struct slice cache_control, struct slice directive)
{
    struct slice element;
    while (header_next_element(&cache_control, ',', &element)) {
        if (slice_equals_ignore_case(element, directive))
            return true;
    }
    return false;
}

struct slice header_cookie(struct slice cookie, struct slice name)
{
    struct slice pair;
    while (header_next_element(&cookie, ';', &pair)) {
        if (pair.len > name.len && pair.ptr[name.len] == '=' && slice_starts_with(pair, name))
            return slice_skip(pair, name.len + 1);
    }
    return SLICE_ABSENT;
}

enum http_method http_method_parse(struct slice name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } METHODS[] = {
        {"GET", METHOD_GET},     {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},       {"PUT", METHOD_PUT},
        {"PATCH", METHOD_PATCH}, {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS},
    };
    for (size_t i = 0; i < COUNT_OF(METHODS); i++) {
        if (slice_is(name, METHODS[i].name))
            return METHODS[i].method;
    }
    return METHOD_OTHER;
}
