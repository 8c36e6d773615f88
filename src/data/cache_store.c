/* Entries in Redis, and how one knows that they are good.
 *
 * A version is a pair (epoch, drops). The hash `generation` holds the present one. An entry carries the
 * version that was read before its data was; each tag has a key that holds the version of its last drop. A
 * drop raises `drops` first and then gives the tag that number, after the commit that it tells of. So a
 * reader whose version is at least the tag's began after that commit, and one whose version is less may have
 * read before it. An entry is good while its epoch is the present one and each of its tags is there with a
 * version that is not greater. That decides of races as well: a fill that lost one is bad from birth, on
 * every server.
 *
 * - A tag's version only grows (a script compares), so two drops that arrive in the wrong order do no harm.
 * - A tag that is missing may have been dropped: Redis evicts keys, and one shard of a Cluster may be
 *   empty after a failure. So missing is bad, and whoever puts an entry makes its tags' keys where they are
 *   missing, with the version of that moment, which no drop before it exceeds.
 * - A Redis that was wiped has no epoch: a new one is made, and all that anybody still puts or holds with the
 *   old one is bad. Epochs are made of the clock and of the one before, so that they grow, too.
 * - Where Redis may have lost drops that it had acknowledged (redis_losses), cache_sharing.c makes a new
 * epoch.
 *
 * Versions are written as 40 digits, so that comparing texts compares versions. Keys of entries are hashed:
 * they may be long, hold braces (which steer a Cluster's slots) or be secret. */
#include "data/cache_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define DIGITS 20
#define VERSION_LEN (2 * DIGITS)
#define EPOCH_MAX ((UINT64_C(1) << 53) - 1) /* what a script can count with */
#define HASH_LEN SHA256_LEN
#define PUT_COMMANDS_MAX (REDIS_PIPELINE_MAX - CACHE_TAGS_MAX - 1)
#define PUT_BYTES_MAX (REDIS_REQUEST_BYTES_MAX / 2)
#define DROP_COMMANDS_MAX 512
#define SAY_INTERVAL_US INT64_C(10000000)
#define GENERATION SLICE("generation")
#define TAG_SECONDS SLICE("86400") /* as long as the longest entry lives: CACHE_SHARED_SECONDS_MAX */

/* A tag's version never goes back. */
#define RAISE                                                                                                \
    SLICE("local v = redis.call('GET', KEYS[1]) "                                                            \
          "if not v or v < ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end "             \
          "return 1")
/* Nor does the epoch: it becomes ARGV[1], or one more than it is. */
#define RENEW                                                                                                \
    SLICE("local e, n = redis.call('HGET', KEYS[1], 'epoch'), ARGV[1] "                                      \
          "if e and e >= n then n = string.format('%020.0f', tonumber(e) + 1) end "                          \
          "redis.call('HSET', KEYS[1], 'epoch', n) "                                                         \
          "return n")

static const struct slice ENTRY_MAGIC = {"souk2 ", 6};

METRIC_DEFINE(REFUSED, "souk_cache_shared_refusals_total",
              "Commands of the cache that Redis answered with an error", NULL, METRIC_COUNTER);

/* ---- versions ---- */

static bool parse_number(struct slice text, uint64_t *number)
{
    long long value;
    if (!slice_to_int64(text, &value) || value < 0)
        return false;
    *number = (uint64_t)value;
    return true;
}

static struct slice version_text(struct arena *arena, struct cache_version version)
{
    return arena_format(arena, "%020llu%020llu", (unsigned long long)version.epoch,
                        (unsigned long long)version.drops);
}

static bool version_parse(struct slice text, struct cache_version *version)
{
    return text.len == VERSION_LEN && parse_number((struct slice){text.ptr, DIGITS}, &version->epoch) &&
           parse_number(slice_skip(text, DIGITS), &version->drops) && version->epoch > 0 &&
           version->epoch <= EPOCH_MAX;
}

static bool is_later(struct cache_version a, struct cache_version b)
{
    return a.epoch != b.epoch ? a.epoch > b.epoch : a.drops > b.drops;
}

/* For an epoch that begins now. */
static struct slice epoch_text(struct arena *arena)
{
    uint64_t epoch = (uint64_t)clock_now_ms() << 10 | random_u64() % 1024;
    return arena_format(arena, "%020llu", (unsigned long long)(epoch & EPOCH_MAX));
}

/* What HMGET generation epoch drops answered. False when there is no epoch. */
static bool generation_read(const struct redis_reply *reply, struct cache_version *now)
{
    if (reply->kind != REDIS_ARRAY || reply->count != 2 || reply->elements[0].kind != REDIS_STRING)
        return false;
    now->drops = 0;
    if (reply->elements[1].kind == REDIS_STRING && !parse_number(reply->elements[1].text, &now->drops))
        return false;
    return parse_number(reply->elements[0].text, &now->epoch) && now->epoch > 0 && now->epoch <= EPOCH_MAX;
}

/* ---- commands ---- */

static bool is_refused(const struct redis_reply *reply)
{
    static _Atomic int64_t say_at_us;
    if (reply->kind != REDIS_ERROR)
        return false;
    metric_add(&REFUSED, 1);
    int64_t now_us = clock_monotonic_us(), due_us = atomic_load(&say_at_us);
    if (now_us >= due_us && atomic_compare_exchange_strong(&say_at_us, &due_us, now_us + SAY_INTERVAL_US)) {
        struct log_line line;
        log_begin(&line, LOG_WARN, "Redis refuses a command of the cache");
        log_string(&line, "error", reply->text);
        log_end(&line);
    }
    return true;
}

/* All were answered, none with an error. */
static bool run(struct redis *redis, struct arena *arena, const struct redis_command *commands, size_t count,
                struct redis_reply *replies)
{
    bool is_good = redis_pipeline(redis, arena, commands, count, replies);
    for (size_t i = 0; i < count; i++)
        is_good = !is_refused(&replies[i]) && is_good;
    return is_good;
}

static struct slice tag_key(struct arena *arena, struct slice tag)
{
    return arena_format(arena, "tag:%.*s", SLICE_ARG(tag));
}

static struct slice entry_key(struct arena *arena, struct slice hash)
{
    return arena_format(arena, "entry:%.*s", SLICE_ARG(hash));
}

static struct slice key_hash(struct arena *arena, struct slice key)
{
    uint8_t digest[SHA256_LEN];
    sha256(key, digest);
    return base64url_encode(arena, (struct slice){(const char *)digest, sizeof(digest)});
}

/* ---- look-ups ---- */

static bool parse_seconds(struct slice *text, int64_t *seconds)
{
    struct slice digits;
    uint64_t number;
    if (!slice_split(text, ' ', &digits) || !parse_number(digits, &number) ||
        number > CACHE_SHARED_SECONDS_MAX)
        return false;
    *seconds = (int64_t)number;
    return true;
}

/* souk2 VERSION FRESH STALE TAGS (seconds, seconds, a count), a line for each tag, the value. */
bool store_entry_parse(struct slice text, struct store_entry *entry)
{
    struct slice version, count;
    uint64_t number;
    if (!slice_starts_with(text, ENTRY_MAGIC))
        return false;
    text = slice_skip(text, ENTRY_MAGIC.len);
    if (!slice_split(&text, ' ', &version) || !version_parse(version, &entry->version) ||
        !parse_seconds(&text, &entry->life.fresh_s) || !parse_seconds(&text, &entry->life.stale_s))
        return false;
    if (!slice_split(&text, '\n', &count) || !parse_number(count, &number) || number > CACHE_TAGS_MAX)
        return false;
    entry->tag_count = (size_t)number;
    for (size_t i = 0; i < entry->tag_count; i++)
        if (!slice_split(&text, '\n', &entry->tags[i]) || !tag_is_sendable(entry->tags[i]))
            return false;
    entry->value = text;
    return !slice_is_absent(text);
}

static bool are_tags_good(struct redis *redis, struct arena *arena, const struct store_entry *entry)
{
    struct redis_command *commands = ARENA_ARRAY(arena, struct redis_command, entry->tag_count + 1);
    struct redis_reply *replies = ARENA_ARRAY(arena, struct redis_reply, entry->tag_count + 1);
    for (size_t i = 0; i < entry->tag_count; i++) {
        struct slice *words = ARENA_ARRAY(arena, struct slice, 2);
        words[0] = SLICE("GET");
        words[1] = tag_key(arena, entry->tags[i]);
        commands[i] = (struct redis_command){.words = words, .word_count = 2, .key = 1};
    }
    if (!run(redis, arena, commands, entry->tag_count, replies))
        return false;
    for (size_t i = 0; i < entry->tag_count; i++) {
        struct cache_version dropped;
        if (replies[i].kind != REDIS_STRING || !version_parse(replies[i].text, &dropped) ||
            is_later(dropped, entry->version))
            return false;
    }
    return true;
}

static bool begin_epoch(struct redis *redis, struct arena *arena, struct cache_version *now)
{
    struct slice set[] = {SLICE("HSETNX"), GENERATION, SLICE("epoch"), epoch_text(arena)};
    struct slice get[] = {SLICE("HMGET"), GENERATION, SLICE("epoch"), SLICE("drops")};
    struct redis_command commands[] = {{.words = set, .word_count = 4, .key = 1},
                                       {.words = get, .word_count = 4, .key = 1}};
    struct redis_reply replies[2];
    return run(redis, arena, commands, 2, replies) && generation_read(&replies[1], now);
}

bool store_version(struct redis *redis, struct arena *arena, struct cache_version *now)
{
    struct slice get[] = {SLICE("HMGET"), GENERATION, SLICE("epoch"), SLICE("drops")};
    struct redis_command command = {.words = get, .word_count = 4, .key = 1};
    struct redis_reply reply;
    return run(redis, arena, &command, 1, &reply) && generation_read(&reply, now);
}

enum store_found store_get(struct redis *redis, struct arena *arena, struct slice key,
                           struct store_entry *entry, struct cache_version *now)
{
    struct slice name = entry_key(arena, key_hash(arena, key));
    struct slice get[] = {SLICE("GET"), name}, left[] = {SLICE("PTTL"), name};
    struct slice generation[] = {SLICE("HMGET"), GENERATION, SLICE("epoch"), SLICE("drops")};
    struct redis_command commands[] = {{.words = generation, .word_count = 4, .key = 1},
                                       {.words = get, .word_count = 2, .key = 1},
                                       {.words = left, .word_count = 2, .key = 1}};
    struct redis_reply replies[3];
    if (!run(redis, arena, commands, 3, replies))
        return STORE_UNKNOWN;
    if (!generation_read(&replies[0], now))
        return begin_epoch(redis, arena, now) ? STORE_MISS : STORE_UNKNOWN;
    if (replies[1].kind != REDIS_STRING || !store_entry_parse(replies[1].text, entry) ||
        entry->version.epoch != now->epoch || replies[2].kind != REDIS_INTEGER || replies[2].integer <= 0)
        return STORE_MISS;
    entry->left_ms = replies[2].integer;
    return are_tags_good(redis, arena, entry) ? STORE_HIT : STORE_MISS;
}

/* ---- drops ---- */

/* The version of the drop that happens now. */
static bool number_drop(struct redis *redis, struct arena *arena, struct cache_version *version)
{
    struct slice set[] = {SLICE("HSETNX"), GENERATION, SLICE("epoch"), epoch_text(arena)};
    struct slice add[] = {SLICE("HINCRBY"), GENERATION, SLICE("drops"), SLICE("1")};
    struct slice get[] = {SLICE("HMGET"), GENERATION, SLICE("epoch"), SLICE("drops")};
    struct redis_command commands[] = {{.words = set, .word_count = 4, .key = 1},
                                       {.words = add, .word_count = 4, .key = 1},
                                       {.words = get, .word_count = 4, .key = 1}};
    struct redis_reply replies[3];
    /* When `drops` went back in between, Redis was wiped. */
    return run(redis, arena, commands, 3, replies) && generation_read(&replies[2], version) &&
           replies[1].kind == REDIS_INTEGER && (uint64_t)replies[1].integer <= version->drops;
}

static bool raise_tags(struct redis *redis, struct arena *arena, struct slice version,
                       const struct slice *tags, size_t count)
{
    struct redis_command *commands = ARENA_ARRAY(arena, struct redis_command, count);
    struct redis_reply *replies = ARENA_ARRAY(arena, struct redis_reply, count);
    for (size_t i = 0; i < count; i++) {
        struct slice *words = ARENA_ARRAY(arena, struct slice, 6);
        words[0] = SLICE("EVAL");
        words[1] = RAISE;
        words[2] = SLICE("1");
        words[3] = tag_key(arena, tags[i]);
        words[4] = version;
        words[5] = TAG_SECONDS;
        commands[i] = (struct redis_command){.words = words, .word_count = 6, .key = 3};
    }
    return run(redis, arena, commands, count, replies);
}

bool store_drop(struct redis *redis, struct arena *arena, const struct slice *tags, size_t count)
{
    struct cache_version version;
    if (count == 0)
        return true;
    if (!number_drop(redis, arena, &version))
        return false;
    struct slice text = version_text(arena, version);
    bool is_done = true;
    for (size_t i = 0; i < count; i += DROP_COMMANDS_MAX) {
        size_t part = count - i < DROP_COMMANDS_MAX ? count - i : DROP_COMMANDS_MAX;
        is_done = raise_tags(redis, arena, text, tags + i, part) && is_done;
    }
    return is_done;
}

bool store_flush(struct redis *redis, struct arena *arena)
{
    struct slice words[] = {SLICE("EVAL"), RENEW, SLICE("1"), GENERATION, epoch_text(arena)};
    struct redis_command command = {.words = words, .word_count = 5, .key = 3};
    struct redis_reply reply;
    return run(redis, arena, &command, 1, &reply);
}

/* ---- fills ---- */

struct store_fill *store_fill_new(struct cache_version version, struct slice key, struct slice value,
                                  const struct slice *tags, size_t tag_count, struct cache_life life)
{
    size_t text_max = ENTRY_MAGIC.len + VERSION_LEN + 32 + value.len;
    for (size_t i = 0; i < tag_count; i++) {
        if (!tag_is_sendable(tags[i]))
            return NULL;
        text_max += tags[i].len + 1;
    }
    if (life.stale_s > CACHE_SHARED_SECONDS_MAX)
        life.stale_s = CACHE_SHARED_SECONDS_MAX;
    if (life.fresh_s > CACHE_SHARED_SECONDS_MAX - life.stale_s)
        life.fresh_s = CACHE_SHARED_SECONDS_MAX - life.stale_s;
    size_t head = sizeof(struct store_fill) + tag_count * sizeof(struct slice);
    struct store_fill *fill = malloc(head + HASH_LEN + text_max);
    CHECK(fill != NULL);
    *fill = (struct store_fill){.version = version,
                                .seconds = life.fresh_s + life.stale_s,
                                .tag_count = tag_count,
                                .bytes = head + HASH_LEN + text_max};
    uint8_t digest[SHA256_LEN];
    sha256(key, digest);
    char *hash = (char *)fill + head, *text = hash + HASH_LEN;
    memcpy(hash, digest, sizeof(digest)); /* encoded when it is sent */
    fill->key = (struct slice){hash, sizeof(digest)};
    size_t len = (size_t)snprintf(text, text_max, "souk2 %020llu%020llu %lld %lld %zu\n",
                                  (unsigned long long)version.epoch, (unsigned long long)version.drops,
                                  (long long)life.fresh_s, (long long)life.stale_s, tag_count);
    for (size_t i = 0; i < tag_count; i++) {
        memcpy(text + len, tags[i].ptr, tags[i].len);
        fill->tags[i] = (struct slice){text + len, tags[i].len};
        len += tags[i].len;
        text[len++] = '\n';
    }
    if (value.len > 0)
        memcpy(text + len, value.ptr, value.len);
    fill->text = (struct slice){text, len + value.len};
    return fill;
}

struct puts {
    struct redis *redis;
    struct arena *arena;
    struct redis_command *commands;
    struct redis_reply *replies;
    size_t count, bytes;
};

static void puts_send(struct puts *puts)
{
    if (puts->count > 0)
        (void)run(puts->redis, puts->arena, puts->commands, puts->count, puts->replies);
    puts->count = puts->bytes = 0;
}

/* SET key value EX seconds, or the same with NX. */
static void puts_add(struct puts *puts, struct slice key, struct slice value, struct slice seconds,
                     bool is_only_new)
{
    struct slice *words = ARENA_ARRAY(puts->arena, struct slice, 6);
    words[0] = SLICE("SET");
    words[1] = key;
    words[2] = value;
    words[3] = SLICE("EX");
    words[4] = seconds;
    words[5] = SLICE("NX");
    puts->commands[puts->count++] =
        (struct redis_command){.words = words, .word_count = is_only_new ? 6 : 5, .key = 1};
    puts->bytes += key.len + value.len;
}

static void put_one(struct puts *puts, const struct store_fill *fill, struct slice now)
{
    for (size_t i = 0; i < fill->tag_count; i++)
        puts_add(puts, tag_key(puts->arena, fill->tags[i]), now, TAG_SECONDS, true);
    puts_add(puts, entry_key(puts->arena, base64url_encode(puts->arena, fill->key)), fill->text,
             arena_format(puts->arena, "%lld", (long long)fill->seconds), false);
    if (puts->count > PUT_COMMANDS_MAX || puts->bytes > PUT_BYTES_MAX)
        puts_send(puts);
}

void store_put(struct redis *redis, struct arena *arena, struct store_fill *first)
{
    struct cache_version now;
    bool is_possible = first != NULL && store_version(redis, arena, &now);
    struct puts puts = {.redis = redis, .arena = arena};
    if (is_possible) {
        puts.commands = ARENA_ARRAY(arena, struct redis_command, REDIS_PIPELINE_MAX);
        puts.replies = ARENA_ARRAY(arena, struct redis_reply, REDIS_PIPELINE_MAX);
        for (const struct store_fill *fill = first; fill != NULL; fill = fill->next)
            if (fill->version.epoch == now.epoch)
                put_one(&puts, fill, version_text(arena, now));
        puts_send(&puts);
    }
    while (first != NULL) {
        struct store_fill *next = first->next;
        free(first);
        first = next;
    }
}
