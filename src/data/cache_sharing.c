/* The cache as one of several servers: what it tells the others, and what they tell.
 *
 * A thread takes what waits (drops, fades, fills), writes drops to Redis, where shared entries become bad,
 * and only then publishes them: a server that drops an entry from memory because of a message finds no old
 * one in Redis to put there again. What could not be delivered waits and is told again; while a drop of this
 * server waits, it takes nothing from Redis (a server sees its own writes). Drops are never forgotten: too
 * many become a flush of everything, everywhere.
 *
 * Nothing here trusts the link. While it is down, entries live a second in memory; when it comes back, memory
 * is flushed. While it is up, messages are numbered, and each server sends one a second: a gap, or a server
 * that ends without a farewell (its last drops may have ended with it), flushes too.
 *
 * Nor is Redis trusted by one who did not hear who ended, and with which drops: one that starts, or whose
 * link was down, takes nothing from Redis until a server that heard all along vouches for it, or, when none
 * does, until all that is in Redis was made bad. So a shop that is stopped and started begins with an empty
 * Redis, and one whose servers are replaced one by one keeps it. A farewell says that no drop was left
 * behind. */
#include "data/cache_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

#include <stdlib.h>

#define THREAD_ARENA_BYTES ((size_t)64 << 20)
#define DROPS_TAKEN_MAX 1000 /* at once */
#define FILLS_TAKEN_MAX 64
#define FADE_INTERVAL_US INT64_C(1000000) /* each tag fades at most this often on the others */
#define RETRY_US INT64_C(50000)
#define IDLE_US INT64_C(100000) /* how often losses of Redis are looked for */
#define FADES_PENDING_US INT64_C(20000)
#define HEARTBEAT_US (INT64_C(1000) * CACHE_HEARTBEAT_MS)
#define PEER_SILENCE_US (4 * HEARTBEAT_US)
#define LEARNING_US (3 * HEARTBEAT_US)     /* after the link came up, unknown servers are no sign of a loss */
#define VOUCHING_US (HEARTBEAT_US * 3 / 2) /* and somebody may vouch for Redis */

METRIC_DEFINE(SHARED_HITS, "souk_cache_shared_requests_total", "Look-ups in Redis by their outcome",
              "result=\"hit\"", METRIC_COUNTER);
METRIC_DEFINE(SHARED_MISSES, "souk_cache_shared_requests_total", "", "result=\"miss\"", METRIC_COUNTER);
METRIC_DEFINE(SHARED_SKIPPED, "souk_cache_shared_requests_total", "", "result=\"skipped\"", METRIC_COUNTER);
METRIC_DEFINE(FILLS_FORGOTTEN, "souk_cache_shared_fills_forgotten_total",
              "Entries that did not get to Redis because too many waited", NULL, METRIC_COUNTER);
METRIC_DEFINE(FLUSHES_HEARD, "souk_cache_flushes_total", "Flushes of memory by their cause", "cause=\"told\"",
              METRIC_COUNTER);
METRIC_DEFINE(FLUSHES_LINK, "souk_cache_flushes_total", "", "cause=\"link\"", METRIC_COUNTER);
METRIC_DEFINE(FLUSHES_GAP, "souk_cache_flushes_total", "", "cause=\"gap\"", METRIC_COUNTER);
METRIC_DEFINE(EPOCHS, "souk_cache_epochs_total", "Times that all entries in Redis were made bad", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(DROPS_HEARD, "souk_cache_drops_heard_total", "Drops and fades that other servers told of", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(LINK_UP, "souk_cache_link_up", "1 while other servers are heard", NULL, METRIC_GAUGE);

struct peer {
    struct uuid id;
    uint64_t number; /* of its last message */
    int64_t heard_us;
    bool is_used;
    bool is_recalled; /* from before the link was down: its number is of then */
};

struct cache_sharing {
    struct cache *cache;
    struct redis *redis; /* NULL: there is only the link */
    struct cache_link link;
    struct cache_sender self;
    /* Drops that were asked for, and those of them that Redis and the link have. */
    _Atomic uint64_t asked, delivered;
    _Atomic uint64_t losses; /* of Redis, that were answered with a new epoch */
    /* How often a server may have ended unheard with drops of its own (the first time: before this one
     * began), and those of them that were answered, with a new epoch or by one who heard. */
    _Atomic uint64_t doubts, settled;

    pthread_mutex_t mutex; /* of what waits */
    pthread_cond_t wake;
    struct tag_queue drops;
    struct tag_queue fades, told_fades; /* the others were told of these within FADE_INTERVAL_US */
    bool is_flush, is_fade_all, is_ending;
    struct store_fill *fills, **fills_end;
    size_t fill_count, fill_bytes;

    pthread_t thread;
    struct arena arena; /* the thread's */
    int64_t told_us;    /* when it last told something */
    bool must_renew;    /* the epoch: a doubt that nobody settles */

    pthread_mutex_t peers_mutex; /* of the link's thread and ours */
    struct peer peers[CACHE_PEERS_MAX];
    int64_t learning_until_us, vouching_until_us;
    bool is_vouched; /* somebody did, since the link came up */
    _Atomic bool is_link_up;
};

/* ---- what waits ---- */

static void wake(struct cache_sharing *sharing)
{
    pthread_cond_signal(&sharing->wake);
}

/* Under the mutex. */
static void drop_everything(struct cache_sharing *sharing)
{
    sharing->is_flush = true;
    tag_queue_clear(&sharing->drops);
}

static void add_drop(struct cache_sharing *sharing, struct slice tag)
{
    if (sharing->is_flush || tag_queue_find(&sharing->drops, tag) != NULL)
        return;
    if (!tag_is_sendable(tag) || sharing->drops.count == CACHE_DROPS_QUEUED_MAX)
        drop_everything(sharing);
    else
        tag_queue_add(&sharing->drops, tag);
}

void cache_sharing_drop(struct cache_sharing *sharing, struct slice tag)
{
    pthread_mutex_lock(&sharing->mutex);
    atomic_fetch_add(&sharing->asked, 1);
    add_drop(sharing, tag);
    wake(sharing);
    pthread_mutex_unlock(&sharing->mutex);
}

void cache_sharing_flush(struct cache_sharing *sharing)
{
    pthread_mutex_lock(&sharing->mutex);
    atomic_fetch_add(&sharing->asked, 1);
    drop_everything(sharing);
    wake(sharing);
    pthread_mutex_unlock(&sharing->mutex);
}

void cache_sharing_fade(struct cache_sharing *sharing, struct slice tag)
{
    pthread_mutex_lock(&sharing->mutex);
    struct waiting_tag *told = tag_queue_find(&sharing->told_fades, tag);
    if (told != NULL) {
        told->is_due = true;
    } else if (tag_queue_find(&sharing->fades, tag) == NULL) {
        bool has_room = sharing->fades.count + sharing->told_fades.count < CACHE_FADES_QUEUED_MAX;
        if (has_room && tag_is_sendable(tag))
            tag_queue_add(&sharing->fades, tag);
        else
            sharing->is_fade_all = true;
        wake(sharing);
    }
    pthread_mutex_unlock(&sharing->mutex);
}

void cache_sharing_fill(struct cache_sharing *sharing, struct cache_ticket ticket, struct slice key,
                        struct slice value, const struct slice *tags, size_t tag_count,
                        struct cache_life life)
{
    struct cache_version version = {ticket.epoch, ticket.drops};
    struct store_fill *fill = store_fill_new(version, key, value, tags, tag_count, life);
    if (fill == NULL)
        return;
    pthread_mutex_lock(&sharing->mutex);
    bool fits = sharing->fill_count < CACHE_FILLS_QUEUED_MAX &&
                sharing->fill_bytes + fill->bytes <= CACHE_FILLS_QUEUED_BYTES_MAX;
    if (fits) {
        *sharing->fills_end = fill;
        sharing->fills_end = &fill->next;
        sharing->fill_count++;
        sharing->fill_bytes += fill->bytes;
        wake(sharing);
    }
    pthread_mutex_unlock(&sharing->mutex);
    if (!fits) {
        metric_add(&FILLS_FORGOTTEN, 1);
        free(fill);
    }
}

/* ---- looking up ---- */

/* Redis has all drops of servers that ended, and lost none that anybody knows of. */
static bool is_settled(struct cache_sharing *sharing)
{
    return atomic_load(&sharing->doubts) == atomic_load(&sharing->settled) &&
           redis_losses(sharing->redis) == atomic_load(&sharing->losses);
}

/* Redis may be asked: it has all drops of this server, too. */
static bool is_trusted(struct cache_sharing *sharing)
{
    return atomic_load(&sharing->asked) == atomic_load(&sharing->delivered) && is_settled(sharing);
}

static void keep_in_memory(struct cache_sharing *sharing, const struct cache_ticket *ticket, struct slice key,
                           const struct store_entry *entry, struct cache_hit *hit)
{
    int64_t age_ms = (entry->life.fresh_s + entry->life.stale_s) * 1000 - entry->left_ms;
    int64_t left_ms = entry->left_ms - entry->life.stale_s * 1000;
    if (age_ms < 0)
        age_ms = 0;
    *hit = (struct cache_hit){
        .freshness = left_ms > 0 ? CACHE_FRESH : CACHE_STALE, .value = entry->value, .age_s = age_ms / 1000};
    memory_put(sharing->cache, ticket->generation, key, entry->value, entry->tags, entry->tag_count,
               (struct memory_life){.age_us = age_ms * 1000,
                                    .left_us = left_ms * 1000,
                                    .stale_us = entry->life.stale_s * 1000000});
}

bool cache_sharing_get(struct cache_sharing *sharing, struct slice key, struct arena *arena,
                       struct cache_hit *hit, struct cache_ticket *ticket)
{
    if (sharing->redis == NULL)
        return false;
    struct store_entry *entry = ARENA_NEW(arena, struct store_entry);
    struct cache_version now;
    enum store_found found = STORE_UNKNOWN;
    if (is_trusted(sharing))
        found = store_get(sharing->redis, arena, key, entry, &now);
    /* Again: what was just learned may come from a node that took over. */
    if (found == STORE_UNKNOWN || !is_trusted(sharing)) {
        metric_add(&SHARED_SKIPPED, 1);
        return false;
    }
    ticket->epoch = now.epoch;
    ticket->drops = now.drops;
    if (found == STORE_MISS) {
        metric_add(&SHARED_MISSES, 1);
        return false;
    }
    metric_add(&SHARED_HITS, 1);
    keep_in_memory(sharing, ticket, key, entry, hit);
    return true;
}

void cache_sharing_ticket(struct cache_sharing *sharing, struct arena *arena, struct cache_ticket *ticket)
{
    struct cache_version now;
    if (sharing->redis == NULL || !is_trusted(sharing) || !store_version(sharing->redis, arena, &now) ||
        !is_trusted(sharing))
        return;
    ticket->epoch = now.epoch;
    ticket->drops = now.drops;
}

/* ---- what others tell ---- */

static void flush_memory(struct cache_sharing *sharing, struct metric *cause)
{
    metric_add(cause, 1);
    memory_flush(sharing->cache);
}

/* Under peers_mutex: the peer, or a place for it (the one that was silent for longest). */
static struct peer *peer_find(struct cache_sharing *sharing, struct uuid id)
{
    struct peer *oldest = &sharing->peers[0];
    for (size_t i = 0; i < CACHE_PEERS_MAX; i++) {
        struct peer *peer = &sharing->peers[i];
        if (peer->is_used && uuid_equals(peer->id, id))
            return peer;
        if (oldest->is_used && (!peer->is_used || peer->heard_us < oldest->heard_us))
            oldest = peer;
    }
    *oldest = (struct peer){.id = id};
    return oldest;
}

/* True when a message of the sender was missed. */
static bool note_peer(struct cache_sharing *sharing, const struct cache_message *message)
{
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&sharing->peers_mutex);
    struct peer *peer = peer_find(sharing, message->sender);
    bool is_learning = peer->is_recalled || (!peer->is_used && now_us < sharing->learning_until_us);
    bool is_gap = !is_learning && message->number > peer->number + 1;
    peer->is_used = true;
    peer->is_recalled = false;
    peer->heard_us = now_us;
    if (message->number > peer->number)
        peer->number = message->number;
    pthread_mutex_unlock(&sharing->peers_mutex);
    return is_gap;
}

static void forget_peer(struct cache_sharing *sharing, struct uuid id)
{
    pthread_mutex_lock(&sharing->peers_mutex);
    peer_find(sharing, id)->is_used = false;
    pthread_mutex_unlock(&sharing->peers_mutex);
}

static void note_voucher(struct cache_sharing *sharing)
{
    pthread_mutex_lock(&sharing->peers_mutex);
    sharing->is_vouched = true;
    pthread_mutex_unlock(&sharing->peers_mutex);
}

static void follow(struct cache_sharing *sharing, enum cache_order order, struct slice tag,
                   struct uuid sender)
{
    switch (order) {
    case CACHE_ORDER_DROP:
        metric_add(&DROPS_HEARD, 1);
        memory_drop_tag(sharing->cache, tag);
        break;
    case CACHE_ORDER_FADE:
        metric_add(&DROPS_HEARD, 1);
        memory_fade_tag(sharing->cache, tag);
        break;
    case CACHE_ORDER_FLUSH:
        flush_memory(sharing, &FLUSHES_HEARD);
        break;
    case CACHE_ORDER_FADE_ALL:
        memory_fade_all(sharing->cache);
        break;
    case CACHE_ORDER_FAREWELL:
        forget_peer(sharing, sender);
        break;
    case CACHE_ORDER_VOUCH:
        note_voucher(sharing);
        break;
    }
}

static void on_message(void *arg, struct slice text)
{
    struct cache_sharing *sharing = arg;
    struct cache_message message;
    enum cache_order order;
    struct slice tag;
    if (!cache_message_parse(text, &message) || uuid_equals(message.sender, sharing->self.id))
        return;
    if (note_peer(sharing, &message))
        flush_memory(sharing, &FLUSHES_GAP);
    while (cache_message_next(&message, &order, &tag))
        follow(sharing, order, tag, message.sender);
}

/* Who was heard before is to be heard again; who is not has ended in between, and perhaps not well. */
static void begin_to_hear(struct cache_sharing *sharing)
{
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&sharing->peers_mutex);
    for (size_t i = 0; i < CACHE_PEERS_MAX; i++) {
        sharing->peers[i].heard_us = now_us;
        sharing->peers[i].is_recalled = sharing->peers[i].is_used;
    }
    sharing->learning_until_us = now_us + LEARNING_US;
    sharing->vouching_until_us = now_us + VOUCHING_US;
    sharing->is_vouched = false;
    atomic_fetch_add(&sharing->doubts, 1);
    pthread_mutex_unlock(&sharing->peers_mutex);
}

static void on_state(void *arg, bool is_up)
{
    struct cache_sharing *sharing = arg;
    if (is_up) {
        begin_to_hear(sharing);
        flush_memory(sharing, &FLUSHES_LINK);
        memory_set_deaf(sharing->cache, false);
        atomic_store(&sharing->is_link_up, true);
    } else {
        /* First of all: a doubt is only settled by what is heard after the link is up again. */
        atomic_store(&sharing->is_link_up, false);
        atomic_fetch_add(&sharing->doubts, 1);
        memory_set_deaf(sharing->cache, true);
    }
    metric_set(&LINK_UP, is_up);
    log_message(is_up ? LOG_INFO : LOG_WARN,
                is_up ? "The cache hears the other servers"
                      : "The cache does not hear the other servers: entries live a second in memory");
}

/* True when a server has fallen silent without a farewell. */
static bool has_lost_peer(struct cache_sharing *sharing)
{
    int64_t now_us = clock_monotonic_us();
    bool is_lost = false;
    if (!atomic_load(&sharing->is_link_up))
        return false;
    pthread_mutex_lock(&sharing->peers_mutex);
    for (size_t i = 0; i < CACHE_PEERS_MAX; i++) {
        struct peer *peer = &sharing->peers[i];
        if (!peer->is_used || now_us - peer->heard_us < PEER_SILENCE_US)
            continue;
        peer->is_used = false;
        is_lost = true;
    }
    pthread_mutex_unlock(&sharing->peers_mutex);
    return is_lost;
}

/* ---- telling ---- */

/* What was taken in one turn of the thread. */
struct turn {
    struct cache_batch batch;
    struct store_fill *fills;
    uint64_t asked;   /* as many drops were asked for by then */
    bool is_complete; /* and no drop still waits */
    bool is_last;
};

static struct slice *take_drops(struct cache_sharing *sharing, size_t *count)
{
    size_t room = sharing->drops.count < DROPS_TAKEN_MAX ? sharing->drops.count : DROPS_TAKEN_MAX;
    struct slice *tags = ARENA_ARRAY(&sharing->arena, struct slice, room + 1);
    for (*count = 0; *count < room; ++*count) {
        struct waiting_tag *one = tag_queue_take(&sharing->drops);
        tags[*count] = arena_copy(&sharing->arena, waiting_tag_text(one));
        free(one);
    }
    return tags;
}

/* A fade that the others are to be told of now, and once more in a second when it is asked for again. */
static struct slice take_fade(struct cache_sharing *sharing, struct waiting_tag *one, int64_t now_us)
{
    struct slice text = arena_copy(&sharing->arena, waiting_tag_text(one));
    free(one);
    tag_queue_add(&sharing->told_fades, text)->told_us = now_us;
    return text;
}

/* Those told of a second ago were put into the queue in that order. */
static bool is_rested(const struct waiting_tag *told, int64_t now_us)
{
    return told != NULL && now_us - told->told_us >= FADE_INTERVAL_US;
}

static struct slice *take_fades(struct cache_sharing *sharing, int64_t now_us, size_t *count)
{
    struct slice *tags = ARENA_ARRAY(&sharing->arena, struct slice, DROPS_TAKEN_MAX);
    *count = 0;
    while (*count < DROPS_TAKEN_MAX && is_rested(sharing->told_fades.first, now_us)) {
        struct waiting_tag *one = tag_queue_take(&sharing->told_fades);
        if (one->is_due)
            tags[(*count)++] = take_fade(sharing, one, now_us);
        else
            free(one);
    }
    while (*count < DROPS_TAKEN_MAX && sharing->fades.first != NULL)
        tags[(*count)++] = take_fade(sharing, tag_queue_take(&sharing->fades), now_us);
    return tags;
}

static struct store_fill *take_fills(struct cache_sharing *sharing)
{
    struct store_fill *first = sharing->fills, **end = &first;
    size_t count = 0;
    while (*end != NULL && count < FILLS_TAKEN_MAX) {
        sharing->fill_count--;
        sharing->fill_bytes -= (*end)->bytes;
        end = &(*end)->next;
        count++;
    }
    sharing->fills = *end;
    if (sharing->fills == NULL)
        sharing->fills_end = &sharing->fills;
    *end = NULL;
    return first;
}

static bool has_work(const struct cache_sharing *sharing, int64_t now_us)
{
    return sharing->is_ending || sharing->is_flush || sharing->is_fade_all || sharing->drops.count > 0 ||
           sharing->fills != NULL || now_us - sharing->told_us >= HEARTBEAT_US || sharing->fades.count > 0 ||
           is_rested(sharing->told_fades.first, now_us);
}

/* Nobody is there for another second, to tell of a fade again. */
static void fades_become_drops(struct cache_sharing *sharing)
{
    struct waiting_tag *one;
    while ((one = tag_queue_take(&sharing->fades)) != NULL) {
        add_drop(sharing, waiting_tag_text(one));
        free(one);
    }
    while ((one = tag_queue_take(&sharing->told_fades)) != NULL) {
        if (one->is_due)
            add_drop(sharing, waiting_tag_text(one));
        free(one);
    }
}

/* Waits until there is something to do, and takes it. */
static void turn_take(struct cache_sharing *sharing, struct turn *turn, int64_t not_before_us)
{
    pthread_mutex_lock(&sharing->mutex);
    int64_t now_us = clock_monotonic_us();
    int64_t pause_us = sharing->told_fades.count > 0 ? FADES_PENDING_US : IDLE_US;
    int64_t until_us = now_us + pause_us;
    while (now_us < until_us && (now_us < not_before_us || !has_work(sharing, now_us)) &&
           !sharing->is_ending) {
        int64_t wake_us = now_us < not_before_us && not_before_us < until_us ? not_before_us : until_us;
        (void)clock_cond_wait(&sharing->wake, &sharing->mutex, wake_us);
        now_us = clock_monotonic_us();
    }
    if (sharing->is_ending)
        fades_become_drops(sharing);
    *turn = (struct turn){.asked = atomic_load(&sharing->asked), .is_last = sharing->is_ending};
    turn->batch.is_flush = sharing->is_flush;
    turn->batch.is_fade_all = sharing->is_fade_all;
    sharing->is_flush = sharing->is_fade_all = false;
    turn->batch.drops = take_drops(sharing, &turn->batch.drop_count);
    turn->batch.fades = take_fades(sharing, now_us, &turn->batch.fade_count);
    turn->fills = take_fills(sharing);
    turn->is_complete = sharing->drops.count == 0;
    pthread_mutex_unlock(&sharing->mutex);
}

/* What somebody who heard all along vouches for needs no new epoch. */
static void weigh_doubts(struct cache_sharing *sharing)
{
    pthread_mutex_lock(&sharing->peers_mutex);
    uint64_t doubts = atomic_load(&sharing->doubts);
    bool is_vouched = sharing->is_vouched;
    bool is_in_time = clock_monotonic_us() < sharing->vouching_until_us;
    pthread_mutex_unlock(&sharing->peers_mutex);
    if (doubts == atomic_load(&sharing->settled) || sharing->must_renew || !atomic_load(&sharing->is_link_up))
        return;
    if (is_vouched)
        atomic_store(&sharing->settled, doubts);
    else if (!is_in_time)
        sharing->must_renew = true;
}

/* A new epoch when one is asked for, when Redis may have lost drops, and when a server may have ended with
 * some of its own. */
static bool renew_epoch(struct cache_sharing *sharing, bool is_asked)
{
    uint64_t losses = redis_losses(sharing->redis), doubts = atomic_load(&sharing->doubts);
    if (!is_asked && !sharing->must_renew && losses == atomic_load(&sharing->losses))
        return true;
    if (!store_flush(sharing->redis, &sharing->arena))
        return false;
    metric_add(&EPOCHS, 1);
    sharing->must_renew = false;
    atomic_store(&sharing->losses, losses);
    atomic_store(&sharing->settled, doubts);
    return true;
}

static bool store(struct cache_sharing *sharing, const struct cache_batch *batch)
{
    if (sharing->redis == NULL)
        return true;
    struct arena *arena = &sharing->arena;
    weigh_doubts(sharing);
    bool is_stored = renew_epoch(sharing, batch->is_flush || batch->is_fade_all);
    is_stored = store_drop(sharing->redis, arena, batch->drops, batch->drop_count) && is_stored;
    return store_drop(sharing->redis, arena, batch->fades, batch->fade_count) && is_stored;
}

static bool publish(struct cache_sharing *sharing, struct cache_batch *batch)
{
    bool is_news = batch->is_flush || batch->is_fade_all || batch->is_farewell || batch->drop_count > 0 ||
                   batch->fade_count > 0;
    int64_t now_us = clock_monotonic_us();
    if (!is_news && now_us - sharing->told_us < HEARTBEAT_US)
        return true;
    sharing->told_us = now_us;
    batch->is_vouch = sharing->redis != NULL && atomic_load(&sharing->is_link_up) && is_settled(sharing);
    return cache_messages_send(batch, &sharing->self, sharing->link.message_bytes_max, &sharing->arena,
                               sharing->link.publish, sharing->link.arg);
}

/* What was not delivered waits again. */
static void turn_give_back(struct cache_sharing *sharing, const struct turn *turn)
{
    pthread_mutex_lock(&sharing->mutex);
    if (turn->batch.is_flush)
        drop_everything(sharing);
    sharing->is_fade_all = sharing->is_fade_all || turn->batch.is_fade_all;
    for (size_t i = 0; i < turn->batch.drop_count; i++)
        add_drop(sharing, turn->batch.drops[i]);
    for (size_t i = 0; i < turn->batch.fade_count; i++) {
        struct waiting_tag *one = tag_queue_find(&sharing->told_fades, turn->batch.fades[i]);
        if (one != NULL)
            one->is_due = true; /* in a second */
    }
    pthread_mutex_unlock(&sharing->mutex);
}

static void forget_fills(struct store_fill *fill)
{
    while (fill != NULL) {
        struct store_fill *next = fill->next;
        free(fill);
        fill = next;
    }
}

/* True when all that was taken has arrived. */
static bool turn_run(struct cache_sharing *sharing, struct turn *turn)
{
    if (has_lost_peer(sharing)) {
        /* The doubt first: what Redis has does not get into the memory that was flushed. */
        atomic_fetch_add(&sharing->doubts, 1);
        sharing->must_renew = true;
        flush_memory(sharing, &FLUSHES_GAP);
    }
    bool is_stored = store(sharing, &turn->batch);
    bool is_published = publish(sharing, &turn->batch); /* in any case: the others' memories can be told */
    bool is_delivered = is_stored && is_published;
    if (!is_delivered)
        turn_give_back(sharing, turn);
    else if (turn->is_complete)
        atomic_store(&sharing->delivered, turn->asked);
    /* While the others were not told yet, what Redis had could still be taken from there: once more. */
    for (size_t i = 0; i < turn->batch.fade_count; i++)
        memory_fade_tag(sharing->cache, turn->batch.fades[i]);
    if (is_delivered && sharing->redis != NULL)
        store_put(sharing->redis, &sharing->arena, turn->fills);
    else
        forget_fills(turn->fills);
    return is_delivered;
}

static void *sharing_thread(void *arg)
{
    struct cache_sharing *sharing = arg;
    int64_t not_before_us = 0, pinged_us = 0, end_us = 0;
    bool is_clean = false;
    while (!is_clean) {
        struct turn turn;
        arena_reset(&sharing->arena);
        turn_take(sharing, &turn, not_before_us);
        bool is_delivered = turn_run(sharing, &turn);
        int64_t now_us = clock_monotonic_us();
        not_before_us = is_delivered ? 0 : now_us + RETRY_US;
        if (sharing->redis != NULL && now_us - pinged_us >= HEARTBEAT_US && !redis_is_up(sharing->redis)) {
            pinged_us = now_us;
            redis_ping(sharing->redis);
        }
        if (!turn.is_last)
            continue;
        if (end_us == 0)
            end_us = now_us + CACHE_FAREWELL_MS * INT64_C(1000);
        is_clean = is_delivered && turn.is_complete;
        if (now_us >= end_us)
            break;
    }
    /* With drops undelivered there is none: the others find out by the silence, and make all in Redis bad. */
    struct cache_batch farewell = {.is_farewell = true};
    if (is_clean)
        (void)publish(sharing, &farewell);
    else
        log_message(LOG_WARN, "The cache ends before the others could be told of all that changed");
    return NULL;
}

/* ---- open and close ---- */

static void open_sharing(struct cache *cache, struct redis *redis, const struct cache_link *link)
{
    struct cache_sharing *sharing = calloc(1, sizeof(*sharing));
    CHECK(sharing != NULL);
    sharing->cache = cache;
    sharing->redis = redis;
    sharing->link = *link;
    sharing->self.id = uuid_v4();
    sharing->fills_end = &sharing->fills;
    atomic_store(&sharing->doubts, 1);
    if (redis != NULL)
        atomic_store(&sharing->losses, redis_losses(redis));
    CHECK(arena_init(&sharing->arena, THREAD_ARENA_BYTES));
    pthread_mutex_init(&sharing->mutex, NULL);
    pthread_mutex_init(&sharing->peers_mutex, NULL);
    clock_cond_init(&sharing->wake);
    memory_set_deaf(cache, true); /* until the link is up */
    cache_set_sharing(cache, sharing);
    struct cache_link_events events = {on_message, on_state, sharing};
    sharing->link.listen(sharing->link.arg, &events);
    CHECK(pthread_create(&sharing->thread, NULL, sharing_thread, sharing) == 0);
}

void cache_share(struct cache *cache, struct redis *redis)
{
    struct cache_link link = cache_link_redis(redis);
    open_sharing(cache, redis, &link);
}

void cache_connect(struct cache *cache, const struct cache_link *link)
{
    open_sharing(cache, NULL, link);
}

void cache_sharing_close(struct cache_sharing *sharing)
{
    pthread_mutex_lock(&sharing->mutex);
    sharing->is_ending = true;
    wake(sharing);
    pthread_mutex_unlock(&sharing->mutex);
    CHECK(pthread_join(sharing->thread, NULL) == 0);
    sharing->link.unlisten(sharing->link.arg);
    tag_queue_clear(&sharing->drops);
    tag_queue_clear(&sharing->fades);
    tag_queue_clear(&sharing->told_fades);
    forget_fills(sharing->fills);
    pthread_cond_destroy(&sharing->wake);
    pthread_mutex_destroy(&sharing->mutex);
    pthread_mutex_destroy(&sharing->peers_mutex);
    arena_release(&sharing->arena);
    free(sharing);
}

bool cache_sharing_is_up(struct cache_sharing *sharing)
{
    return atomic_load(&sharing->is_link_up) && (sharing->redis == NULL || redis_is_up(sharing->redis));
}
