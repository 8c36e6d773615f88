/* input_decode on a hand-written descriptor: what is let through arrives typed, and each rule is refused with
 * its exact path, code and message. */
#include "http/validation.h"

#include "base/buf.h"
#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the operation under test: PUT /things/{id}?limit=&active=&sort=&after=&q= ---- */

enum color { COLOR_RED, COLOR_GREEN };
enum sort { SORT_NAME = 3, SORT_NAME_DESC = 7 };

struct part {
    struct slice code;
    int64_t quantity;
    bool has_quantity;
};

struct part_list {
    const struct part *items;
    size_t count;
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): laid out as the generator lays structs out */
struct thing_input {
    struct uuid id;
    int64_t limit;
    bool has_limit;
    bool active;
    bool has_active;
    enum sort sort;
    bool has_sort;
    int64_t after_ms;
    bool has_after_ms;
    struct slice q;
    bool has_q;
    struct slice name;
    struct slice note;
    bool has_note;
    bool note_is_null;
    int64_t count;
    bool has_count;
    bool visible;
    bool has_visible;
    enum color color;
    bool has_color;
    struct money price;
    bool has_price;
    bool price_is_null;
    struct part main_part;
    bool has_main_part;
    struct part_list parts;
    bool has_parts;
    struct slice_list tags;
    bool has_tags;
    struct slice facts;
    bool has_facts;
    struct slice labels;
    bool has_labels;
    struct slice order_number;
    bool has_order_number;
    struct slice line;
    bool has_line;
    struct uuid_list ids;
    bool has_ids;
};

#define AT(member) .offset = offsetof(struct thing_input, member)
#define OPTIONAL(member) AT(member), .has_offset = offsetof(struct thing_input, has_##member)

static const struct enumeration_value color_values[] = {{"red", COLOR_RED}, {"green", COLOR_GREEN}};
static const struct enumeration_rule color_rule = {color_values, COUNT_OF(color_values)};
static const struct enumeration_value sort_values[] = {{"name", SORT_NAME}, {"-name", SORT_NAME_DESC}};
static const struct enumeration_rule sort_rule = {sort_values, COUNT_OF(sort_values)};

static const struct field_rule path_fields[] = {
    {.name = "id", .kind = FIELD_UUID, .is_required = true, AT(id)},
};
static const struct field_rule query_fields[] = {
    {.name = "limit",
     .kind = FIELD_INTEGER,
     .minimum = 1,
     .maximum = 100,
     .has_default = true,
     .default_value = 20,
     OPTIONAL(limit)},
    {.name = "active", .kind = FIELD_BOOLEAN, OPTIONAL(active)},
    {.name = "sort",
     .kind = FIELD_ENUM,
     .enumeration = &sort_rule,
     .has_default = true,
     .default_value = SORT_NAME_DESC,
     OPTIONAL(sort)},
    {.name = "after[gte]", .kind = FIELD_TIME, OPTIONAL(after_ms)},
    {.name = "q", .kind = FIELD_TEXT, .minimum = 1, .maximum = 5, OPTIONAL(q)},
};
static const struct field_rule part_fields[] = {
    {.name = "code",
     .kind = FIELD_TEXT,
     .minimum = 1,
     .maximum = 4,
     .is_required = true,
     .offset = offsetof(struct part, code)},
    {.name = "quantity",
     .kind = FIELD_INTEGER,
     .minimum = 1,
     .maximum = 99,
     .has_default = true,
     .default_value = 1,
     .offset = offsetof(struct part, quantity),
     .has_offset = offsetof(struct part, has_quantity)},
};
static const struct object_rule part_rule = {.fields = part_fields, .count = COUNT_OF(part_fields)};
static const struct field_rule parts_item = {.kind = FIELD_OBJECT, .object = &part_rule};
static const struct field_rule tags_item = {.kind = FIELD_TEXT, .minimum = 1, .maximum = 5};
static const struct field_rule ids_item = {.kind = FIELD_UUID};
static const struct map_rule facts_map = {.scalars = MAP_STRING | MAP_NUMBER | MAP_BOOLEAN,
                                          .key_length_max = 5,
                                          .value_length_max = 6,
                                          .count_max = 3};
static const struct map_rule labels_map = {
    .scalars = MAP_STRING, .key_length_max = 5, .value_length_max = 6, .count_max = 3};
static const struct field_rule body_fields[] = {
    {.name = "name", .kind = FIELD_TEXT, .minimum = 2, .maximum = 6, .is_required = true, AT(name)},
    {.name = "note",
     .kind = FIELD_TEXT,
     .maximum = 300,
     .is_nullable = true,
     OPTIONAL(note),
     .null_offset = offsetof(struct thing_input, note_is_null)},
    {.name = "count", .kind = FIELD_INTEGER, .minimum = -5, .maximum = 99, OPTIONAL(count)},
    {.name = "visible", .kind = FIELD_BOOLEAN, .has_default = true, .default_value = true, OPTIONAL(visible)},
    {.name = "color", .kind = FIELD_ENUM, .enumeration = &color_rule, OPTIONAL(color)},
    {.name = "price",
     .kind = FIELD_MONEY,
     .minimum = 0,
     .maximum = 5000,
     .is_nullable = true,
     OPTIONAL(price),
     .null_offset = offsetof(struct thing_input, price_is_null)},
    {.name = "mainPart", .kind = FIELD_OBJECT, .object = &part_rule, OPTIONAL(main_part)},
    {.name = "parts",
     .kind = FIELD_ARRAY,
     .minimum = 1,
     .maximum = 3,
     .item = &parts_item,
     .item_size = sizeof(struct part),
     OPTIONAL(parts)},
    {.name = "tags",
     .kind = FIELD_ARRAY,
     .maximum = 3,
     .item = &tags_item,
     .item_size = sizeof(struct slice),
     .is_unique = true,
     OPTIONAL(tags)},
    {.name = "facts", .kind = FIELD_MAP, .map = &facts_map, OPTIONAL(facts)},
    {.name = "labels", .kind = FIELD_MAP, .map = &labels_map, OPTIONAL(labels)},
    {.name = "orderNumber",
     .kind = FIELD_TEXT,
     .format = TEXT_ORDER_NUMBER,
     .maximum = 40,
     OPTIONAL(order_number)},
    {.name = "line", .kind = FIELD_TEXT, .maximum = TEXT_LINE_MAX, OPTIONAL(line)},
    {.name = "ids",
     .kind = FIELD_ARRAY,
     .maximum = 3,
     .item = &ids_item,
     .item_size = sizeof(struct uuid),
     .is_unique = true,
     OPTIONAL(ids)},
};
static const struct object_rule body_rule = {.fields = body_fields, .count = COUNT_OF(body_fields)};
static const struct input_rule thing_rule = {
    .size = sizeof(struct thing_input),
    .path = path_fields,
    .path_count = COUNT_OF(path_fields),
    .query = query_fields,
    .query_count = COUNT_OF(query_fields),
    .body = &body_rule,
    .body_is_required = true,
};

/* ---- decoding in a test ---- */

#define GOOD_ID "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a10"
#define OTHER_ID "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a11"
#define GOOD_BODY "{\"name\":\"Ada\"}"
#define QUERY_MAX 4
#define NAME_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xC3\xA9"

struct sample {
    struct slice id;
    struct raw_parameter query[QUERY_MAX];
    size_t query_count;
    struct slice body;
};

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    return arena_init(&arena, ARENA_REQUEST_BYTES) ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static bool decode(const struct input_rule *rule, const struct sample *sample, struct thing_input **input,
                   struct field_errors *errors)
{
    const struct raw_input raw = {.path_values = &sample->id,
                                  .path_count = rule->path_count,
                                  .query = sample->query,
                                  .query_count = sample->query_count,
                                  .body = sample->body};
    void *decoded = NULL;
    bool is_good = input_decode(rule, &raw, &arena, &decoded, errors);
    *input = decoded;
    return is_good;
}

/* All errors as text: "count MAX must be at most 99\n". */
static struct slice errors_text(const struct field_errors *errors)
{
    struct buf out;
    buf_init(&out, &arena);
    for (size_t i = 0; i < errors->count; i++) {
        const struct field_error *error = &errors->list[i];
        buf_format(&out, "%s%.*s %s %.*s", i > 0 ? "\n" : "", SLICE_ARG(error->field), error->code,
                   SLICE_ARG(error->message));
    }
    buf_append_char(&out, '\0');
    return (struct slice){out.ptr, out.len - 1};
}

static void expect_errors_of(const struct input_rule *rule, const struct sample *sample, const char *expected)
{
    struct field_errors errors;
    struct thing_input *input;
    arena_reset(&arena);
    bool is_good = decode(rule, sample, &input, &errors);
    assert_string_equal(errors_text(&errors).ptr, expected);
    assert_int_equal(is_good, expected[0] == '\0');
}

static void expect_errors(const struct sample *sample, const char *expected)
{
    expect_errors_of(&thing_rule, sample, expected);
}

static struct sample sample_of_body(struct slice body)
{
    return (struct sample){.id = SLICE(GOOD_ID), .body = body};
}

static const struct thing_input *decode_body_ok(const char *body)
{
    const struct sample sample = sample_of_body(slice_from(body));
    struct field_errors errors;
    struct thing_input *input;
    arena_reset(&arena);
    bool is_good = decode(&thing_rule, &sample, &input, &errors);
    assert_string_equal(errors_text(&errors).ptr, "");
    assert_true(is_good);
    return input;
}

static void assert_slice(struct slice actual, const char *expected)
{
    assert_int_equal(actual.len, strlen(expected));
    assert_memory_equal(actual.ptr, expected, actual.len);
}

/* ---- what is let through ---- */

static void test_everything_arrives_typed(void **state)
{
    (void)state;
    const struct sample sample = {
        .id = SLICE("0190A5C8-1B7E-7CC3-A0D4-5F3B6C1E2A10"),
        .query = {{SLICE("limit"), SLICE("7")},
                  {SLICE("active"), SLICE("false")},
                  {SLICE("sort"), SLICE("name")},
                  {SLICE("after[gte]"), SLICE("1970-01-01T00:00:01.5Z")}},
        .query_count = 4,
        .body = SLICE(
            "{\"name\":\"\\u00c4da\",\"note\":\"two\\nlines\",\"count\":-5,\"visible\":false,\"color\":\"green\","
            "\"price\":{\"amount\":5000,\"currency\":\"EUR\"},\"mainPart\":{\"code\":\"m\",\"quantity\":99},"
            "\"parts\":[{\"code\":\"a\",\"quantity\":2},{\"code\":\"b\"}],\"tags\":[\"x\",\"y\"],"
            "\"facts\":{\"s\":\"t\\\"\",\"n\":0.1,\"b\":true},\"labels\":{},\"orderNumber\":\"sk 7f3k9q2m8xa\"}"),
    };
    struct field_errors errors;
    struct thing_input *input;
    assert_true(decode(&thing_rule, &sample, &input, &errors));

    struct uuid id;
    assert_true(uuid_parse(SLICE(GOOD_ID), &id));
    assert_true(uuid_equals(input->id, id));
    assert_true(input->has_limit && input->limit == 7);
    assert_true(input->has_active && !input->active);
    assert_true(input->has_sort && input->sort == SORT_NAME);
    assert_true(input->has_after_ms && input->after_ms == 1500);
    assert_slice(input->name, "\xC3\x84"
                              "da");
    assert_true(input->has_note && !input->note_is_null);
    assert_slice(input->note, "two\nlines");
    assert_true(input->has_count && input->count == -5);
    assert_true(input->has_visible && !input->visible);
    assert_true(input->has_color && input->color == COLOR_GREEN);
    assert_true(input->has_price && !input->price_is_null && input->price.amount_minor == 5000);
    assert_slice(input->price.currency, "EUR");
    assert_true(input->has_main_part && input->main_part.quantity == 99);
    assert_int_equal(input->parts.count, 2);
    assert_slice(input->parts.items[0].code, "a");
    assert_true(input->parts.items[0].has_quantity && input->parts.items[0].quantity == 2);
    assert_true(!input->parts.items[1].has_quantity && input->parts.items[1].quantity == 1);
    assert_int_equal(input->tags.count, 2);
    assert_slice(input->tags.items[1], "y");
    assert_slice(input->facts, "{\"s\":\"t\\\"\",\"n\":0.1,\"b\":true}");
    assert_slice(input->labels, "{}");
    assert_slice(input->order_number, "SK-7F3K9Q2M8XA");
}

static void test_true_in_the_query(void **state)
{
    (void)state;
    struct sample sample = sample_of_body(SLICE(GOOD_BODY));
    struct field_errors errors;
    struct thing_input *input;
    sample.query[0] = (struct raw_parameter){SLICE("active"), SLICE("true")};
    sample.query_count = 1;
    arena_reset(&arena);
    assert_true(decode(&thing_rule, &sample, &input, &errors));
    assert_true(input->has_active && input->active);
}

static void test_what_was_not_sent(void **state)
{
    (void)state;
    const struct thing_input *input = decode_body_ok(GOOD_BODY);
    assert_true(!input->has_limit && input->limit == 20);
    assert_true(!input->has_active && !input->active);
    assert_true(!input->has_sort && input->sort == SORT_NAME_DESC);
    assert_true(!input->has_visible && input->visible);
    assert_true(!input->has_note && !input->note_is_null && slice_is_absent(input->note));
    assert_true(!input->has_parts && input->parts.items == NULL && input->parts.count == 0);
    assert_true(!input->has_facts && slice_is_absent(input->facts));
}

static void test_null_and_empty(void **state)
{
    (void)state;
    const struct thing_input *input =
        decode_body_ok("{\"name\":\"Ada\",\"note\":null,\"price\":null,\"tags\":[]}");
    assert_true(input->has_note && input->note_is_null && slice_is_absent(input->note));
    assert_true(input->has_price && input->price_is_null && input->price.amount_minor == 0);
    assert_true(input->has_tags && input->tags.items != NULL && input->tags.count == 0);
    input = decode_body_ok("{\"name\":\"Ada\",\"note\":\"\"}");
    assert_true(!slice_is_absent(input->note) && input->note.len == 0 && !input->note_is_null);
}

static void test_the_ends_of_every_range_are_inside(void **state)
{
    (void)state;
    assert_int_equal(decode_body_ok("{\"name\":\"Ad\",\"count\":99}")->count, 99);
    assert_int_equal(decode_body_ok("{\"name\":\"Adaada\",\"count\":-5}")->count, -5);
    /* six characters in 18 bytes */
    assert_int_equal(
        decode_body_ok(
            "{\"name\":\"\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\"}")
            ->name.len,
        18);
    assert_int_equal(
        decode_body_ok("{\"name\":\"Ada\",\"parts\":[{\"code\":\"a\"},{\"code\":\"b\"},{\"code\":\"c\"}]}")
            ->parts.count,
        3);
    assert_int_equal(decode_body_ok("{\"name\":\"Ada\",\"price\":{\"amount\":0,\"currency\":\"USD\"}}")
                         ->price.amount_minor,
                     0);
}

/* ---- the body ---- */

struct body_case {
    const char *body;
    const char *errors;
};

static void expect_body_cases(const struct body_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sample sample = sample_of_body(slice_from(cases[i].body));
        expect_errors(&sample, cases[i].errors);
    }
}

static void test_rules_of_the_body(void **state)
{
    (void)state;
    static const struct body_case cases[] = {
        {"{}", "name REQUIRED is required"},
        {"{\"name\":null}", "name NOT_NULL must not be null"},
        {"{\"name\":5}", "name TYPE must be a string"},
        {"{\"name\":\"A\"}", "name MIN_LENGTH must have at least 2 characters"},
        {"{\"name\":\"Augusta\"}", "name MAX_LENGTH must have at most 6 characters"},
        {"{\"name\":\"\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\"}",
         "name MAX_LENGTH must have at most 6 characters"},
        {"{\"name\":\"   \"}", "name BLANK must not be blank"},
        {"{\"name\":\"a\\nb\"}", "name CONTROL_CHARACTER must not contain control characters"},
        {"{\"name\":\"a\\u007fb\"}", "name CONTROL_CHARACTER must not contain control characters"},
        {"{\"name\":\"a\\u0085b\"}", "name CONTROL_CHARACTER must not contain control characters"},
        {"{\"name\":\"a\\u00a0b\"}", ""},
        {"{\"name\":\"Ada\",\"note\":\"a\\u001bb\"}",
         "note CONTROL_CHARACTER must not contain control characters"},
        {"{\"name\":\"Ada\",\"note\":\"a\\r\\n\\tb\"}", ""},
        {"{\"name\":\"Ada\",\"line\":\"a\\tb\"}",
         "line CONTROL_CHARACTER must not contain control characters"},
        {"{\"name\":\"Ada\",\"count\":100}", "count MAX must be at most 99"},
        {"{\"name\":\"Ada\",\"count\":-6}", "count MIN must be at least -5"},
        {"{\"name\":\"Ada\",\"count\":1.0}", "count TYPE must be an integer"},
        {"{\"name\":\"Ada\",\"count\":1e1}", "count TYPE must be an integer"},
        {"{\"name\":\"Ada\",\"count\":\"1\"}", "count TYPE must be an integer"},
        {"{\"name\":\"Ada\",\"count\":true}", "count TYPE must be an integer"},
        {"{\"name\":\"Ada\",\"count\":null}", "count NOT_NULL must not be null"},
        {"{\"name\":\"Ada\",\"visible\":\"true\"}", "visible TYPE must be true or false"},
        {"{\"name\":\"Ada\",\"visible\":0}", "visible TYPE must be true or false"},
        {"{\"name\":\"Ada\",\"color\":\"blue\"}", "color ENUM must be one of: red, green"},
        {"{\"name\":\"Ada\",\"color\":\"Red\"}", "color ENUM must be one of: red, green"},
        {"{\"name\":\"Ada\",\"color\":1}", "color TYPE must be a string"},
        {"{\"name\":\"Ada\",\"Name\":\"x\"}", "Name UNKNOWN is not a field of this request"},
        {"{\"name\":\"Ada\",\"isAdmin\":true,\"price.x\":1}",
         "isAdmin UNKNOWN is not a field of this request\nprice.x UNKNOWN is not a field of this request"},
        {"{\"name\":\"Ada\",\"orderNumber\":\"SK-1\"}", "orderNumber FORMAT must be an order number"},
    };
    expect_body_cases(cases, COUNT_OF(cases));
}

static void test_rules_of_nested_values(void **state)
{
    (void)state;
    static const struct body_case cases[] = {
        {"{\"name\":\"Ada\",\"price\":5}", "price TYPE must be an object with amount and currency"},
        {"{\"name\":\"Ada\",\"price\":{}}",
         "price.amount REQUIRED is required\nprice.currency REQUIRED is required"},
        {"{\"name\":\"Ada\",\"price\":{\"amount\":-1,\"currency\":\"usd\"}}",
         "price.amount MIN must be at least 0\n"
         "price.currency FORMAT must be a currency code of ISO 4217 in capitals, such as USD"},
        {"{\"name\":\"Ada\",\"price\":{\"amount\":5001,\"currency\":\"XXX\"}}",
         "price.amount MAX must be at most 5000\n"
         "price.currency FORMAT must be a currency code of ISO 4217 in capitals, such as USD"},
        {"{\"name\":\"Ada\",\"price\":{\"amount\":1.5,\"currency\":null,\"tax\":1}}",
         "price.amount TYPE must be an integer\nprice.currency NOT_NULL must not be null\n"
         "price.tax UNKNOWN is not a field of this request"},
        {"{\"name\":\"Ada\",\"mainPart\":[]}", "mainPart TYPE must be an object"},
        {"{\"name\":\"Ada\",\"mainPart\":null}", "mainPart NOT_NULL must not be null"},
        {"{\"name\":\"Ada\",\"mainPart\":{\"quantity\":0}}",
         "mainPart.code REQUIRED is required\nmainPart.quantity MIN must be at least 1"},
        {"{\"name\":\"Ada\",\"parts\":{}}", "parts TYPE must be an array"},
        {"{\"name\":\"Ada\",\"parts\":[]}", "parts MIN_ITEMS must have at least 1 items"},
        {"{\"name\":\"Ada\",\"parts\":[1,2,3,4]}", "parts MAX_ITEMS must have at most 3 items"},
        {"{\"name\":\"Ada\",\"parts\":[{\"code\":\"a\"},null,{\"code\":\"c\",\"quantity\":100}]}",
         "parts[1] NOT_NULL must not be null\nparts[2].quantity MAX must be at most 99"},
        {"{\"name\":\"Ada\",\"parts\":[{\"code\":\"a\",\"x\":1},\"b\"]}",
         "parts[0].x UNKNOWN is not a field of this request\nparts[1] TYPE must be an object"},
        {"{\"name\":\"Ada\",\"tags\":[\"toolong\",\"\"]}",
         "tags[0] MAX_LENGTH must have at most 5 characters\ntags[1] MIN_LENGTH must have at least 1 characters"},
        {"{\"name\":\"Ada\",\"tags\":[\"a\",\"b\",\"a\"]}", "tags[2] DUPLICATE must differ from the others"},
        {"{\"name\":\"Ada\",\"ids\":[\"" GOOD_ID "\",\"" OTHER_ID "\"]}", ""},
        {"{\"name\":\"Ada\",\"ids\":[\"" GOOD_ID "\",\"" OTHER_ID "\",\"" GOOD_ID "\"]}",
         "ids[2] DUPLICATE must differ from the others"},
        {"{\"name\":\"Ada\",\"ids\":[\"x\",\"x\"]}",
         "ids[0] FORMAT must be a UUID\nids[1] FORMAT must be a UUID"},
        {"{\"name\":\"Ada\",\"facts\":[]}", "facts TYPE must be an object"},
        {"{\"name\":\"Ada\",\"facts\":{\"a\":null,\"b\":[],\"c\":{}}}",
         "facts.a TYPE must be a string, a number, true or false\n"
         "facts.b TYPE must be a string, a number, true or false\n"
         "facts.c TYPE must be a string, a number, true or false"},
        {"{\"name\":\"Ada\",\"facts\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4}}",
         "facts MAX_PROPERTIES must have at most 3 entries"},
        {"{\"name\":\"Ada\",\"facts\":{\"toolong\":1,\"\":2,\"a\":\"toolong\"}}",
         "facts.toolong MAX_LENGTH must have at most 5 characters\nfacts. MIN_LENGTH must have at least 1 characters\n"
         "facts.a MAX_LENGTH must have at most 6 characters"},
        {"{\"name\":\"Ada\",\"labels\":{\"a\":1,\"b\":true}}",
         "labels.a TYPE must be a string\nlabels.b TYPE must be a string"},
    };
    expect_body_cases(cases, COUNT_OF(cases));
}

static void test_malformed_bodies(void **state)
{
    (void)state;
    static const struct body_case cases[] = {
        {"{", "body MALFORMED line 1, column 1: ends too early"},
        {"{\"name\":\"Ada\"\n ,}", "body MALFORMED line 2, column 3: is not valid JSON"},
        {"{\"name\":\"Ada\"} x", "body MALFORMED line 1, column 16: goes on behind its end"},
        {"{'name':'Ada'}", "body MALFORMED line 1, column 2: is not valid JSON"},
        {"{\"name\":\"a\tb\"}", "body MALFORMED line 1, column 10: is not valid JSON"},
        {"{\"name\":\"\\ud800\"}", "body MALFORMED line 1, column 16: is not valid JSON"},
        {"{\"name\":\"a\\u0000b\"}", "name CONTROL_CHARACTER line 1, column 18: must not contain NUL"},
        {"{\"name\":\"\xFF\"}", "name UTF8 line 1, column 9: is not valid UTF-8"},
        {"{\"name\":\"\xC0\x80\"}", "name UTF8 line 1, column 9: is not valid UTF-8"},
        {"[]", "body TYPE must be a JSON object"},
        {"\"name\"", "body TYPE must be a JSON object"},
        {"null", "body TYPE must be a JSON object"},
        {"5", "body TYPE must be a JSON object"},
        {"{\"name\":\"Ada\",\"count\":01}", "body MALFORMED line 1, column 23: is not valid JSON"},
        {"{\"name\":\"Ada\",\"count\":NaN}", "body MALFORMED line 1, column 25: is not valid JSON"},
        {"", "body REQUIRED a JSON object is required"},
    };
    expect_body_cases(cases, COUNT_OF(cases));
    const struct sample with_nul = sample_of_body(SLICE("{\"name\":\"a\0b\"}"));
    expect_errors(&with_nul, "body MALFORMED line 1, column 10: is not valid JSON");
    const struct sample without = sample_of_body(SLICE_ABSENT);
    expect_errors(&without, "body REQUIRED a JSON object is required");
}

static void test_what_the_parser_refuses_names_its_field(void **state)
{
    (void)state;
    static const struct body_case cases[] = {
        {"{\"name\":\"a\",\"name\":\"b\"}", "name DUPLICATE must be sent once"},
        {"{\"name\":\"Ada\",\"mainPart\":{\"code\":\"a\",\"quantity\":1,\"code\":\"b\"}}",
         "mainPart.code DUPLICATE must be sent once"},
        {"{\"parts\":[{\"code\":\"a,]}{[\\\"\"},{\"code\":\"a\",\"code\":\"b\"}]}",
         "parts[1].code DUPLICATE must be sent once"},
        {"{\"count\":9223372036854775808}", "count MAX must be at most 9223372036854775807"},
        {"{\"mainPart\":{\"quantity\": -99999999999999999999}}",
         "mainPart.quantity MIN must be at least -9223372036854775808"},
        {"{\"parts\":[{},{\"quantity\":99999999999999999999 }]}",
         "parts[1].quantity MAX must be at most 9223372036854775807"},
        {"{\"tags\":[1, 99999999999999999999]}", "tags[1] MAX must be at most 9223372036854775807"},
        {"{\"facts\":{\"a\":1e999}}", "facts.a MAX is a number that is too large"},
        {"{\"facts\":{\"a\":-1E999}}", "facts.a MAX is a number that is too large"},
        {"{\"facts\":{\"a\":1e+999}}", "facts.a MAX is a number that is too large"},
        {"99999999999999999999", "body MAX must be at most 9223372036854775807"},
    };
    expect_body_cases(cases, COUNT_OF(cases));
}

/* `depth` arrays in the field "x" of the body. */
static struct slice nested_body(size_t depth)
{
    static char text[512];
    size_t len = (size_t)snprintf(text, sizeof(text), "{\"name\":\"Ada\",\"x\":");
    memset(text + len, '[', depth);
    memset(text + len + depth, ']', depth);
    text[len + 2 * depth] = '}';
    return (struct slice){text, len + 2 * depth + 1};
}

static void test_depth_and_size(void **state)
{
    (void)state;
    struct sample sample = sample_of_body(nested_body(JSON_INPUT_DEPTH_MAX - 1));
    expect_errors(&sample, "x UNKNOWN is not a field of this request");
    sample = sample_of_body(nested_body(JSON_INPUT_DEPTH_MAX));
    expect_errors(&sample, "body DEPTH must be nested at most 12 levels deep");

    /* brackets inside a text are no depth */
    sample = sample_of_body(SLICE("{\"name\":\"Ada\",\"note\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"}"));
    expect_errors(&sample, "");

    /* [1,1,...,1] */
    size_t ones = JSON_INPUT_VALUES_MAX;
    char *text = malloc(2 * ones + 3);
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i <= ones; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    text[2 * ones] = ']';
    sample = sample_of_body((struct slice){text, 2 * ones + 1});
    expect_errors(&sample, "body TYPE must be a JSON object");
    text[2 * ones] = ',';
    text[2 * ones + 2] = ']';
    sample = sample_of_body((struct slice){text, 2 * ones + 3});
    expect_errors(&sample, "body MAX_ITEMS must have at most 20000 values");
    free(text);
}

/* A body that costs more memory than the arena has is refused, and what is left is enough to say so. */
static void test_the_arena_is_never_exhausted(void **state)
{
    (void)state;
    struct arena small;
    assert_true(arena_init(&small, (size_t)64 << 10));
    struct buf body;
    arena_reset(&arena);
    buf_init(&body, &arena);
    buf_append(&body, SLICE("{\"x\":["));
    for (int i = 0; i < 1000; i++)
        buf_append(&body, SLICE("{},"));
    buf_append(&body, SLICE("{}]}"));
    const struct slice id = SLICE(GOOD_ID);
    const struct raw_input raw = {.path_values = &id, .path_count = 1, .body = buf_slice(&body)};
    struct field_errors errors;
    void *input;
    assert_false(input_decode(&thing_rule, &raw, &small, &input, &errors));
    assert_int_equal(errors.count, 1);
    assert_string_equal(errors_text(&errors).ptr, "body TOO_LARGE takes too much memory to be read");
    assert_true(small.used < small.limit);
    arena_release(&small);
}

/* ---- path and query ---- */

struct query_case {
    struct raw_parameter query[QUERY_MAX];
    size_t count;
    const char *errors;
};

static void test_rules_of_the_query(void **state)
{
    (void)state;
    static const struct query_case cases[] = {
        {{{{"limit", 5}, {"0", 1}}}, 1, "limit MIN must be at least 1"},
        {{{{"limit", 5}, {"101", 3}}}, 1, "limit MAX must be at most 100"},
        {{{{"limit", 5}, {"100", 3}}}, 1, ""},
        {{{{"limit", 5}, {"", 0}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"-", 1}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"+5", 2}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"05", 2}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"5.0", 3}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"5 ", 2}}}, 1, "limit TYPE must be an integer"},
        {{{{"limit", 5}, {"99999999999999999999", 20}}}, 1, "limit MAX must be at most 100"},
        {{{{"limit", 5}, {"-99999999999999999999", 21}}}, 1, "limit MIN must be at least 1"},
        {{{{"active", 6}, {"1", 1}}}, 1, "active TYPE must be true or false"},
        {{{{"active", 6}, {"TRUE", 4}}}, 1, "active TYPE must be true or false"},
        {{{{"sort", 4}, {"price", 5}}}, 1, "sort ENUM must be one of: name, -name"},
        {{{{"after[gte]", 10}, {"yesterday", 9}}},
         1,
         "after[gte] FORMAT must be a time such as 2026-01-31T12:34:56Z"},
        {{{{"q", 1}, {"", 0}}}, 1, "q MIN_LENGTH must have at least 1 characters"},
        {{{{"q", 1}, {"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9", 10}}}, 1, ""},
        {{{{"q", 1}, {"a\0b", 3}}}, 1, "q UTF8 must be valid UTF-8 without NUL"},
        {{{{"q", 1}, {"\xED\xA0\x80", 3}}}, 1, "q UTF8 must be valid UTF-8 without NUL"},
        {{{{"name", 4}, {"Ada", 3}}}, 1, "name UNKNOWN is not a parameter of this operation"},
        {{{{"\xFF", 1}, {"", 0}}}, 1, "query UTF8 has a name that is not valid UTF-8"},
        {{{{"limit", 5}, {"5", 1}}, {{"limit", 5}, {"5", 1}}}, 2, "limit DUPLICATE must be sent once"},
        {{{{"limit", 5}, {"0", 1}}, {{"x", 1}, {"", 0}}, {{"active", 6}, {"", 0}}},
         3,
         "limit MIN must be at least 1\nx UNKNOWN is not a parameter of this operation\n"
         "active TYPE must be true or false"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sample sample = sample_of_body(SLICE(GOOD_BODY));
        memcpy(sample.query, cases[i].query, sizeof(sample.query));
        sample.query_count = cases[i].count;
        expect_errors(&sample, cases[i].errors);
    }
}

static void test_bad_path_values(void **state)
{
    (void)state;
    static const char *const ids[] = {"1",
                                      "",
                                      "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a1",
                                      "0190a5c8x1b7e-7cc3-a0d4-5f3b6c1e2a10",
                                      "0190a5c8-1b7e-7cc3-a0d4-5f3b6c1e2a1g",
                                      "' OR 1=1 --"};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        const struct sample sample = {.id = slice_from(ids[i]), .body = SLICE(GOOD_BODY)};
        expect_errors(&sample, "id FORMAT must be a UUID");
    }
}

static void test_path_query_and_body_are_refused_together(void **state)
{
    (void)state;
    const struct sample sample = {.id = SLICE("x"),
                                  .query = {{SLICE("limit"), SLICE("x")}},
                                  .query_count = 1,
                                  .body = SLICE("{\"name\":1}")};
    expect_errors(&sample,
                  "id FORMAT must be a UUID\nlimit TYPE must be an integer\nname TYPE must be a string");
}

/* ---- bounds of the answer ---- */

static void test_no_more_errors_than_the_limit(void **state)
{
    (void)state;
    struct buf body;
    struct field_errors errors;
    struct thing_input *input;
    arena_reset(&arena);
    buf_init(&body, &arena);
    buf_append(&body, SLICE("{\"name\":1"));
    for (int i = 0; i < 2 * FIELD_ERRORS_MAX; i++)
        buf_format(&body, ",\"x%d\":1", i);
    buf_append_char(&body, '}');
    const struct sample sample = sample_of_body(buf_slice(&body));
    assert_false(decode(&thing_rule, &sample, &input, &errors));
    assert_int_equal(errors.count, FIELD_ERRORS_MAX);
    assert_slice(errors.list[0].field, "name");
    assert_slice(errors.list[FIELD_ERRORS_MAX - 1].field, "x18");
}

static void test_long_invented_names_are_cut_between_characters(void **state)
{
    (void)state;
    struct buf body;
    struct field_errors errors;
    struct thing_input *input;
    arena_reset(&arena);
    buf_init(&body, &arena);
    buf_append(&body, SLICE("{\"name\":\"Ada\",\"x"));
    for (int i = 0; i < 100; i++)
        buf_append(&body, SLICE("\xE2\x82\xAC"));
    buf_append(&body, SLICE("\":1}"));
    const struct sample sample = sample_of_body(buf_slice(&body));
    assert_false(decode(&thing_rule, &sample, &input, &errors));
    assert_int_equal(errors.list[0].field.len,
                     1 + 21 * 3); /* at most 64 bytes, a whole number of characters */
}

static void test_the_longest_name_that_is_shown_whole(void **state)
{
    (void)state;
    const struct sample sample =
        sample_of_body(SLICE("{\"name\":\"Ada\",\"" NAME_64 "\":1,\"" NAME_64 "b\":1}"));
    expect_errors(&sample, NAME_64 " UNKNOWN is not a field of this request\n" NAME_64
                                   " UNKNOWN is not a field of this request");
}

/* ---- operations without a body, with an optional one, with a least number of fields ---- */

static void test_operation_without_a_body(void **state)
{
    (void)state;
    static const struct input_rule rule = {.size = 0};
    struct sample sample = {.body = SLICE("{}")};
    expect_errors_of(&rule, &sample, "body UNKNOWN this operation takes no body");
    sample.body = SLICE_ABSENT;
    expect_errors_of(&rule, &sample, "");
    struct field_errors errors;
    struct thing_input *input;
    assert_true(decode(&rule, &sample, &input, &errors));
    assert_null(input);
}

static void test_optional_body(void **state)
{
    (void)state;
    struct input_rule rule = thing_rule;
    static const struct object_rule optional = {.fields = body_fields + 1,
                                                .count = COUNT_OF(body_fields) - 1};
    rule.body = &optional;
    rule.body_is_required = false;
    const struct sample sample = {.id = SLICE(GOOD_ID), .body = SLICE_ABSENT};
    struct field_errors errors;
    struct thing_input *input;
    assert_true(decode(&rule, &sample, &input, &errors));
    assert_true(input->visible && !input->has_visible); /* the default holds without a body, too */

    static const struct object_rule nothing = {.count = 0};
    rule.body = &nothing;
    struct sample with_body = sample;
    with_body.body = SLICE("{}");
    expect_errors_of(&rule, &with_body, "");
    with_body.body = SLICE("{\"a\":1}");
    expect_errors_of(&rule, &with_body, "a UNKNOWN is not a field of this request");
}

static void test_least_number_of_fields(void **state)
{
    (void)state;
    struct input_rule rule = thing_rule;
    static const struct object_rule one = {
        .fields = body_fields + 1, .count = COUNT_OF(body_fields) - 1, .properties_min = 1};
    rule.body = &one;
    struct sample sample = sample_of_body(SLICE("{}"));
    expect_errors_of(&rule, &sample, "body MIN_PROPERTIES must have at least 1 fields");
    sample.body = SLICE("{\"count\":1}");
    expect_errors_of(&rule, &sample, "");
}

static void test_enumeration_names(void **state)
{
    (void)state;
    int value = 0;
    assert_string_equal(enumeration_name(&sort_rule, SORT_NAME_DESC), "-name");
    assert_null(enumeration_name(&sort_rule, 0));
    assert_true(enumeration_parse(&sort_rule, SLICE("-name"), &value));
    assert_int_equal(value, SORT_NAME_DESC);
    assert_false(enumeration_parse(&sort_rule, SLICE("-nam"), &value));
    assert_false(enumeration_parse(&sort_rule, SLICE_ABSENT, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives_typed),
        cmocka_unit_test(test_true_in_the_query),
        cmocka_unit_test(test_what_was_not_sent),
        cmocka_unit_test(test_null_and_empty),
        cmocka_unit_test(test_the_ends_of_every_range_are_inside),
        cmocka_unit_test(test_rules_of_the_body),
        cmocka_unit_test(test_rules_of_nested_values),
        cmocka_unit_test(test_malformed_bodies),
        cmocka_unit_test(test_what_the_parser_refuses_names_its_field),
        cmocka_unit_test(test_depth_and_size),
        cmocka_unit_test(test_the_arena_is_never_exhausted),
        cmocka_unit_test(test_rules_of_the_query),
        cmocka_unit_test(test_bad_path_values),
        cmocka_unit_test(test_path_query_and_body_are_refused_together),
        cmocka_unit_test(test_no_more_errors_than_the_limit),
        cmocka_unit_test(test_long_invented_names_are_cut_between_characters),
        cmocka_unit_test(test_the_longest_name_that_is_shown_whole),
        cmocka_unit_test(test_operation_without_a_body),
        cmocka_unit_test(test_optional_body),
        cmocka_unit_test(test_least_number_of_fields),
        cmocka_unit_test(test_enumeration_names),
    };
    return cmocka_run_group_tests_name("http/validation", tests, open_arena, close_arena);
}
