/* Selecting members in JSON text. The text is our own writer's: compact and well-formed, so that looking for
 * the end of a value needs no more than counting brackets outside of strings. Every step is bounded by the
 * text all the same. */
#include "http/fields.h"

struct selection {
    struct slice names[FIELDS_MAX];
    bool was_met[FIELDS_MAX];
    size_t count;
    size_t objects; /* looked at */
};

static bool selection_parse(struct selection *selection, struct slice fields, struct slice *unknown)
{
    struct slice name;
    while (slice_split(&fields, ',', &name)) {
        name = slice_trim(name);
        *unknown = name;
        if (name.len == 0 || selection->count == FIELDS_MAX)
            return false;
        selection->names[selection->count++] = name;
    }
    return selection->count > 0;
}

static bool selection_has(struct selection *selection, struct slice name)
{
    bool found = false;
    for (size_t i = 0; i < selection->count; i++) {
        if (slice_equals(selection->names[i], name)) {
            selection->was_met[i] = true;
            found = true; /* go on: a name may be written twice */
        }
    }
    return found;
}

/* The length of the string that begins at `at` with its quote, quotes included. */
static size_t string_length(struct slice json, size_t at)
{
    size_t i = at + 1;
    while (i < json.len && json.ptr[i] != '"')
        i += json.ptr[i] == '\\' ? 2 : 1;
    return (i < json.len ? i + 1 : json.len) - at;
}

/* The length of the value that begins at `at`: up to the comma or bracket that follows it. */
static size_t value_length(struct slice json, size_t at)
{
    size_t depth = 0;
    size_t i = at;
    while (i < json.len) {
        char c = json.ptr[i];
        if (c == '"') {
            i += string_length(json, i);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        i++;
    }
    return i - at;
}

/* Copies the object that begins at `at` without the members that were not asked for. */
static void object_select(struct slice json, struct selection *selection, struct buf *out)
{
    selection->objects++;
    buf_append_char(out, '{');
    bool has_member = false;
    size_t i = 1;
    while (i < json.len && json.ptr[i] == '"') {
        size_t name_len = string_length(json, i);
        size_t value_at = i + name_len + 1; /* behind the colon */
        if (value_at > json.len)
            break;
        size_t value_len = value_length(json, value_at);
        struct slice name = {json.ptr + i + 1, name_len - 2};
        if (selection_has(selection, name) || slice_is(name, "id")) {
            if (has_member)
                buf_append_char(out, ',');
            has_member = true;
            buf_append(out, (struct slice){json.ptr + i, name_len + 1 + value_len});
        }
        i = value_at + value_len + 1; /* behind the comma, or past the end */
    }
    buf_append_char(out, '}');
}

static void array_select(struct slice json, struct selection *selection, struct buf *out)
{
    buf_append_char(out, '[');
    size_t i = 1;
    while (i < json.len && json.ptr[i] != ']') {
        struct slice element = {json.ptr + i, value_length(json, i)};
        if (element.len == 0)
            break; /* not our writer's text */
        if (i > 1)
            buf_append_char(out, ',');
        if (element.ptr[0] == '{')
            object_select(element, selection, out);
        else
            buf_append(out, element);
        i += element.len + 1;
    }
    buf_append_char(out, ']');
}

bool fields_select(struct slice json, struct slice fields, struct buf *out, struct slice *unknown)
{
    struct selection selection = {.count = 0};
    if (!selection_parse(&selection, fields, unknown))
        return false;
    if (json.len > 0 && json.ptr[0] == '{')
        object_select(json, &selection, out);
    else if (json.len > 0 && json.ptr[0] == '[')
        array_select(json, &selection, out);
    else
        buf_append(out, json);
    for (size_t i = 0; i < selection.count && selection.objects > 0; i++) {
        if (!selection.was_met[i]) {
            *unknown = selection.names[i];
            return false;
        }
    }
    return true;
}
