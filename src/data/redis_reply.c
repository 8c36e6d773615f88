/* Commands and replies as Redis speaks them: hiredis' formatter, and its reader with objects of ours, which
 * lie in the caller's arena.
 *
 * hiredis 0.14 bounds neither how many elements a reply claims nor how many bytes it has; both are bounded
 * here, before memory is asked for. */
#include "data/redis_private.h"

#include "base/check.h"

#include <stdlib.h>

#define ELEMENTS_MAX (1 << 18) /* of one array: 16 MB of replies */

/* The reply that the reader's task is to fill: its place in the array around it, or a new one. NULL at the
 * arena's limit, which the reader reports as out of memory. */
static struct redis_reply *place(const redisReadTask *task, enum redis_reply_kind kind)
{
    struct redis_parser *parser = task->privdata;
    struct redis_reply *reply;
    if (task->parent != NULL) {
        struct redis_reply *around = task->parent->obj;
        CHECK(task->idx >= 0 && (size_t)task->idx < around->count);
        reply = (struct redis_reply *)&around->elements[task->idx];
    } else {
        reply = arena_try_alloc(parser->arena, sizeof(*reply));
    }
    if (reply != NULL)
        *reply = (struct redis_reply){.kind = kind};
    return reply;
}

static void *create_text(const redisReadTask *task, char *bytes, size_t len)
{
    struct redis_parser *parser = task->privdata;
    enum redis_reply_kind kind = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                                 : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                                    : REDIS_STRING;
    struct redis_reply *reply = place(task, kind);
    char *copy = arena_try_alloc(parser->arena, len + 1);
    if (reply == NULL || copy == NULL)
        return NULL;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    reply->text = (struct slice){copy, len};
    return reply;
}

static void *create_array(const redisReadTask *task, int count)
{
    struct redis_parser *parser = task->privdata;
    if (count < 0 || count > ELEMENTS_MAX)
        return NULL;
    struct redis_reply *reply = place(task, REDIS_ARRAY);
    size_t bytes = (size_t)count * sizeof(*reply);
    struct redis_reply *elements = arena_try_alloc(parser->arena, bytes);
    if (reply == NULL || elements == NULL)
        return NULL;
    memset(elements, 0, bytes);
    reply->elements = elements;
    reply->count = (size_t)count;
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = place(task, REDIS_INTEGER);
    if (reply != NULL)
        reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place(task, REDIS_NIL);
}

/* Replies are the arena's. */
static void forget(void *reply)
{
    (void)reply;
}

static redisReplyObjectFunctions functions = {create_text, create_array, create_integer, create_nil, forget};

void redis_parser_open(struct redis_parser *parser)
{
    *parser = (struct redis_parser){.reader = redisReaderCreateWithFunctions(&functions)};
    CHECK(parser->reader != NULL);
    parser->reader->privdata = parser;
}

void redis_parser_close(struct redis_parser *parser)
{
    redisReaderFree(parser->reader);
}

void redis_parser_begin(struct redis_parser *parser, struct arena *arena)
{
    parser->arena = arena;
    parser->bytes = 0;
}

bool redis_parser_feed(struct redis_parser *parser, const char *bytes, size_t len)
{
    parser->bytes += len;
    return parser->bytes <= REDIS_REPLY_BYTES_MAX && redisReaderFeed(parser->reader, bytes, len) == REDIS_OK;
}

enum redis_parsed redis_parser_next(struct redis_parser *parser, struct redis_reply *reply)
{
    void *object = NULL;
    if (redisReaderGetReply(parser->reader, &object) != REDIS_OK)
        return REDIS_PARSED_GARBAGE;
    if (object == NULL)
        return REDIS_PARSED_NOTHING;
    *reply = *(const struct redis_reply *)object;
    return REDIS_PARSED_REPLY;
}

bool redis_format(struct buf *out, const struct redis_command *command, struct slice prefix)
{
    const char *words[REDIS_WORDS_MAX];
    size_t lengths[REDIS_WORDS_MAX];
    CHECK(command->word_count > 0 && command->word_count <= REDIS_WORDS_MAX);
    CHECK(command->key < command->word_count);
    for (size_t i = 0; i < command->word_count; i++) {
        words[i] = command->words[i].ptr != NULL ? command->words[i].ptr : "";
        lengths[i] = command->words[i].len;
    }
    char small[512];
    if (command->key > 0) {
        struct slice key = command->words[command->key];
        size_t len = prefix.len + key.len;
        char *prefixed = len <= sizeof(small) ? small : arena_try_alloc(out->arena, len);
        if (prefixed == NULL)
            return false;
        memcpy(prefixed, prefix.ptr, prefix.len);
        memcpy(prefixed + prefix.len, words[command->key], key.len);
        words[command->key] = prefixed;
        lengths[command->key] = len;
    }
    char *formatted = NULL;
    int formatted_len = redisFormatCommandArgv(&formatted, (int)command->word_count, words, lengths);
    CHECK(formatted_len > 0);
    buf_append(out, (struct slice){formatted, (size_t)formatted_len});
    free(formatted);
    return !out->overflow;
}
