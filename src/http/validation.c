/* Validation, the outer part: path, query and body of a request into one typed struct. The values themselves
 * are checked in validation_text.c (texts), validation_body.c (JSON) and here (what both have in common). */
#include "http/validation.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/text.h"
#include "http/validation_decode.h"

#include <stdarg.h>

#define SHOWN_NAME_BYTES_MAX 64 /* of a name that the client invented */

struct slice shown_name(struct slice name)
{
    if (name.len <= SHOWN_NAME_BYTES_MAX)
        return name;
    size_t len = SHOWN_NAME_BYTES_MAX;
    while (len > 0 && ((unsigned char)name.ptr[len] & 0xC0) == 0x80)
        len--;
    return (struct slice){name.ptr, len};
}

static void place_write(const struct place *place, struct buf *out)
{
    if (place->parent != NULL)
        place_write(place->parent, out);
    if (slice_is_absent(place->name)) {
        buf_append_char(out, '[');
        buf_append_int(out, (int64_t)place->index);
        buf_append_char(out, ']');
        return;
    }
    if (out->len > 0)
        buf_append_char(out, '.');
    buf_append(out, shown_name(place->name));
}

void decoder_refuse(struct decoder *decoder, const struct place *place, const char *code, const char *format,
                    ...)
{
    if (decoder->errors->count == FIELD_ERRORS_MAX)
        return;
    struct buf path;
    buf_init(&path, decoder->arena);
    place_write(place, &path);
    va_list list;
    va_start(list, format);
    struct slice message = arena_format_list(decoder->arena, format, list);
    va_end(list);
    decoder->errors->list[decoder->errors->count++] =
        (struct field_error){.field = buf_slice(&path), .code = code, .message = message};
}

void member_mark_sent(const struct field_rule *rule, char *base)
{
    if (rule->has_offset != 0)
        *(bool *)(base + rule->has_offset) = true;
}

void member_leave_out(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                      char *base)
{
    if (rule->is_required) {
        decoder_refuse(decoder, place, "REQUIRED", "is required");
        return;
    }
    if (!rule->has_default)
        return;
    char *member = base + rule->offset;
    switch (rule->kind) {
    case FIELD_TEXT:
        *(struct slice *)member = slice_from(rule->default_text);
        break;
    case FIELD_INTEGER:
        *(int64_t *)member = rule->default_value;
        break;
    case FIELD_BOOLEAN:
        *(bool *)member = rule->default_value != 0;
        break;
    case FIELD_ENUM:
        *(int *)member = (int)rule->default_value;
        break;
    case FIELD_UUID:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_OBJECT:
    case FIELD_ARRAY:
    case FIELD_MAP:
        CHECK(false); /* the generator gives these no default */
    }
}

void decode_integer(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                    int64_t value, char *member)
{
    if (value < rule->minimum)
        decoder_refuse(decoder, place, "MIN", "must be at least %lld", (long long)rule->minimum);
    else if (value > rule->maximum)
        decoder_refuse(decoder, place, "MAX", "must be at most %lld", (long long)rule->maximum);
    else
        *(int64_t *)member = value;
}

enum integer_text { INTEGER_OK, INTEGER_MALFORMED, INTEGER_TOO_SMALL, INTEGER_TOO_LARGE };

/* As JSON writes integers: no plus, no leading zeros, no fraction, no exponent. */
static enum integer_text integer_parse(struct slice text, int64_t *value)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    struct slice digits = slice_skip(text, is_negative ? 1 : 0);
    if (digits.len == 0 || (digits.len > 1 && digits.ptr[0] == '0'))
        return INTEGER_MALFORMED;
    bool overflows = false;
    int64_t sum = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return INTEGER_MALFORMED;
        int64_t digit = digits.ptr[i] - '0';
        overflows = overflows || __builtin_mul_overflow(sum, 10, &sum) ||
                    __builtin_add_overflow(sum, is_negative ? -digit : digit, &sum);
    }
    *value = sum;
    if (!overflows)
        return INTEGER_OK;
    return is_negative ? INTEGER_TOO_SMALL : INTEGER_TOO_LARGE;
}

static void decode_integer_text(struct decoder *decoder, const struct place *place,
                                const struct field_rule *rule, struct slice text, char *member)
{
    int64_t value;
    switch (integer_parse(text, &value)) {
    case INTEGER_OK:
        decode_integer(decoder, place, rule, value, member);
        break;
    case INTEGER_MALFORMED:
        decoder_refuse(decoder, place, "TYPE", "must be an integer");
        break;
    case INTEGER_TOO_SMALL:
        decoder_refuse(decoder, place, "MIN", "must be at least %lld", (long long)rule->minimum);
        break;
    case INTEGER_TOO_LARGE:
        decoder_refuse(decoder, place, "MAX", "must be at most %lld", (long long)rule->maximum);
        break;
    }
}

/* A parameter of the path or the query: always text, of a scalar kind. */
static void decode_parameter(struct decoder *decoder, const struct field_rule *rule, struct slice text,
                             char *base)
{
    const struct place place = {.name = slice_from(rule->name)};
    char *member = base + rule->offset;
    member_mark_sent(rule, base);
    if (rule->kind == FIELD_INTEGER) {
        decode_integer_text(decoder, &place, rule, text, member);
    } else if (rule->kind == FIELD_BOOLEAN) {
        if (slice_is(text, "true") || slice_is(text, "false"))
            *(bool *)member = text.len == 4;
        else
            decoder_refuse(decoder, &place, "TYPE", "must be true or false");
    } else {
        decode_text(decoder, &place, rule, text, member);
    }
}

static const struct field_rule *find_rule(const struct field_rule *rules, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, rules[i].name))
            return &rules[i];
    }
    return NULL;
}

static void decode_query(struct decoder *decoder, const struct input_rule *rule, const struct raw_input *raw,
                         char *base)
{
    bool seen[QUERY_PARAMETERS_MAX] = {false};
    CHECK(rule->query_count <= COUNT_OF(seen));
    for (size_t i = 0; i < raw->query_count; i++) {
        const struct raw_parameter *parameter = &raw->query[i];
        const struct field_rule *field = find_rule(rule->query, rule->query_count, parameter->name);
        if (field == NULL) {
            bool is_readable = text_is_valid(parameter->name);
            const struct place place = {.name = is_readable ? parameter->name : SLICE("query")};
            if (is_readable)
                decoder_refuse(decoder, &place, "UNKNOWN", "is not a parameter of this operation");
            else
                decoder_refuse(decoder, &place, "UTF8", "has a name that is not valid UTF-8");
        } else if (seen[field - rule->query]) {
            const struct place place = {.name = parameter->name};
            decoder_refuse(decoder, &place, "DUPLICATE", "must be sent once");
        } else {
            seen[field - rule->query] = true;
            decode_parameter(decoder, field, parameter->value, base);
        }
    }
    for (size_t i = 0; i < rule->query_count; i++) {
        const struct place place = {.name = slice_from(rule->query[i].name)};
        if (!seen[i])
            member_leave_out(decoder, &place, &rule->query[i], base);
    }
}

static void decode_optional_body(struct decoder *decoder, const struct input_rule *rule, struct slice body,
                                 char *base)
{
    static const struct place place = {.name = {"body", 4}};
    bool is_absent = slice_is_absent(body) || body.len == 0;
    if (rule->body == NULL) {
        if (!is_absent)
            decoder_refuse(decoder, &place, "UNKNOWN", "this operation takes no body");
    } else if (!is_absent) {
        decode_body(decoder, rule->body, body, base);
    } else if (rule->body_is_required) {
        decoder_refuse(decoder, &place, "REQUIRED", "a JSON object is required");
    } else {
        /* None of its members is required then: an operation that needs one needs its body. */
        for (size_t i = 0; i < rule->body->count; i++)
            member_leave_out(decoder, &(struct place){.name = slice_from(rule->body->fields[i].name)},
                             &rule->body->fields[i], base);
    }
}

bool input_decode(const struct input_rule *rule, const struct raw_input *raw, struct arena *arena,
                  void **input, struct field_errors *errors)
{
    struct decoder decoder = {.arena = arena, .errors = errors};
    /* An operation without input gets a byte that nobody reads, so that `base` is never NULL below. */
    char *base = arena_alloc_zero(arena, rule->size > 0 ? rule->size : 1);
    errors->count = 0;
    *input = rule->size > 0 ? base : NULL;
    CHECK(raw->path_count == rule->path_count); /* the router matched this very path */
    for (size_t i = 0; i < rule->path_count; i++)
        decode_parameter(&decoder, &rule->path[i], raw->path_values[i], base);
    decode_query(&decoder, rule, raw, base);
    decode_optional_body(&decoder, rule, raw->body, base);
    return errors->count == 0;
}

const char *enumeration_name(const struct enumeration_rule *rule, int value)
{
    for (size_t i = 0; i < rule->count; i++) {
        if (rule->values[i].value == value)
            return rule->values[i].name;
    }
    return NULL;
}

bool enumeration_parse(const struct enumeration_rule *rule, struct slice name, int *value)
{
    for (size_t i = 0; i < rule->count; i++) {
        if (slice_is(name, rule->values[i].name)) {
            *value = rule->values[i].value;
            return true;
        }
    }
    return false;
}
