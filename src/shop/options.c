/* Options of variants and wishes of shoppers: see options.h. */
#include "shop/options.h"

#include "base/check.h"

#include <jansson.h>

/* A JSON object that was validated before it was stored or decoded. */
static json_t *object_read(struct slice text)
{
    if (text.len == 0)
        return json_object();
    json_t *object = json_loadb(text.ptr, text.len, 0, NULL);
    CHECK(json_is_object(object));
    return object;
}

enum option_match options_match(struct slice variant_options, struct slice wanted)
{
    json_t *variant = object_read(variant_options);
    json_t *wish = object_read(wanted);
    enum option_match match = OPTIONS_MATCH;
    const char *key;
    json_t *value;
    json_object_foreach(variant, key, value)
    {
        json_t *named = json_object_get(wish, key);
        if (named == NULL)
            match = match == OPTIONS_DIFFER ? match : OPTIONS_MISSING;
        else if (!json_equal(named, value))
            match = OPTIONS_DIFFER;
    }
    json_decref(variant);
    json_decref(wish);
    return match;
}

struct slice options_wishes(struct arena *arena, struct slice variant_options, struct slice wanted)
{
    json_t *variant = object_read(variant_options);
    json_t *wish = object_read(wanted);
    const char *key;
    json_t *value;
    json_object_foreach(variant, key, value)
    {
        json_object_del(wish, key);
    }
    size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
    size_t len = json_dumpb(wish, NULL, 0, flags);
    CHECK(len >= 2);
    char *text = arena_alloc(arena, len);
    struct slice result = {text, json_dumpb(wish, text, len, flags)};
    json_decref(variant);
    json_decref(wish);
    return result;
}

struct slice options_join(struct arena *arena, struct slice variant_options, struct slice wishes)
{
    bool has_variant = variant_options.len > 2;
    bool has_wishes = wishes.len > 2;
    if (!has_wishes)
        return has_variant ? variant_options : SLICE("{}");
    if (!has_variant)
        return wishes;
    return arena_format(arena, "%.*s,%.*s", (int)variant_options.len - 1, variant_options.ptr,
                        (int)wishes.len - 1, wishes.ptr + 1);
}
