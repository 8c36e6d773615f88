/* The files of db/seeds: see seed_data.h. */
#include "shop/seed_data.h"

#include "base/check.h"

struct slice seed_text(const char *name)
{
    const struct seed_file *file = seed_files;
    while (file->name != NULL && strcmp(file->name, name) != 0)
        file++;
    CHECK(file->name != NULL);
    return slice_from(file->text);
}

json_t *seed_json(const char *name)
{
    struct slice text = seed_text(name);
    json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json != NULL);
    return json;
}

static struct slice string_copy(struct arena *arena, const json_t *string)
{
    CHECK(json_is_string(string));
    return arena_copy(arena, (struct slice){json_string_value(string), json_string_length(string)});
}

struct slice seed_member(struct arena *arena, const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    return member != NULL ? string_copy(arena, member) : SLICE_ABSENT;
}

int64_t seed_member_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *member = json_object_get(object, key);
    CHECK(member == NULL || json_is_integer(member));
    return member != NULL ? json_integer_value(member) : otherwise;
}

bool seed_member_flag(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    CHECK(member == NULL || json_is_boolean(member));
    return json_is_true(member);
}

struct slice_list seed_texts(struct arena *arena, const json_t *array)
{
    size_t count = json_array_size(array);
    struct slice *items = ARENA_ARRAY(arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        items[i] = string_copy(arena, json_array_get(array, i));
    return (struct slice_list){items, count};
}

struct slice seed_compact(struct arena *arena, const json_t *value)
{
    CHECK(value != NULL);
    size_t len = json_dumpb(value, NULL, 0, JSON_COMPACT);
    char *text = arena_alloc(arena, len + 1);
    CHECK(json_dumpb(value, text, len, JSON_COMPACT) == len);
    text[len] = '\0';
    return (struct slice){text, len};
}
