/* Options and their values: see product_options.h. */
#include "shop/product_options.h"

#include "base/json_writer.h"

#include <jansson.h>

bool product_options_check(struct arena *arena, const struct product_option_input_list *options,
                           struct fault *fault)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct product_option_input *option = &options->items[i];
        for (size_t j = 0; j < i; j++) {
            if (!slice_equals(option->name, options->items[j].name))
                continue;
            *fault = (struct fault){arena_format(arena, "options[%zu].name", i).ptr, "DUPLICATE",
                                    "must differ from the other options' names"};
            return false;
        }
        for (size_t v = 0; v < option->values.count; v++) {
            for (size_t w = 0; w < v; w++) {
                if (!slice_equals(option->values.items[v], option->values.items[w]))
                    continue;
                *fault = (struct fault){arena_format(arena, "options[%zu].values[%zu]", i, v).ptr,
                                        "DUPLICATE", "must differ from the other values"};
                return false;
            }
        }
    }
    return true;
}

struct slice product_options_text(struct arena *arena, const struct product_option_input_list *options)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    json_array_begin(&json);
    for (size_t i = 0; i < options->count; i++) {
        const struct product_option_input *option = &options->items[i];
        json_object_begin(&json);
        json_field_string(&json, "name", option->name);
        json_field_array_begin(&json, "values");
        for (size_t v = 0; v < option->values.count; v++)
            json_text(&json, option->values.items[v]);
        json_array_end(&json);
        json_object_end(&json);
    }
    json_array_end(&json);
    return buf_slice(&text);
}

/* ---- reading; the texts were checked before they were stored or decoded ---- */

static struct slice string_copy(struct arena *arena, const json_t *string)
{
    CHECK(json_is_string(string));
    return arena_copy(arena, (struct slice){json_string_value(string), json_string_length(string)});
}

static struct product_option_input option_read(struct arena *arena, const json_t *object)
{
    const json_t *list = json_object_get(object, "values");
    size_t count = json_array_size(list);
    struct slice *values = ARENA_ARRAY(arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        values[i] = string_copy(arena, json_array_get(list, i));
    return (struct product_option_input){
        .name = string_copy(arena, json_object_get(object, "name")),
        .values = {values, count},
    };
}

struct product_option_input_list product_options_read(struct arena *arena, struct slice text)
{
    json_t *list = json_loadb(text.ptr, text.len, 0, NULL);
    CHECK(json_is_array(list));
    size_t count = json_array_size(list);
    struct product_option_input *options = ARENA_ARRAY(arena, struct product_option_input, count);
    for (size_t i = 0; i < count; i++)
        options[i] = option_read(arena, json_array_get(list, i));
    json_decref(list);
    return (struct product_option_input_list){options, count};
}

/* ---- values of a variant ---- */

static bool is_value_of(const struct product_option_input *option, struct slice value)
{
    for (size_t i = 0; i < option->values.count; i++) {
        if (slice_equals(option->values.items[i], value))
            return true;
    }
    return false;
}

/* Picks the values in the product's order. */
static bool values_pick(struct arena *arena, const struct product_option_input_list *options,
                        const json_t *given, struct option_values *values, const char **why)
{
    values->count = 0;
    for (size_t i = 0; i < options->count; i++) {
        const struct product_option_input *option = &options->items[i];
        const json_t *value = json_object_get(given, arena_copy(arena, option->name).ptr);
        if (value == NULL) {
            *why = arena_format(arena, "must name a value of %.*s", SLICE_ARG(option->name)).ptr;
            return false;
        }
        struct slice text = string_copy(arena, value);
        if (!is_value_of(option, text)) {
            *why =
                arena_format(arena, "must name a value of %.*s that the product has", SLICE_ARG(option->name))
                    .ptr;
            return false;
        }
        values->items[values->count++] = text;
    }
    if (json_object_size(given) == options->count)
        return true;
    *why = "must name no option that the product does not have";
    return false;
}

static struct slice values_text(struct arena *arena, const struct product_option_input_list *options,
                                const struct option_values *values)
{
    struct buf text;
    struct json_writer json;
    buf_init(&text, arena);
    json_init(&json, &text);
    buf_append_char(&text, '{'); /* by hand: the writer's keys are literals, these are anybody's */
    for (size_t i = 0; i < values->count; i++) {
        if (i > 0)
            buf_append_char(&text, ',');
        json_init(&json, &text);
        json_text(&json, options->items[i].name);
        buf_append_char(&text, ':');
        json_init(&json, &text);
        json_text(&json, values->items[i]);
    }
    buf_append_char(&text, '}');
    return buf_slice(&text);
}

bool option_values_fit(struct arena *arena, const struct product_option_input_list *options,
                       struct slice given, struct option_values *values, const char **why)
{
    CHECK(options->count <= PRODUCT_OPTIONS_MAX);
    if (slice_is_absent(given))
        given = SLICE("{}");
    json_t *object = json_loadb(given.ptr, given.len, 0, NULL);
    CHECK(json_is_object(object));
    bool fits = values_pick(arena, options, object, values, why);
    json_decref(object);
    if (fits)
        values->text = values_text(arena, options, values);
    return fits;
}
