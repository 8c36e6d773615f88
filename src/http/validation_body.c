/* The body: from the JSON tree into the members that the descriptors name. */
#include "base/check.h"
#include "http/validation_decode.h"

#include <jansson.h>

static void decode_value(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                         const json_t *value, char *member);

static struct slice string_of(const json_t *value)
{
    return (struct slice){json_string_value(value), json_string_length(value)};
}

/* ---- objects ---- */

static void decode_field(struct decoder *decoder, const struct place *parent, const struct field_rule *rule,
                         const json_t *object, char *base)
{
    const struct place place = {.parent = parent, .name = slice_from(rule->name)};
    const json_t *value = json_object_get(object, rule->name);
    if (value == NULL) {
        member_leave_out(decoder, &place, rule, base);
        return;
    }
    member_mark_sent(rule, base);
    if (!json_is_null(value)) {
        decode_value(decoder, &place, rule, value, base + rule->offset);
    } else if (rule->is_nullable) {
        *(bool *)(base + rule->null_offset) = true;
    } else {
        decoder_refuse(decoder, &place, "NOT_NULL", "must not be null");
    }
}

static bool object_has_field(const struct object_rule *rule, struct slice name)
{
    for (size_t i = 0; i < rule->count; i++) {
        if (slice_is(name, rule->fields[i].name))
            return true;
    }
    return false;
}

/* First the known fields in the contract's order, then the unknown ones as they were sent. */
static void decode_object(struct decoder *decoder, const struct place *place, const struct object_rule *rule,
                          json_t *object, char *base)
{
    for (size_t i = 0; i < rule->count; i++)
        decode_field(decoder, place, &rule->fields[i], object, base);
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const struct place field = {.parent = place,
                                    .name = {json_object_iter_key(at), json_object_iter_key_len(at)}};
        if (!object_has_field(rule, field.name))
            decoder_refuse(decoder, &field, "UNKNOWN", "is not a field of this request");
    }
    if (json_object_size(object) < rule->properties_min) {
        static const struct place body = {.name = {"body", 4}};
        decoder_refuse(decoder, place != NULL ? place : &body, "MIN_PROPERTIES",
                       "must have at least %zu fields", rule->properties_min);
    }
}

static void decode_money(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                         json_t *object, char *member)
{
    const struct field_rule fields[] = {
        {.name = "amount",
         .kind = FIELD_INTEGER,
         .minimum = rule->minimum,
         .maximum = rule->maximum,
         .is_required = true,
         .offset = offsetof(struct money, amount_minor)},
        {.name = "currency",
         .kind = FIELD_TEXT,
         .format = TEXT_CURRENCY,
         .maximum = 3,
         .is_required = true,
         .offset = offsetof(struct money, currency)},
    };
    const struct object_rule money = {.fields = fields, .count = COUNT_OF(fields)};
    decode_object(decoder, place, &money, object, member);
}

/* ---- arrays ---- */

/* Any struct <item>_list of the inputs. */
struct item_list {
    const void *items;
    size_t count;
};

static bool items_equal(const struct field_rule *rule, const char *a, const char *b)
{
    if (rule->item->kind == FIELD_TEXT)
        return slice_equals(*(const struct slice *)a, *(const struct slice *)b);
    return memcmp(a, b, rule->item_size) == 0;
}

/* maxItems is small where items must differ, so every pair is compared. */
static void refuse_equal_items(struct decoder *decoder, const struct place *place,
                               const struct field_rule *rule, const char *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t before = 0; before < i; before++) {
            if (!items_equal(rule, items + i * rule->item_size, items + before * rule->item_size))
                continue;
            const struct place item = {.parent = place, .index = i};
            decoder_refuse(decoder, &item, "DUPLICATE", "must differ from the others");
            break;
        }
    }
}

static void decode_array(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                         const json_t *array, char *member)
{
    size_t count = json_array_size(array);
    if (count < (size_t)rule->minimum) {
        decoder_refuse(decoder, place, "MIN_ITEMS", "must have at least %lld items",
                       (long long)rule->minimum);
        return;
    }
    if (count > (size_t)rule->maximum) {
        decoder_refuse(decoder, place, "MAX_ITEMS", "must have at most %lld items", (long long)rule->maximum);
        return;
    }
    /* Never NULL, so that an empty list can be told from one that was not sent even without its flag. */
    char *items = arena_alloc_zero(decoder->arena, count > 0 ? count * rule->item_size : 1);
    size_t errors_before = decoder->errors->count;
    for (size_t i = 0; i < count; i++) {
        const struct place item = {.parent = place, .index = i};
        const json_t *value = json_array_get(array, i);
        if (json_is_null(value))
            decoder_refuse(decoder, &item, "NOT_NULL", "must not be null");
        else
            decode_value(decoder, &item, rule->item, value, items + i * rule->item_size);
    }
    if (rule->is_unique && decoder->errors->count == errors_before)
        refuse_equal_items(decoder, place, rule, items, count);
    *(struct item_list *)member = (struct item_list){items, count};
}

/* ---- maps of free keys ---- */

static bool check_map_key(struct decoder *decoder, const struct place *place, const struct map_rule *map)
{
    const struct field_rule key = {.kind = FIELD_TEXT, .minimum = 1, .maximum = (int64_t)map->key_length_max};
    return text_check(decoder, place, &key, place->name);
}

static void check_map_value(struct decoder *decoder, const struct place *place, const struct map_rule *map,
                            const json_t *value)
{
    const struct field_rule text = {.kind = FIELD_TEXT, .maximum = (int64_t)map->value_length_max};
    bool is_integer = json_is_integer(value) && (map->scalars & (MAP_INTEGER | MAP_NUMBER)) != 0;
    bool is_number = json_is_real(value) && (map->scalars & MAP_NUMBER) != 0;
    bool is_boolean = json_is_boolean(value) && (map->scalars & MAP_BOOLEAN) != 0;
    if (json_is_string(value) && (map->scalars & MAP_STRING) != 0)
        text_check(decoder, place, &text, string_of(value));
    else if (!is_integer && !is_number && !is_boolean)
        decoder_refuse(decoder, place, "TYPE", "must be %s",
                       map->scalars == MAP_STRING ? "a string" : "a string, a number, true or false");
}

static void decode_map(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                       json_t *object, char *member)
{
    const struct map_rule *map = rule->map;
    if (json_object_size(object) > map->count_max) {
        decoder_refuse(decoder, place, "MAX_PROPERTIES", "must have at most %zu entries", map->count_max);
        return;
    }
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const struct place entry = {.parent = place,
                                    .name = {json_object_iter_key(at), json_object_iter_key_len(at)}};
        if (check_map_key(decoder, &entry, map))
            check_map_value(decoder, &entry, map, json_object_iter_value(at));
    }
    /* 15 digits give back every decimal number of up to 15 digits as it was sent: 0.1 stays 0.1. */
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(15);
    size_t len = json_dumpb(object, NULL, 0, flags);
    char *text =
        arena_alloc(decoder->arena, len); /* a small multiple of the body, which left half the arena free */
    CHECK(json_dumpb(object, text, len, flags) == len);
    *(struct slice *)member = (struct slice){text, len};
}

/* ---- values ---- */

static const char *type_description(enum field_kind kind)
{
    switch (kind) {
    case FIELD_INTEGER:
        return "an integer";
    case FIELD_BOOLEAN:
        return "true or false";
    case FIELD_MONEY:
        return "an object with amount and currency";
    case FIELD_OBJECT:
    case FIELD_MAP:
        return "an object";
    case FIELD_ARRAY:
        return "an array";
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_TIME:
    case FIELD_ENUM:
        return "a string";
    }
    CHECK(false);
    return "";
}

static bool type_matches(enum field_kind kind, const json_t *value)
{
    switch (kind) {
    case FIELD_INTEGER:
        return json_is_integer(value);
    case FIELD_BOOLEAN:
        return json_is_boolean(value);
    case FIELD_MONEY:
    case FIELD_OBJECT:
    case FIELD_MAP:
        return json_is_object(value);
    case FIELD_ARRAY:
        return json_is_array(value);
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_TIME:
    case FIELD_ENUM:
        return json_is_string(value);
    }
    CHECK(false);
    return false;
}

static void decode_value(struct decoder *decoder, const struct place *place, const struct field_rule *rule,
                         const json_t *value, char *member)
{
    if (!type_matches(rule->kind, value)) {
        decoder_refuse(decoder, place, "TYPE", "must be %s", type_description(rule->kind));
        return;
    }
    json_t *object = (json_t *)value; /* jansson's iterators want it without const; they change nothing */
    switch (rule->kind) {
    case FIELD_INTEGER:
        decode_integer(decoder, place, rule, json_integer_value(value), member);
        break;
    case FIELD_BOOLEAN:
        *(bool *)member = json_is_true(value);
        break;
    case FIELD_MONEY:
        decode_money(decoder, place, rule, object, member);
        break;
    case FIELD_OBJECT:
        decode_object(decoder, place, rule->object, object, member);
        break;
    case FIELD_MAP:
        decode_map(decoder, place, rule, object, member);
        break;
    case FIELD_ARRAY:
        decode_array(decoder, place, rule, value, member);
        break;
    case FIELD_TEXT:
    case FIELD_UUID:
    case FIELD_TIME:
    case FIELD_ENUM:
        decode_text(decoder, place, rule, string_of(value), member);
        break;
    }
}

void decode_body(struct decoder *decoder, const struct object_rule *rule, struct slice body, char *base)
{
    static const struct place outermost = {.name = {"body", 4}};
    struct json_document document;
    json_document_parse(&document, decoder->arena, body);
    if (document.code != NULL) {
        const struct place place = {.name = document.field};
        decoder_refuse(decoder, &place, document.code, "%.*s", SLICE_ARG(document.message));
    } else if (!json_is_object(document.root)) {
        decoder_refuse(decoder, &outermost, "TYPE", "must be a JSON object");
    } else {
        decode_object(decoder, NULL, rule, document.root, base);
    }
}
