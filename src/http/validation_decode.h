/* Shared by the files of validation: naming the place of a field, refusing it, and putting its value into the
 * input. */
#pragma once

#include "http/validation.h"

/* Where a value stands in the request. A chain on the C stack, rendered only when something is refused. */
struct place {
    const struct place *parent; /* NULL: outermost */
    struct slice name;          /* absent: an item of an array, `index` */
    size_t index;
};

/* A name that the client invented, cut between two characters when it is long. */
struct slice shown_name(struct slice name);

struct decoder {
    struct arena *arena;
    struct field_errors *errors;
};

/* Notes a bad field; `format` tells the rule ("must be at most 99"). Past FIELD_ERRORS_MAX it does nothing.
 */
void decoder_refuse(struct decoder *decoder, const struct place *place, const char *code, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

/* The decoder of each kind of source checks the value and writes the member at `member`; what is bad is
 * refused. */
void decode_text(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                 struct slice text, char *member);
void decode_integer(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                    int64_t value, char *member);
/* Fills the members of the struct at `base` from the JSON text; `rule` is the body's. */
void decode_body(struct decoder *decoder, const struct object_rule *rule, struct slice body, char *base);
/* Marks the key as sent. */
void member_mark_sent(const struct field_rule *rule, char *base);
/* Fills the member of a key that was not sent: its default, or refuses when it is required. */
void member_leave_out(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                      char *base);

/* Checks a text against rule: encoding, control characters, length, format. False when it was refused. */
bool text_check(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                struct slice text);
/* One of the formats; `what` is what to call it in a message. */
bool text_format_matches(enum text_format format, struct slice text);
const char *text_format_description(enum text_format format);
bool currency_is_known(struct slice code);
bool country_is_known(struct slice code);

/* What the JSON parser found; `root` lives in the arena (see validation_json.c) and is never released. */
struct json_document {
    struct json_t *root;
    const char *code; /* of the rule that is broken; NULL: none */
    struct slice field;
    struct slice message;
};

void json_document_parse(struct json_document *document, struct arena *arena, struct slice text);
