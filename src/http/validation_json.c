/* Parsing the body, by jansson. What this file adds: its memory comes from the request's arena, a text that
 * is nested too deep or made of too many pieces is refused before a tree is built, and an error names the
 * place in words of ours (jansson's would repeat what the client sent). */
#include "base/buf.h"
#include "base/check.h"
#include "http/validation_decode.h"

#include <jansson.h>
#include <stdlib.h>

/* ---- memory ---- */

/* While a thread parses, what jansson allocates on it comes from this arena and is never freed; otherwise
 * from malloc. */
static _Thread_local struct arena *parse_arena;
static _Thread_local size_t parse_limit; /* the arena's fill that parsing must not pass */

static void *parse_malloc(size_t size)
{
    if (parse_arena == NULL)
        return malloc(size);
    if (size > parse_limit || parse_arena->used > parse_limit - size)
        return NULL;
    return arena_try_alloc(parse_arena, size);
}

static void parse_free(void *block)
{
    if (parse_arena == NULL)
        free(block);
}

/* Before main, because jansson keeps the two functions in plain variables: no other thread may run when they
 * change. */
__attribute__((constructor)) static void install_allocator(void)
{
    json_set_alloc_funcs(parse_malloc, parse_free);
}

/* ---- a walk over the text ---- */

struct level {
    bool is_array;
    bool awaits_key;
    struct slice key; /* the newest key of an object, as it was sent */
    size_t index;     /* of the item at hand, in an array */
};

struct walk {
    struct level levels[JSON_INPUT_DEPTH_MAX];
    size_t depth;
    size_t values; /* brackets and commas: at least half of what there is */
    bool is_too_deep;
};

/* From the opening quote to behind the closing one, or to the end. */
static size_t skip_string(struct slice text, size_t at)
{
    for (at++; at < text.len && text.ptr[at] != '"'; at++) {
        if (text.ptr[at] == '\\')
            at++;
    }
    return at < text.len ? at + 1 : text.len;
}

static void walk_enter(struct walk *walk, bool is_array)
{
    walk->values++;
    if (walk->depth == JSON_INPUT_DEPTH_MAX)
        walk->is_too_deep = true;
    else
        walk->levels[walk->depth++] = (struct level){.is_array = is_array, .awaits_key = !is_array};
}

static void walk_comma(struct walk *walk)
{
    struct level *level = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
    walk->values++;
    if (level == NULL)
        return;
    level->awaits_key = !level->is_array;
    level->index++;
}

/* Follows brackets, keys and commas through the text, without checking anything else: jansson does that. */
static void walk_text(struct walk *walk, struct slice text)
{
    size_t at = 0;
    while (at < text.len && !walk->is_too_deep) {
        char c = text.ptr[at];
        if (c == '"') {
            size_t end = skip_string(text, at);
            struct level *level = walk->depth > 0 ? &walk->levels[walk->depth - 1] : NULL;
            if (level != NULL && level->awaits_key) {
                level->key = (struct slice){text.ptr + at + 1, end - at - (end - at >= 2 ? 2 : 1)};
                level->awaits_key = false;
            }
            at = end;
            continue;
        }
        if (c == '{' || c == '[')
            walk_enter(walk, c == '[');
        else if ((c == '}' || c == ']') && walk->depth > 0)
            walk->depth--;
        else if (c == ',')
            walk_comma(walk);
        at++;
    }
}

/* The path of the value at which the text stops: items[2].quantity. "body" at the outermost. */
static struct slice walk_path(const struct walk *walk, struct arena *arena)
{
    struct buf path;
    buf_init(&path, arena);
    for (size_t i = 0; i < walk->depth; i++) {
        const struct level *level = &walk->levels[i];
        if (level->is_array)
            buf_format(&path, "[%zu]", level->index);
        else if (!slice_is_absent(level->key))
            buf_format(&path, "%s%.*s", path.len > 0 ? "." : "", SLICE_ARG(shown_name(level->key)));
    }
    return path.len > 0 ? buf_slice(&path) : SLICE("body");
}

/* ---- errors ---- */

static const char *describe(enum json_error_code code)
{
    if (code == json_error_premature_end_of_input)
        return "ends too early";
    if (code == json_error_end_of_input_expected)
        return "goes on behind its end";
    if (code == json_error_null_character || code == json_error_null_byte_in_key)
        return "must not contain NUL";
    return "is not valid JSON";
}

static void refuse(struct json_document *document, const char *code, struct slice field, struct slice message)
{
    *document = (struct json_document){.code = code, .field = field, .message = message};
}

/* A number past 64 bits; a fraction or an exponent that is too large is simply not readable. */
static void refuse_number(struct json_document *document, struct arena *arena, struct slice read)
{
    size_t start = read.len;
    while (start > 0 && read.ptr[start - 1] >= '0' && read.ptr[start - 1] <= '9')
        start--;
    struct walk walk = {0};
    walk_text(&walk, read);
    struct slice path = walk_path(&walk, arena);
    char before = start > 0 ? read.ptr[start - 1] : ' ';
    if (before == '-')
        refuse(document, "MIN", path, SLICE("must be at least -9223372036854775808"));
    else if (before == 'e' || before == 'E' || before == '+' || before == '.')
        refuse(document, "MAX", path, SLICE("is a number that is too large"));
    else
        refuse(document, "MAX", path, SLICE("must be at most 9223372036854775807"));
}

static void refuse_error(struct json_document *document, struct arena *arena, struct slice text,
                         const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);
    size_t position = error->position > 0 ? (size_t)error->position : 0;
    struct slice read = {text.ptr, position < text.len ? position : text.len};
    if (code == json_error_duplicate_key) {
        struct walk walk = {0};
        walk_text(&walk, read);
        refuse(document, "DUPLICATE", walk_path(&walk, arena), SLICE("must be sent once"));
    } else if (code == json_error_out_of_memory || error->text[0] == '\0') {
        /* jansson says nothing at all where an allocation fails inside a tree */
        refuse(document, "TOO_LARGE", SLICE("body"), SLICE("takes too much memory to be read"));
    } else if (code == json_error_numeric_overflow) {
        refuse_number(document, arena, read);
    } else if (code == json_error_invalid_utf8 || code == json_error_null_character) {
        /* well-formed up to here, so that the text at fault has a name */
        struct walk walk = {0};
        walk_text(&walk, read);
        bool is_nul = code == json_error_null_character;
        refuse(document, is_nul ? "CONTROL_CHARACTER" : "UTF8", walk_path(&walk, arena),
               arena_format(arena, "line %d, column %d: %s", error->line, error->column,
                            is_nul ? "must not contain NUL" : "is not valid UTF-8"));
    } else {
        refuse(document, "MALFORMED", SLICE("body"),
               arena_format(arena, "line %d, column %d: %s", error->line, error->column, describe(code)));
    }
}

void json_document_parse(struct json_document *document, struct arena *arena, struct slice text)
{
    *document = (struct json_document){0};
    struct walk walk = {0};
    walk_text(&walk, text);
    if (walk.is_too_deep) {
        refuse(document, "DEPTH", SLICE("body"),
               arena_format(arena, "must be nested at most %d levels deep", JSON_INPUT_DEPTH_MAX));
        return;
    }
    if (walk.values > JSON_INPUT_VALUES_MAX) {
        refuse(document, "MAX_ITEMS", SLICE("body"),
               arena_format(arena, "must have at most %d values", JSON_INPUT_VALUES_MAX));
        return;
    }
    json_error_t error;
    parse_arena = arena;
    parse_limit = arena->used + (arena->limit - arena->used) / 2; /* the rest is the handler's */
    document->root = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    parse_arena = NULL;
    if (document->root == NULL)
        refuse_error(document, arena, text, &error);
}
