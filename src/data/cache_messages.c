/* What servers tell each other of the cache, as text:
 *
 *     souk1 SENDER NUMBER
 *     dTAG          drop
 *     fTAG          fade
 *     x  a  b  v    flush; fade all; the sender ends; it vouches for what is in Redis
 *
 * one order a line. Messages of one sender are numbered from 1 without gaps, so that who missed one knows. A
 * message without orders is a heartbeat. And the tags that wait to be told. */
#include "data/cache_private.h"

#include "base/check.h"
#include "base/crypto.h"

#include <stdlib.h>

static const struct slice MAGIC = {"souk1 ", 6};
#define MESSAGE_HEAD_BYTES_MAX 80

/* ---- tags that wait ---- */

bool tag_is_sendable(struct slice tag)
{
    if (tag.len == 0 || tag.len > CACHE_TAG_BYTES_MAX)
        return false;
    for (size_t i = 0; i < tag.len; i++)
        if ((unsigned char)tag.ptr[i] < ' ' || tag.ptr[i] == 0x7f)
            return false;
    return true;
}

struct waiting_tag *tag_queue_find(struct tag_queue *queue, struct slice tag)
{
    uint64_t hash = hash64(tag);
    struct waiting_tag *one = queue->buckets[hash % TAG_BUCKETS];
    while (one != NULL && (one->hash != hash || !slice_equals(waiting_tag_text(one), tag)))
        one = one->bucket_next;
    return one;
}

struct waiting_tag *tag_queue_add(struct tag_queue *queue, struct slice tag)
{
    struct waiting_tag *one = calloc(1, sizeof(*one) + tag.len);
    CHECK(one != NULL);
    one->hash = hash64(tag);
    one->len = tag.len;
    memcpy(one->text, tag.ptr, tag.len);
    struct waiting_tag **bucket = &queue->buckets[one->hash % TAG_BUCKETS];
    one->bucket_next = *bucket;
    *bucket = one;
    if (queue->last != NULL)
        queue->last->next = one;
    else
        queue->first = one;
    queue->last = one;
    queue->count++;
    return one;
}

struct waiting_tag *tag_queue_take(struct tag_queue *queue)
{
    struct waiting_tag *one = queue->first;
    if (one == NULL)
        return NULL;
    queue->first = one->next;
    if (queue->first == NULL)
        queue->last = NULL;
    struct waiting_tag **link = &queue->buckets[one->hash % TAG_BUCKETS];
    while (*link != one)
        link = &(*link)->bucket_next;
    *link = one->bucket_next;
    one->next = one->bucket_next = NULL;
    queue->count--;
    return one;
}

void tag_queue_clear(struct tag_queue *queue)
{
    struct waiting_tag *one;
    while ((one = tag_queue_take(queue)) != NULL)
        free(one);
}

/* ---- writing ---- */

struct writer {
    struct buf text;
    struct cache_sender *sender;
    size_t bytes_max;
    bool is_open; /* something is to be sent */
    bool (*send)(void *arg, struct slice message);
    void *arg;
};

static void begin_message(struct writer *writer)
{
    char id[UUID_TEXT_LEN];
    uint64_t number = writer->sender->number + 1;
    uuid_format(writer->sender->id, id);
    writer->text.len = 0;
    buf_append(&writer->text, MAGIC);
    buf_append(&writer->text, (struct slice){id, sizeof(id)});
    buf_format(&writer->text, " %llu\n", (unsigned long long)number);
    writer->is_open = true;
}

/* The number is used up only when it was sent: what is sent again may have come already, and is no gap. */
static bool end_message(struct writer *writer)
{
    CHECK(!writer->text.overflow);
    if (!writer->send(writer->arg, buf_slice(&writer->text)))
        return false;
    writer->sender->number++;
    writer->is_open = false;
    return true;
}

static bool write_order(struct writer *writer, char order, struct slice tag)
{
    if (writer->is_open && writer->text.len + tag.len + 2 > writer->bytes_max && !end_message(writer))
        return false;
    if (!writer->is_open)
        begin_message(writer);
    buf_append_char(&writer->text, order);
    buf_append(&writer->text, tag);
    buf_append_char(&writer->text, '\n');
    return true;
}

bool cache_messages_send(const struct cache_batch *batch, struct cache_sender *sender, size_t bytes_max,
                         struct arena *arena, bool (*send)(void *arg, struct slice message), void *arg)
{
    CHECK(bytes_max >= MESSAGE_HEAD_BYTES_MAX + CACHE_TAG_BYTES_MAX + 2);
    struct writer writer = {.sender = sender, .bytes_max = bytes_max, .send = send, .arg = arg};
    buf_init(&writer.text, arena);
    begin_message(&writer);
    bool is_sent = (!batch->is_flush || write_order(&writer, 'x', SLICE_ABSENT)) &&
                   (!batch->is_fade_all || write_order(&writer, 'a', SLICE_ABSENT));
    for (size_t i = 0; i < batch->drop_count && is_sent; i++)
        is_sent = write_order(&writer, 'd', batch->drops[i]);
    for (size_t i = 0; i < batch->fade_count && is_sent; i++)
        is_sent = write_order(&writer, 'f', batch->fades[i]);
    if (batch->is_farewell && is_sent)
        is_sent = write_order(&writer, 'b', SLICE_ABSENT);
    if (batch->is_vouch && is_sent)
        is_sent = write_order(&writer, 'v', SLICE_ABSENT);
    return is_sent && end_message(&writer);
}

/* ---- reading ---- */

bool cache_message_parse(struct slice text, struct cache_message *message)
{
    struct slice sender, number;
    long long value;
    if (!slice_starts_with(text, MAGIC))
        return false;
    text = slice_skip(text, MAGIC.len);
    if (!slice_split(&text, ' ', &sender) || !uuid_parse(sender, &message->sender) ||
        !slice_split(&text, '\n', &number) || !slice_to_int64(number, &value) || value < 1)
        return false;
    message->number = (uint64_t)value;
    message->lines = text;
    return true;
}

bool cache_message_next(struct cache_message *message, enum cache_order *order, struct slice *tag)
{
    struct slice line;
    while (slice_split(&message->lines, '\n', &line)) {
        if (line.len == 0)
            continue;
        *tag = slice_skip(line, 1);
        bool has_tag = tag_is_sendable(*tag);
        switch (line.ptr[0]) {
        case 'd':
            *order = CACHE_ORDER_DROP;
            break;
        case 'f':
            *order = CACHE_ORDER_FADE;
            break;
        case 'x':
            *order = CACHE_ORDER_FLUSH;
            return true;
        case 'a':
            *order = CACHE_ORDER_FADE_ALL;
            return true;
        case 'b':
            *order = CACHE_ORDER_FAREWELL;
            return true;
        case 'v':
            *order = CACHE_ORDER_VOUCH;
            return true;
        default:
            continue;
        }
        if (has_tag)
            return true;
    }
    return false;
}
