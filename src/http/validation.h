/* Turns what a client sent into the typed input of an operation, by a descriptor that the generator wrote
 * from the contract. Every bad field is named (up to FIELD_ERRORS_MAX); nothing unknown is let through. */
#pragma once

#include "base/arena.h"
#include "base/ids.h"
#include "base/limits.h"
#include "http/problem.h"

struct raw_parameter {
    struct slice name;
    struct slice value; /* unescaped once, valid UTF-8 not yet checked */
};

struct raw_input {
    const struct slice *path_values; /* in the order of the path's {names}, unescaped */
    size_t path_count;
    const struct raw_parameter *query;
    size_t query_count;
    struct slice body; /* absent: none was sent */
};

struct field_errors {
    struct field_error list[FIELD_ERRORS_MAX];
    size_t count;
};

struct input_rule;

/* Fills *input with a zeroed struct from the arena (NULL when the operation takes no input at all). False
 * when any field is bad; then *errors says which. Never keeps anything outside the arena; texts of the query
 * and the path stay where they are. */
bool input_decode(const struct input_rule *rule, const struct raw_input *raw, struct arena *arena,
                  void **input, struct field_errors *errors);

/* ---- what inputs are made of ---- */

struct money {
    int64_t amount_minor;
    struct slice currency; /* ISO 4217, three capitals */
};

struct slice_list {
    const struct slice *items;
    size_t count;
};

struct int64_list {
    const int64_t *items;
    size_t count;
};

struct uuid_list {
    const struct uuid *items;
    size_t count;
};

struct money_list {
    const struct money *items;
    size_t count;
};

/* How many values a body may consist of; each costs its reader a few dozen bytes, whatever it is. */
#define JSON_INPUT_VALUES_MAX 20000

/* ---- descriptors, written by tools/contract ---- */

enum field_kind {
    FIELD_TEXT,    /* struct slice */
    FIELD_INTEGER, /* int64_t; 1.0 and 1e3 are no integers */
    FIELD_BOOLEAN, /* bool */
    FIELD_UUID,    /* struct uuid */
    FIELD_TIME,    /* int64_t milliseconds, from RFC 3339 */
    FIELD_MONEY,   /* struct money */
    FIELD_ENUM,    /* a C enumeration */
    FIELD_OBJECT,  /* a struct by value */
    FIELD_ARRAY,   /* struct <item>_list */
    FIELD_MAP      /* struct slice: compact JSON text of an object with free keys and scalar values */
};

/* Texts are valid UTF-8 without control characters; a plain text longer than TEXT_LINE_MAX code points may
 * have several lines, so line feed, carriage return and tab are let through there. A text that must not be
 * empty must not be blank, but a password may. */
#define TEXT_LINE_MAX 255

enum text_format {
    TEXT_PLAIN,
    TEXT_EMAIL,        /* one @, no spaces, at most 254 bytes, a domain with a dot or "localhost" */
    TEXT_URI,          /* http://, https:// or a path that starts with one slash */
    TEXT_SLUG,         /* a-z, 0-9 and single dashes inside */
    TEXT_SLUG_OR_ID,   /* a slug or a UUID */
    TEXT_CURRENCY,     /* an active code of ISO 4217 */
    TEXT_COUNTRY,      /* ISO 3166-1 alpha-2 */
    TEXT_SKU,          /* A-Z a-z 0-9 . _ / - without spaces */
    TEXT_CURSOR,       /* base64url; its content is page.c's business */
    TEXT_ORDER_NUMBER, /* as people type it; arrives in its canonical form */
    TEXT_PASSWORD,     /* any text; blanks are kept */
    TEXT_PHONE         /* an optional +, then digits, spaces, dots, dashes, brackets; 5 to 15 digits */
};

struct enumeration_value {
    const char *name;
    int value;
};

struct enumeration_rule {
    const struct enumeration_value *values;
    size_t count;
};

/* The scalars that a map's values may be. */
enum map_scalars { MAP_STRING = 1, MAP_INTEGER = 2, MAP_NUMBER = 4, MAP_BOOLEAN = 8 };

struct map_rule {
    unsigned scalars; /* bits of enum map_scalars */
    size_t key_length_max;
    size_t value_length_max;
    size_t count_max;
};

struct object_rule;

struct field_rule {
    const char *name; /* as the client sends it */
    enum field_kind kind;
    enum text_format format;
    bool is_required;
    bool is_nullable;
    bool is_unique; /* an array: no two items alike */
    bool has_default;
    size_t offset;      /* of the member in its struct */
    size_t has_offset;  /* of `has_x`; 0: there is none (a flag never stands first) */
    size_t null_offset; /* of `x_is_null`; 0: there is none */
    int64_t minimum;    /* of the integer or amount, the text's length in code points, the array's count */
    int64_t maximum;
    int64_t default_value; /* integer, boolean, enumeration */
    const char *default_text;
    const struct enumeration_rule *enumeration;
    const struct object_rule *object;
    const struct map_rule *map;
    const struct field_rule *item; /* of an array; its offset is 0 */
    size_t item_size;
};

struct object_rule {
    const struct field_rule *fields;
    size_t count;
    size_t properties_min; /* how many keys must be sent */
};

struct input_rule {
    size_t size; /* of the input struct; 0: none */
    const struct field_rule *path;
    size_t path_count;
    const struct field_rule *query;
    size_t query_count;
    const struct object_rule *body; /* NULL: takes none */
    bool body_is_required;
};

/* For the name and parse functions of generated enumerations. `name` is a literal; NULL and false for what is
 * not in it. */
const char *enumeration_name(const struct enumeration_rule *rule, int value);
bool enumeration_parse(const struct enumeration_rule *rule, struct slice name, int *value);
