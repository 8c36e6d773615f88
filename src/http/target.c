/* Cutting and unescaping targets. */
#include "http/target.h"

#include "base/crypto.h"
#include "base/limits.h"

/* Bytes that may stand in a target; '%' is looked at when it is unescaped. Raw non-ASCII and the characters
 * that RFC 3986 forbids but some clients send ('"', '<', '>', '\\', '^', '`', '{', '|', '}', '[', ']') are
 * harmless, '[' and ']' usual: only what could confuse a proxy or a log is refused. */
static bool is_target_byte(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

bool target_split(struct slice raw, struct target *target)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (!is_target_byte((unsigned char)raw.ptr[i]))
            return false;
    }
    size_t scheme = slice_starts_with(raw, SLICE("http://"))    ? 7
                    : slice_starts_with(raw, SLICE("https://")) ? 8
                                                                : 0;
    if (scheme > 0) { /* absolute-form: the authority is the business of whoever sent it */
        raw = slice_skip(raw, scheme);
        size_t authority = 0;
        while (authority < raw.len && raw.ptr[authority] != '/' && raw.ptr[authority] != '?')
            authority++;
        raw = slice_skip(raw, authority);
        if (raw.len == 0)
            raw = SLICE("/");
    }
    if (raw.len == 0 || (raw.ptr[0] != '/' && !slice_equals(raw, SLICE("*"))))
        return false;
    const char *mark = memchr(raw.ptr, '?', raw.len);
    size_t path_len = mark ? (size_t)(mark - raw.ptr) : raw.len;
    target->path = (struct slice){raw.ptr, path_len};
    target->query = mark ? slice_skip(raw, path_len + 1) : SLICE_ABSENT;
    return true;
}

bool target_unescape(struct arena *arena, struct slice raw, bool plus_is_space, struct slice *out)
{
    size_t plain = 0;
    while (plain < raw.len && raw.ptr[plain] != '%' && !(plus_is_space && raw.ptr[plain] == '+'))
        plain++;
    if (plain == raw.len) {
        *out = raw;
        return true;
    }
    char *text = arena_try_alloc(arena, raw.len + 1);
    if (text == NULL)
        return false;
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            int low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[len++] = c;
    }
    text[len] = '\0';
    *out = (struct slice){text, len};
    return true;
}

bool target_parse_query(struct arena *arena, struct slice query, struct raw_parameter *list, size_t *count)
{
    *count = 0;
    struct slice part;
    while (slice_split(&query, '&', &part)) {
        if (part.len == 0)
            continue; /* "a=1&&b=2", and the empty query of "/products?" */
        if (*count == QUERY_PARAMETERS_MAX)
            return false;
        struct slice name = part;
        const char *equals = memchr(part.ptr, '=', part.len);
        struct slice value = SLICE("");
        if (equals != NULL) {
            name.len = (size_t)(equals - part.ptr);
            value = slice_skip(part, name.len + 1);
        }
        struct raw_parameter *parameter = &list[*count];
        if (!target_unescape(arena, name, true, &parameter->name) ||
            !target_unescape(arena, value, true, &parameter->value))
            return false;
        (*count)++;
    }
    return true;
}
