/* The counters: entries in short lists under striped locks, one for each key and month that was used lately,
 * and the thread that tells the database. Only keys that were found good come here, so their number
 * (API_KEYS_MAX) bounds the entries. */
#include "auth/key_usage.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define STRIPES 64
#define FLUSH_MAX 256 /* counts told in one transaction */
/* An entry that was not used for so long is forgotten: the next use asks the database. */
#define IDLE_MS 60000

struct entry {
    struct uuid key_id;
    struct usage_month month;
    bool is_known;   /* `stored` is what the database said */
    int64_t stored;  /* requests of all servers, when the database was last asked */
    int64_t pending; /* counted here, not told yet */
    int64_t telling; /* being told now */
    int64_t last_used_ms;
    struct entry *next;
};

struct stripe {
    pthread_mutex_t lock;
    struct entry *first;
};

struct key_usage {
    struct store *store; /* of the thread; NULL: there is none */
    struct db *db;       /* of the thread; NULL: to be opened */
    pthread_t thread;
    pthread_mutex_t lock; /* guards the pause */
    pthread_cond_t ends;
    bool is_ending;
    struct stripe stripes[STRIPES];
};

METRIC_DEFINE(FLUSHES, "souk_key_usage_flushes_total", "Times that counts of keys were told to the database",
              "result=\"ok\"", METRIC_COUNTER);
METRIC_DEFINE(FAILURES, "souk_key_usage_flushes_total", "", "result=\"failed\"", METRIC_COUNTER);

DB_STATEMENT(USAGE_ADD) = {
    .sql = "INSERT INTO api_key_usage (key_id, month, requests, last_used_at)"
           " SELECT id, $2, $3, $4 FROM api_keys WHERE id = $1"
           " ON CONFLICT (key_id, month) DO UPDATE SET requests = api_key_usage.requests + excluded.requests,"
           " last_used_at = excluded.last_used_at RETURNING requests",
    .params = {DB_UUID, DB_INT, DB_INT, DB_TIME},
    .columns = {DB_INT},
};
DB_STATEMENT(USAGE_READ) = {
    .sql = "SELECT requests FROM api_key_usage WHERE key_id = $1 AND month = $2",
    .params = {DB_UUID, DB_INT},
    .columns = {DB_INT},
};

/* ---- months ---- */

static int64_t first_of(int64_t number)
{
    char text[64];
    int64_t time_ms = 0;
    snprintf(text, sizeof(text), "%04d-%02d-01T00:00:00.000Z", (int)(number / 100 % 10000),
             (int)(number % 100));
    CHECK(clock_parse_rfc3339((struct slice){text, CLOCK_RFC3339_LEN}, &time_ms));
    return time_ms;
}

struct usage_month usage_month_of(int64_t now_ms)
{
    char text[CLOCK_RFC3339_LEN]; /* 2026-11-... */
    clock_format_rfc3339(now_ms, text);
    int64_t year = (text[0] - '0') * 1000 + (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
    int64_t month = (text[5] - '0') * 10 + (text[6] - '0');
    int64_t next = month == 12 ? (year + 1) * 100 + 1 : year * 100 + month + 1;
    return (struct usage_month){
        .number = year * 100 + month, .begins_ms = first_of(year * 100 + month), .ends_ms = first_of(next)};
}

/* ---- counting ---- */

static struct stripe *stripe_of(struct key_usage *usage, struct uuid key_id)
{
    return &usage
                ->stripes[hash64((struct slice){(const char *)key_id.bytes, sizeof(key_id.bytes)}) % STRIPES];
}

/* Under the stripe's lock; NULL when there is none. */
static struct entry *entry_find(const struct stripe *stripe, struct uuid key_id, int64_t now_ms)
{
    struct entry *entry = stripe->first;
    while (entry != NULL && !(uuid_equals(entry->key_id, key_id) && now_ms >= entry->month.begins_ms &&
                              now_ms < entry->month.ends_ms))
        entry = entry->next;
    return entry;
}

static struct entry *entry_find_or_make(struct stripe *stripe, struct uuid key_id, int64_t now_ms)
{
    struct entry *entry = entry_find(stripe, key_id, now_ms);
    if (entry != NULL)
        return entry;
    entry = calloc(1, sizeof(*entry));
    CHECK(entry != NULL);
    entry->key_id = key_id;
    entry->month = usage_month_of(now_ms);
    entry->last_used_ms = now_ms;
    entry->next = stripe->first;
    stripe->first = entry;
    return entry;
}

static int64_t used(const struct entry *entry)
{
    return entry->stored + entry->telling + entry->pending;
}

enum key_usage_answer key_usage_take(struct key_usage *usage, struct uuid key_id, int64_t quota,
                                     int64_t now_ms, struct key_usage_verdict *verdict)
{
    struct stripe *stripe = stripe_of(usage, key_id);
    enum key_usage_answer answer = KEY_USAGE_COUNTED;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = entry_find_or_make(stripe, key_id, now_ms);
    if (quota > 0 && !entry->is_known)
        answer = KEY_USAGE_UNKNOWN;
    else if (quota > 0 && used(entry) >= quota)
        answer = KEY_USAGE_EXCEEDED;
    else
        entry->pending++;
    entry->last_used_ms = now_ms;
    int64_t rest = quota - used(entry);
    verdict->remaining = rest > 0 ? rest : 0;
    verdict->window_s = (entry->month.ends_ms - entry->month.begins_ms) / 1000;
    verdict->reset_s = (entry->month.ends_ms - now_ms + 999) / 1000;
    pthread_mutex_unlock(&stripe->lock);
    return answer;
}

bool key_usage_is_known(struct key_usage *usage, struct uuid key_id, int64_t now_ms)
{
    struct stripe *stripe = stripe_of(usage, key_id);
    pthread_mutex_lock(&stripe->lock);
    const struct entry *entry = entry_find(stripe, key_id, now_ms);
    bool is_known = entry != NULL && entry->is_known;
    pthread_mutex_unlock(&stripe->lock);
    return is_known;
}

enum db_result key_usage_learn(struct key_usage *usage, struct db *db, struct uuid key_id, int64_t now_ms)
{
    int64_t requests = 0;
    int64_t month = usage_month_of(now_ms).number;
    if (db_one_int(db, &USAGE_READ, DB_ARGS(db_uuid(key_id), db_int(month)), &requests) == DB_ERROR)
        return DB_ERROR;
    struct stripe *stripe = stripe_of(usage, key_id);
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = entry_find_or_make(stripe, key_id, now_ms);
    /* What was told meanwhile is newer, and what is being told may be in it or not: then it counts twice for
     * a moment, until the answer to it comes. */
    if (!entry->is_known || entry->stored < requests)
        entry->stored = requests;
    entry->is_known = true;
    pthread_mutex_unlock(&stripe->lock);
    return DB_DONE;
}

int64_t key_usage_pending(struct key_usage *usage, struct uuid key_id, int64_t now_ms)
{
    struct stripe *stripe = stripe_of(usage, key_id);
    pthread_mutex_lock(&stripe->lock);
    const struct entry *entry = entry_find(stripe, key_id, now_ms);
    int64_t pending = entry != NULL ? entry->pending + entry->telling : 0;
    pthread_mutex_unlock(&stripe->lock);
    return pending;
}

/* ---- telling the database ---- */

struct telling {
    struct uuid key_id;
    int64_t month;
    int64_t requests;
    int64_t last_used_ms;
    int64_t total; /* what the database said */
};

struct flush {
    struct telling list[FLUSH_MAX];
    size_t count;
};

/* Forgets what is idle and told: so do months that are over. */
static void stripe_sweep(struct stripe *stripe, int64_t now_ms)
{
    for (struct entry **link = &stripe->first; *link != NULL;) {
        struct entry *entry = *link;
        bool is_told = entry->pending == 0 && entry->telling == 0;
        if (is_told && now_ms - entry->last_used_ms > IDLE_MS) {
            *link = entry->next;
            free(entry);
        } else {
            link = &entry->next;
        }
    }
}

static void collect(struct key_usage *usage, struct flush *flush)
{
    int64_t now_ms = clock_now_ms();
    flush->count = 0;
    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &usage->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        stripe_sweep(stripe, now_ms);
        for (struct entry *entry = stripe->first; entry != NULL && flush->count < FLUSH_MAX;
             entry = entry->next) {
            if (entry->pending == 0)
                continue;
            entry->telling = entry->pending;
            entry->pending = 0;
            flush->list[flush->count++] = (struct telling){.key_id = entry->key_id,
                                                           .month = entry->month.number,
                                                           .requests = entry->telling,
                                                           .last_used_ms = entry->last_used_ms};
        }
        pthread_mutex_unlock(&stripe->lock);
    }
}

/* In one order on all servers, so that none waits for another in a circle. */
static int compare_tellings(const void *a, const void *b)
{
    const struct telling *x = a;
    const struct telling *y = b;
    int order = memcmp(x->key_id.bytes, y->key_id.bytes, sizeof(x->key_id.bytes));
    return order != 0 ? order : x->month < y->month ? -1 : x->month > y->month;
}

/* May run again: `total` is then told again. */
static enum db_result tell(struct db *db, void *arg)
{
    struct flush *flush = arg;
    for (size_t i = 0; i < flush->count; i++) {
        struct telling *telling = &flush->list[i];
        struct db_rows *rows = db_query(db, &USAGE_ADD,
                                        DB_ARGS(db_uuid(telling->key_id), db_int(telling->month),
                                                db_int(telling->requests), db_time(telling->last_used_ms)));
        enum db_result result = db_next(rows);
        telling->total = telling->requests;
        if (result == DB_DONE)
            continue; /* the database was exchanged for one that has no such key */
        if (result != DB_ROW)
            return DB_ERROR;
        telling->total = db_get_int(rows, 0);
        db_close(rows);
    }
    return DB_DONE;
}

/* What was told is the database's; what was not is counted here again. */
static void settle(struct key_usage *usage, const struct flush *flush, bool is_told)
{
    for (size_t i = 0; i < flush->count; i++) {
        const struct telling *telling = &flush->list[i];
        struct stripe *stripe = stripe_of(usage, telling->key_id);
        pthread_mutex_lock(&stripe->lock);
        struct entry *entry = stripe->first;
        while (entry != NULL &&
               !(uuid_equals(entry->key_id, telling->key_id) && entry->month.number == telling->month))
            entry = entry->next;
        CHECK(entry != NULL); /* none is swept while it is being told */
        if (is_told) {
            entry->stored = telling->total;
            entry->is_known = usage->store != NULL; /* else others may have used it before we run again */
        } else {
            entry->pending += telling->requests;
        }
        entry->telling = 0;
        pthread_mutex_unlock(&stripe->lock);
    }
}

/* Tells what was collected. `db` may be NULL: it cannot be reached. */
static bool flush_told(struct key_usage *usage, struct flush *flush, struct db *db)
{
    qsort(flush->list, flush->count, sizeof(flush->list[0]), compare_tellings);
    bool is_told = db != NULL && db_transaction(db, tell, flush) == DB_DONE;
    settle(usage, flush, is_told);
    metric_add(is_told ? &FLUSHES : &FAILURES, 1);
    return is_told;
}

void key_usage_flush(struct key_usage *usage, struct db *db)
{
    struct flush flush;
    do {
        collect(usage, &flush);
    } while (flush.count > 0 && flush_told(usage, &flush, db) && flush.count == FLUSH_MAX);
}

bool key_usage_has_pending(struct key_usage *usage)
{
    bool has_pending = false;
    for (size_t i = 0; i < STRIPES && !has_pending; i++) {
        struct stripe *stripe = &usage->stripes[i];
        pthread_mutex_lock(&stripe->lock);
        for (const struct entry *entry = stripe->first; entry != NULL && !has_pending; entry = entry->next)
            has_pending = entry->pending > 0;
        pthread_mutex_unlock(&stripe->lock);
    }
    return has_pending;
}

/* Returns whether there may be more. */
static bool flush_some(struct key_usage *usage)
{
    struct flush flush;
    collect(usage, &flush);
    if (flush.count == 0)
        return false;
    if (usage->db == NULL)
        usage->db = store_connect(usage->store);
    bool is_told = flush_told(usage, &flush, usage->db);
    if (!is_told && usage->db != NULL) { /* it may be broken */
        store_disconnect(usage->db);
        usage->db = NULL;
    }
    return is_told && flush.count == FLUSH_MAX;
}

static void *usage_main(void *arg)
{
    struct key_usage *usage = arg;
    bool goes_on = true;
    while (goes_on) {
        goes_on =
            clock_pause(&usage->ends, &usage->lock, &usage->is_ending, KEY_USAGE_FLUSH_MS * INT64_C(1000));
        while (flush_some(usage))
            ;
    }
    if (usage->db != NULL)
        store_disconnect(usage->db);
    return NULL;
}

/* ---- start and stop ---- */

static void usage_free(struct key_usage *usage)
{
    for (size_t i = 0; i < STRIPES; i++) {
        for (struct entry *entry = usage->stripes[i].first; entry != NULL;) {
            struct entry *next = entry->next;
            free(entry);
            entry = next;
        }
        pthread_mutex_destroy(&usage->stripes[i].lock);
    }
    pthread_cond_destroy(&usage->ends);
    pthread_mutex_destroy(&usage->lock);
    free(usage);
}

struct key_usage *key_usage_new(void)
{
    struct key_usage *usage = calloc(1, sizeof(*usage));
    CHECK(usage != NULL);
    pthread_mutex_init(&usage->lock, NULL);
    clock_cond_init(&usage->ends);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&usage->stripes[i].lock, NULL);
    return usage;
}

struct key_usage *key_usage_start(struct store *store)
{
    struct key_usage *usage = key_usage_new();
    usage->store = store;
    if (pthread_create(&usage->thread, NULL, usage_main, usage) != 0) {
        usage_free(usage);
        return NULL;
    }
    (void)pthread_setname_np(usage->thread, "key-usage");
    return usage;
}

void key_usage_stop(struct key_usage *usage)
{
    if (usage == NULL)
        return;
    if (usage->store != NULL) {
        pthread_mutex_lock(&usage->lock);
        usage->is_ending = true;
        pthread_cond_signal(&usage->ends);
        pthread_mutex_unlock(&usage->lock);
        pthread_join(usage->thread, NULL);
    }
    usage_free(usage);
}
