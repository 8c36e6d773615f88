/* Texts: their encoding, length and format, and the kinds of value that travel as text (ids, times,
 * enumerations). */
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "http/validation_decode.h"

#define EMAIL_BYTES_MAX 254 /* RFC 5321: a path of 256 with its angle brackets */
#define EMAIL_LOCAL_BYTES_MAX 64
#define PHONE_DIGITS_MIN 5
#define PHONE_DIGITS_MAX 15 /* E.164 */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Every character is a letter, a digit, or one of `others`; at least one. */
static bool consists_of_alphanumeric_and(struct slice text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_alpha(text.ptr[i]) && !is_digit(text.ptr[i]) &&
            (text.ptr[i] == '\0' || strchr(others, text.ptr[i]) == NULL))
            return false;
    }
    return text.len > 0;
}

/* C0, DEL and C1. In a text of several lines, line ends and tabs are what they are for. */
static bool has_control_character(struct slice text, bool is_multi_line)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_c1 = c == 0xC2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xA0;
        bool is_line_end_or_tab = c == '\n' || c == '\r' || c == '\t';
        if (is_c1 || c == 0x7F || (c < 0x20 && !(is_multi_line && is_line_end_or_tab)))
            return true;
    }
    return false;
}

static bool is_blank(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && text.ptr[i] != '\n' && text.ptr[i] != '\r' && text.ptr[i] != '\t')
            return false;
    }
    return true;
}

/* ---- formats ---- */

static bool is_dotted(struct slice text, const char *others)
{
    struct slice part;
    while (slice_split(&text, '.', &part)) {
        if (!consists_of_alphanumeric_and(part, others))
            return false;
    }
    return true;
}

/* Labels of letters, digits and inner dashes; at least two, or "localhost". */
static bool is_domain(struct slice text)
{
    if (slice_is(text, "localhost"))
        return true;
    struct slice label;
    size_t labels = 0;
    while (slice_split(&text, '.', &label)) {
        if (!consists_of_alphanumeric_and(label, "-") || label.len > 63 || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        labels++;
    }
    return labels >= 2;
}

/* ASCII only: two addresses that look alike must not be two accounts, and not every mail server takes others.
 */
static bool is_email(struct slice text)
{
    struct slice domain = text;
    struct slice local;
    if (text.len > EMAIL_BYTES_MAX || !slice_split(&domain, '@', &local) || slice_is_absent(domain))
        return false;
    return local.len <= EMAIL_LOCAL_BYTES_MAX && is_dotted(local, "!#$%&'*+/=?^_`{|}~-") && is_domain(domain);
}

/* A web address or a path of this server, with only the characters of RFC 3986; never javascript: or
 * //elsewhere. */
static bool is_uri(struct slice text)
{
    bool is_path = text.len > 0 && text.ptr[0] == '/' && !(text.len > 1 && text.ptr[1] == '/');
    struct slice rest = text;
    if (slice_starts_with(text, SLICE("https://")))
        rest = slice_skip(text, 8);
    else if (slice_starts_with(text, SLICE("http://")))
        rest = slice_skip(text, 7);
    else if (!is_path)
        return false;
    bool has_host = is_path || (rest.len > 0 && strchr("/?#:@", rest.ptr[0]) == NULL);
    return has_host && consists_of_alphanumeric_and(rest, "-._~:/?#[]@!$&'()*+,;=%");
}

static bool is_slug(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_inner_dash = c == '-' && i > 0 && i + 1 < text.len && text.ptr[i - 1] != '-';
        if (!(c >= 'a' && c <= 'z') && !is_digit(c) && !is_inner_dash)
            return false;
    }
    return text.len > 0;
}

static bool is_phone(struct slice text)
{
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_digit(c))
            digits++;
        else if (!(c == '+' && i == 0) && c != ' ' && c != '.' && c != '-' && c != '(' && c != ')')
            return false;
    }
    return digits >= PHONE_DIGITS_MIN && digits <= PHONE_DIGITS_MAX;
}

static bool is_slug_or_id(struct slice text)
{
    struct uuid id;
    return is_slug(text) || uuid_parse(text, &id);
}

bool text_format_matches(enum text_format format, struct slice text)
{
    char order_number[ORDER_NUMBER_LEN];
    switch (format) {
    case TEXT_PLAIN:
    case TEXT_PASSWORD:
        return true;
    case TEXT_EMAIL:
        return is_email(text);
    case TEXT_URI:
        return is_uri(text);
    case TEXT_SLUG:
        return is_slug(text);
    case TEXT_SLUG_OR_ID:
        return is_slug_or_id(text);
    case TEXT_CURRENCY:
        return currency_is_known(text);
    case TEXT_COUNTRY:
        return country_is_known(text);
    case TEXT_SKU:
        return consists_of_alphanumeric_and(text, "._/-");
    case TEXT_CURSOR:
        return consists_of_alphanumeric_and(text, "_-");
    case TEXT_ORDER_NUMBER:
        return order_number_parse(text, order_number);
    case TEXT_PHONE:
        return is_phone(text);
    }
    CHECK(false);
    return false;
}

const char *text_format_description(enum text_format format)
{
    switch (format) {
    case TEXT_PLAIN:
    case TEXT_PASSWORD:
        return "a text";
    case TEXT_EMAIL:
        return "an email address";
    case TEXT_URI:
        return "an http or https address, or a path that starts with /";
    case TEXT_SLUG:
        return "lower-case letters, digits and single dashes";
    case TEXT_SLUG_OR_ID:
        return "a UUID, or a slug of lower-case letters, digits and single dashes";
    case TEXT_CURRENCY:
        return "a currency code of ISO 4217 in capitals, such as USD";
    case TEXT_COUNTRY:
        return "a country code of ISO 3166-1 in capitals, such as FR";
    case TEXT_SKU:
        return "letters, digits, dots, dashes, slashes and underscores";
    case TEXT_CURSOR:
        return "a cursor that an earlier page gave";
    case TEXT_ORDER_NUMBER:
        return "an order number";
    case TEXT_PHONE:
        return "a phone number of 5 to 15 digits";
    }
    CHECK(false);
    return "";
}

/* ---- checking and storing ---- */

bool text_check(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                struct slice text)
{
    if (!text_is_valid(text)) {
        decoder_refuse(decoder, place, "UTF8", "must be valid UTF-8 without NUL");
        return false;
    }
    bool is_multi_line = rule->format == TEXT_PLAIN && rule->maximum > TEXT_LINE_MAX;
    size_t length = text_length(text);
    if (has_control_character(text, is_multi_line))
        decoder_refuse(decoder, place, "CONTROL_CHARACTER", "must not contain control characters");
    else if (length < (size_t)rule->minimum)
        decoder_refuse(decoder, place, "MIN_LENGTH", "must have at least %lld characters",
                       (long long)rule->minimum);
    else if (length > (size_t)rule->maximum)
        decoder_refuse(decoder, place, "MAX_LENGTH", "must have at most %lld characters",
                       (long long)rule->maximum);
    else if (rule->minimum > 0 && rule->format != TEXT_PASSWORD && is_blank(text))
        decoder_refuse(decoder, place, "BLANK", "must not be blank");
    else if (!text_format_matches(rule->format, text))
        decoder_refuse(decoder, place, "FORMAT", "must be %s", text_format_description(rule->format));
    else
        return true;
    return false;
}

static void refuse_enumeration(struct decoder *decoder, const struct place *place,
                               const struct enumeration_rule *rule)
{
    struct buf names;
    buf_init(&names, decoder->arena);
    for (size_t i = 0; i < rule->count; i++) {
        if (i > 0)
            buf_append(&names, SLICE(", "));
        buf_append(&names, slice_from(rule->values[i].name));
    }
    struct slice list = buf_slice(&names);
    decoder_refuse(decoder, place, "ENUM", "must be one of: %.*s", SLICE_ARG(list));
}

/* The canonical form, so that no handler ever sees another. */
static struct slice order_number_canonical(struct arena *arena, struct slice typed)
{
    char *number = arena_alloc(arena, ORDER_NUMBER_LEN);
    CHECK(order_number_parse(typed, number));
    return (struct slice){number, ORDER_NUMBER_LEN};
}

void decode_text(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                 struct slice text, char *member)
{
    switch (rule->kind) {
    case FIELD_TEXT:
        if (text_check(decoder, place, rule, text))
            *(struct slice *)member =
                rule->format == TEXT_ORDER_NUMBER ? order_number_canonical(decoder->arena, text) : text;
        break;
    case FIELD_UUID:
        if (!uuid_parse(text, (struct uuid *)member))
            decoder_refuse(decoder, place, "FORMAT", "must be a UUID");
        break;
    case FIELD_TIME:
        if (!clock_parse_rfc3339(text, (int64_t *)member))
            decoder_refuse(decoder, place, "FORMAT", "must be a time such as 2026-01-31T12:34:56Z");
        break;
    case FIELD_ENUM:
        if (!enumeration_parse(rule->enumeration, text, (int *)member))
            refuse_enumeration(decoder, place, rule->enumeration);
        break;
    case FIELD_INTEGER:
    case FIELD_BOOLEAN:
    case FIELD_MONEY:
    case FIELD_OBJECT:
    case FIELD_ARRAY:
    case FIELD_MAP:
        CHECK(false); /* these do not travel as text */
    }
}
