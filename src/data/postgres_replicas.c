/* Read replicas: which of them are near enough to the primary, and which one a thread reads by.
 *
 * A thread for each server asks how far it is. The primary's keeps samples: at this moment it had written so
 * much. What a replica has replayed is compared with them: its lag is the age of the newest sample that it
 * has replayed. No clock of another machine is asked, the lag is right without traffic too, and when the
 * primary does not answer any more, or the replica, the age of what is known grows by itself past the bound.
 *
 * A sample also remembers what the cache had been told until then. What was dropped before the sample was
 * committed before it: a replica that has replayed the sample has seen all of it, and what is read there may
 * be cached as if it had been read at the moment of the sample. Right after a drop no replica has; then reads
 * go to the primary, and the watchers are asked to look again at once. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/metrics.h"
#include "data/cache.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX 512
#define SAMPLES_IN_BOUND 256           /* they lie no closer than so many in the bound on lag */
#define ROUNDS_IN_BOUND 4              /* the servers are asked at least so often in it */
#define ROUND_US_MAX INT64_C(100000)   /* and at least so often anyway, ... */
#define ROUND_US_MIN INT64_C(5000)     /* ... but never more often */
#define SILENCE_US_MAX INT64_C(700000) /* what has not answered for so long is taken for lost */
#define WATCH_TIMEOUT_MS 1000          /* of a question about where a server is */
#define WATCH_ARENA_BYTES ((size_t)16 << 20)
#define WAL_PAGE_BYTES 8192      /* the log's pages, ... */
#define WAL_PAGE_HEADER_BYTES 24 /* ... and what each begins with */

/* Reading waits for a replica no longer than a snapshot may live on SQLite; then the primary answers. */
#define REPLICA_TIMEOUT_MS READ_TRANSACTION_MS_MAX

/* What is inserted, not only what is written: a commit need not wait for the disk (synchronous_commit). */
DB_STATEMENT(PRIMARY_POSITION) = {
    .sql_postgres = "SELECT pg_current_wal_insert_lsn() - pg_lsn '0/0',"
                    " substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
    .columns = {DB_INT, DB_TEXT},
};
DB_STATEMENT(REPLICA_POSITION) = {
    .sql_postgres = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() - pg_lsn '0/0',"
                    " (SELECT received_tli FROM pg_stat_wal_receiver)",
    .columns = {DB_BOOL, DB_INT, DB_INT},
};

/* Where the primary was, and what the cache had been told before. */
struct sample {
    int64_t taken_us;
    int64_t position; /* bytes of log written since the beginning of the world */
    struct cache_ticket ticket;
};

/* Of one replica; live for ever, as metrics do, so that a second store finds those of the first. */
struct replica_metrics {
    char label[280];
    struct metric lag, is_healthy, reads;
    struct replica_metrics *next;
};

struct replica {
    struct postgres_server server;
    struct postgres_replicas *all;
    struct replica_metrics *metrics;
    pthread_t thread;
    bool is_started;
    /* Guarded by the mutex: the newest sample that it has replayed; taken_us 0: none is known. */
    struct sample seen;
    /* The watcher's own. */
    int64_t position, known_us; /* of the answer before, and when it came; 0: none on this connection */
    int backend;                /* that answered */
    bool is_astray;             /* it holds what the primary never wrote; it must be started again */
    bool was_healthy;
};

struct postgres_replicas {
    struct store *store;
    struct postgres_server primary; /* the store's, on a watcher's terms */
    pthread_t thread;
    bool is_started;
    int64_t lag_us_max, round_us;
    struct cache *cache; /* NULL: none */
    pthread_mutex_t mutex;
    pthread_cond_t wanted, sampled;
    bool is_stopping;
    bool is_wanted;   /* somebody wants to know now */
    uint64_t rounds;  /* samples taken or tried */
    int64_t timeline; /* of the samples */
    struct sample samples[SAMPLES_MAX];
    size_t first, count; /* a ring, oldest first */
    size_t replica_count;
    struct replica list[];
};

/* ---- samples (under the mutex) ---- */

static struct sample *sample_at(struct postgres_replicas *all, size_t i)
{
    return &all->samples[(all->first + i) % SAMPLES_MAX];
}

/* The newest sample is always kept, those before it at distances that let the ring reach past the bound. */
static void sample_add(struct postgres_replicas *all, int64_t timeline, struct sample sample)
{
    if (timeline != all->timeline) /* a history of its own: positions say nothing across it */
        all->count = 0;
    all->timeline = timeline;
    int64_t distance_us = all->lag_us_max / SAMPLES_IN_BOUND;
    bool is_close =
        all->count >= 2 &&
        sample_at(all, all->count - 1)->taken_us - sample_at(all, all->count - 2)->taken_us < distance_us;
    if (is_close) {
        all->count--;
    } else if (all->count == SAMPLES_MAX) {
        all->first = (all->first + 1) % SAMPLES_MAX;
        all->count--;
    }
    *sample_at(all, all->count++) = sample;
}

/* The newest that lies at or before the position; NULL: none. */
static const struct sample *sample_replayed(struct postgres_replicas *all, int64_t position)
{
    for (size_t i = all->count; i-- > 0;)
        if (sample_at(all, i)->position <= position)
            return sample_at(all, i);
    return NULL;
}

/* Whether a server that was at `position` before `time_us` was ahead of where the primary came to later. */
static bool is_ahead(struct postgres_replicas *all, int64_t position, int64_t time_us)
{
    for (size_t i = all->count; i-- > 0 && sample_at(all, i)->taken_us >= time_us;)
        if (sample_at(all, i)->position < position)
            return true;
    return false;
}

/* ---- waiting ---- */

/* Until the next round of the primary's watcher. False: it is over. */
static bool wait_for_turn(struct postgres_replicas *all)
{
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&all->mutex);
    while (!all->is_stopping && clock_cond_wait(&all->wanted, &all->mutex, now_us + ROUND_US_MIN) == 0)
        ;
    while (!all->is_stopping && !all->is_wanted &&
           clock_cond_wait(&all->wanted, &all->mutex, now_us + all->round_us) == 0)
        ;
    all->is_wanted = false;
    bool goes_on = !all->is_stopping;
    pthread_mutex_unlock(&all->mutex);
    return goes_on;
}

/* Until there is a new sample, or the primary's watcher is late with it. False: it is over. */
static bool wait_for_sample(struct postgres_replicas *all, uint64_t *round)
{
    int64_t until_us = clock_monotonic_us() + ROUND_US_MAX * 2;
    pthread_mutex_lock(&all->mutex);
    while (!all->is_stopping && all->rounds == *round &&
           clock_cond_wait(&all->sampled, &all->mutex, until_us) == 0)
        ;
    *round = all->rounds;
    bool goes_on = !all->is_stopping;
    pthread_mutex_unlock(&all->mutex);
    return goes_on;
}

static void want_sample(struct postgres_replicas *all)
{
    pthread_mutex_lock(&all->mutex);
    if (!all->is_wanted) {
        all->is_wanted = true;
        pthread_cond_signal(&all->wanted);
    }
    pthread_mutex_unlock(&all->mutex);
}

/* ---- the primary's watcher ---- */

/* An empty page counts its header as written before anybody can have replayed it. */
static int64_t without_page_header(int64_t position)
{
    return position % WAL_PAGE_BYTES == WAL_PAGE_HEADER_BYTES ? position - WAL_PAGE_HEADER_BYTES : position;
}

static void take_sample(struct postgres_replicas *all, struct postgres_connection *connection,
                        struct arena *arena)
{
    struct sample sample = {0};
    arena_reset(arena);
    if (all->cache != NULL)
        sample.ticket = cache_ticket_shared(all->cache, arena);
    sample.taken_us = clock_monotonic_us();
    struct db_rows *rows = db_query(&connection->base, &PRIMARY_POSITION, DB_NO_ARGS);
    bool is_known = db_next(rows) == DB_ROW;
    int64_t timeline = 0;
    if (is_known) {
        char digits[9] = "";
        struct slice text = db_get_text(rows, 1);
        snprintf(digits, sizeof(digits), "%.*s", SLICE_ARG(text));
        sample.position = without_page_header(db_get_int(rows, 0));
        timeline = (int64_t)strtoul(digits, NULL, 16);
        db_close(rows);
    }
    pthread_mutex_lock(&all->mutex);
    if (is_known)
        sample_add(all, timeline, sample);
    all->rounds++;
    pthread_cond_broadcast(&all->sampled);
    pthread_mutex_unlock(&all->mutex);
}

static void *watch_primary(void *arg)
{
    struct postgres_replicas *all = arg;
    struct postgres_connection *connection = postgres_connection_new(all->store, &all->primary);
    struct arena arena; /* for what Redis answers */
    CHECK(arena_init(&arena, WATCH_ARENA_BYTES));
    do
        take_sample(all, connection, &arena);
    while (wait_for_turn(all));
    arena_release(&arena);
    postgres_connection_free(connection);
    return NULL;
}

/* ---- a replica's watcher ---- */

struct answer {
    bool is_replica; /* false: promoted, it is a primary of its own */
    int64_t position;
    int64_t timeline; /* 0: not told, as to a role without pg_monitor, or while it receives nothing */
    int backend;
    int64_t came_us;
};

static bool ask_replica(struct postgres_connection *connection, struct answer *answer)
{
    struct db_rows *rows = db_query(&connection->base, &REPLICA_POSITION, DB_NO_ARGS);
    if (db_next(rows) != DB_ROW)
        return false;
    *answer = (struct answer){.is_replica = db_get_bool(rows, 0),
                              .position = db_get_int(rows, 1),
                              .timeline = db_get_int(rows, 2),
                              .backend = PQbackendPID(connection->pg),
                              .came_us = clock_monotonic_us()};
    db_close(rows);
    return true;
}

/* What the answer says about where the replica is; a sample of the time 0: nothing good. (Under the mutex.)
 */
static struct sample judge(struct replica *replica, const struct answer *answer)
{
    struct postgres_replicas *all = replica->all;
    if (answer->backend != replica->backend) { /* it may have been started again, on another history */
        replica->backend = answer->backend;
        replica->is_astray = false;
        replica->known_us = 0;
    }
    if (replica->known_us > 0 && is_ahead(all, replica->position, replica->known_us))
        replica->is_astray = true;
    replica->position = answer->position;
    replica->known_us = answer->came_us;
    bool is_elsewhere = answer->timeline != 0 && answer->timeline != all->timeline;
    const struct sample *seen = sample_replayed(all, answer->position);
    if (!answer->is_replica || is_elsewhere || replica->is_astray || seen == NULL)
        return (struct sample){0};
    return *seen;
}

static bool is_near(const struct replica *replica, int64_t now_us)
{
    int64_t answered_us = atomic_load(&replica->server.answered_us);
    return answered_us > 0 && now_us - answered_us <= SILENCE_US_MAX && replica->seen.taken_us > 0 &&
           now_us - replica->seen.taken_us <= replica->all->lag_us_max;
}

/* Says when the replica comes and goes. (Outside the mutex.) */
static void tell(struct replica *replica, bool is_healthy, int64_t lag_us)
{
    metric_set(&replica->metrics->lag, lag_us / 1000);
    metric_set(&replica->metrics->is_healthy, is_healthy);
    if (is_healthy == replica->was_healthy)
        return;
    replica->was_healthy = is_healthy;
    struct log_line line;
    log_begin(&line, LOG_WARN,
              is_healthy ? "reads go to this replica" : "reads pass this replica over: it is away or behind");
    log_string(&line, "replica", slice_from(replica->metrics->label));
    log_end(&line);
}

static void look(struct replica *replica, struct postgres_connection *connection)
{
    struct postgres_replicas *all = replica->all;
    struct answer answer;
    bool is_known = ask_replica(connection, &answer);
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&all->mutex);
    if (is_known) {
        replica->seen = judge(replica, &answer);
        atomic_store(&replica->server.answered_us, now_us);
    }
    bool is_healthy = is_near(replica, now_us);
    int64_t lag_us = replica->seen.taken_us > 0 ? now_us - replica->seen.taken_us : 0;
    pthread_mutex_unlock(&all->mutex);
    tell(replica, is_healthy, lag_us);
}

static void *watch_replica(void *arg)
{
    struct replica *replica = arg;
    struct postgres_connection *connection = postgres_connection_new(replica->all->store, &replica->server);
    uint64_t round = 0;
    while (wait_for_sample(replica->all, &round))
        look(replica, connection);
    postgres_connection_free(connection);
    return NULL;
}

/* ---- who reads where ---- */

static struct replica *replica_of(const struct db *kept)
{
    if (kept == NULL)
        return NULL;
    struct postgres_server *server = ((const struct postgres_connection *)kept)->server;
    return (struct replica *)((char *)server - offsetof(struct replica, server));
}

static bool has_seen_drops(const struct replica *replica)
{
    struct cache *cache = replica->all->cache;
    return cache == NULL || cache_ticket_is_current(cache, replica->seen.ticket);
}

/* The one that this thread reads by, while it is good and is not read by more than its share; else the one
 * with the fewest readers. A replica that is only a drop behind is waited for, at the primary: it will have
 * it in a moment. (Under the mutex.) */
static struct replica *choose(struct postgres_replicas *all, struct replica *mine)
{
    int64_t now_us = clock_monotonic_us();
    struct replica *best = NULL;
    for (size_t i = 0; i < all->replica_count; i++) {
        struct replica *one = &all->list[i];
        if (is_near(one, now_us) &&
            (best == NULL || atomic_load(&one->server.connections) < atomic_load(&best->server.connections)))
            best = one;
    }
    if (mine != NULL && is_near(mine, now_us) &&
        atomic_load(&mine->server.connections) <= atomic_load(&best->server.connections) + 1)
        best = mine;
    return best;
}

bool postgres_has_replicas(const struct store *store)
{
    return ((const struct postgres_store *)store)->replicas != NULL;
}

struct db *postgres_read_connection(struct store *base, struct db **kept, struct cache_ticket *ticket)
{
    struct postgres_replicas *all = ((struct postgres_store *)base)->replicas;
    if (all == NULL)
        return NULL;
    struct replica *mine = replica_of(*kept);
    pthread_mutex_lock(&all->mutex);
    struct replica *chosen = choose(all, mine);
    bool is_good = chosen != NULL && has_seen_drops(chosen);
    struct postgres_connection *left = NULL;
    if (is_good && chosen != mine) { /* at once, so that others count it */
        left = (struct postgres_connection *)*kept;
        *kept = &postgres_connection_new(base, &chosen->server)->base;
    }
    if (is_good)
        *ticket = chosen->seen.ticket;
    pthread_mutex_unlock(&all->mutex);
    postgres_connection_free(left);
    if (!is_good) {
        want_sample(all);
        return NULL;
    }
    metric_add(&chosen->metrics->reads, 1);
    return *kept;
}

/* ---- starting and stopping ---- */

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0 && options->val != NULL && options->val[0] != '\0')
            return options->val;
    return NULL;
}

METRIC_FAMILY(LAG, "souk_postgres_replica_lag_milliseconds",
              "Age of the newest state of the primary that the replica has", "replica=\"\"", METRIC_GAUGE);
METRIC_FAMILY(HEALTHY, "souk_postgres_replica_healthy", "Whether reads go to the replica", "replica=\"\"",
              METRIC_GAUGE);
METRIC_FAMILY(READS, "souk_postgres_replica_reads_total", "Requests that read by the replica", "replica=\"\"",
              METRIC_COUNTER);

static struct replica_metrics *metrics_of(const char *host, const char *port)
{
    static struct replica_metrics *known;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char label[sizeof(known->label)];
    snprintf(label, sizeof(label), "replica=\"%.200s:%.20s\"", host, port);
    pthread_mutex_lock(&lock);
    struct replica_metrics *metrics = known;
    while (metrics != NULL && strcmp(metrics->label, label) != 0)
        metrics = metrics->next;
    if (metrics == NULL) {
        metrics = calloc(1, sizeof(*metrics));
        CHECK(metrics != NULL); /* at start */
        memcpy(metrics->label, label, sizeof(label));
        metrics->lag = metric_of_family(&LAG, metrics->label);
        metrics->is_healthy = metric_of_family(&HEALTHY, metrics->label);
        metrics->reads = metric_of_family(&READS, metrics->label);
        metrics->next = known;
        known = metrics;
    }
    pthread_mutex_unlock(&lock);
    metric_add(&metrics->reads, 0);
    return metrics;
}

/* A replica is one server: what one of several says of itself says nothing about the others. */
static bool replica_init(struct replica *replica, struct slice url, const struct store_options *options,
                         struct arena *arena)
{
    PQconninfoOption *parts = PQconninfoParse(arena_copy(arena, url).ptr, NULL);
    const char *host = parts != NULL ? option_of(parts, "host") : NULL;
    const char *port = parts != NULL ? option_of(parts, "port") : NULL;
    if (parts != NULL && host == NULL)
        host = option_of(parts, "hostaddr");
    bool is_one = host != NULL && strchr(host, ',') == NULL;
    if (is_one) {
        replica->metrics = metrics_of(host, port != NULL ? port : "5432");
        postgres_server_init(&replica->server, url, "any", options);
        replica->server.is_optional = true;
        if (replica->server.timeout_ms > REPLICA_TIMEOUT_MS)
            replica->server.timeout_ms = REPLICA_TIMEOUT_MS;
    }
    PQconninfoFree(parts);
    return is_one;
}

static void init(struct postgres_replicas *all, struct postgres_store *store,
                 const struct store_options *options)
{
    pthread_mutex_init(&all->mutex, NULL);
    clock_cond_init(&all->wanted);
    clock_cond_init(&all->sampled);
    all->store = &store->base;
    all->lag_us_max = options->replica_lag_ms * 1000;
    all->round_us = all->lag_us_max / ROUNDS_IN_BOUND;
    if (all->round_us > ROUND_US_MAX)
        all->round_us = ROUND_US_MAX;
    if (all->round_us < ROUND_US_MIN)
        all->round_us = ROUND_US_MIN;
    postgres_server_copy(&all->primary, &store->primary, WATCH_TIMEOUT_MS);
}

static size_t count_urls(struct slice list)
{
    struct slice url;
    size_t count = 0;
    while (config_url_next(&list, &url))
        count++;
    return count;
}

struct postgres_replicas *postgres_replicas_new(struct postgres_store *store,
                                                const struct store_options *options, struct arena *arena,
                                                struct slice *complaint)
{
    size_t count = count_urls(options->replica_urls);
    struct postgres_replicas *all = calloc(1, sizeof(*all) + count * sizeof(all->list[0]));
    CHECK(all != NULL);
    init(all, store, options);
    struct slice rest = options->replica_urls;
    struct slice url;
    while (config_url_next(&rest, &url)) {
        struct replica *replica = &all->list[all->replica_count];
        replica->all = all;
        if (!replica_init(replica, url, options, arena)) {
            *complaint = arena_format(arena,
                                      "DATABASE_REPLICA_URLS: the URL number %zu must name one host: "
                                      "postgresql://[user[:password]@]host[:port]/database[?...]",
                                      all->replica_count + 1);
            postgres_replicas_free(all);
            return NULL;
        }
        all->replica_count++;
    }
    return all;
}

bool postgres_replicas_start(struct store *base, struct cache *cache)
{
    struct postgres_replicas *all = ((struct postgres_store *)base)->replicas;
    if (all == NULL)
        return true;
    all->cache = cache;
    all->is_started = pthread_create(&all->thread, NULL, watch_primary, all) == 0;
    bool is_good = all->is_started;
    for (size_t i = 0; is_good && i < all->replica_count; i++) {
        struct replica *replica = &all->list[i];
        is_good = replica->is_started = pthread_create(&replica->thread, NULL, watch_replica, replica) == 0;
    }
    return is_good;
}

void postgres_replicas_stop(struct store *base)
{
    struct postgres_replicas *all = ((struct postgres_store *)base)->replicas;
    if (all == NULL)
        return;
    pthread_mutex_lock(&all->mutex);
    all->is_stopping = true;
    pthread_cond_broadcast(&all->wanted);
    pthread_cond_broadcast(&all->sampled);
    pthread_mutex_unlock(&all->mutex);
    if (all->is_started)
        pthread_join(all->thread, NULL);
    all->is_started = false;
    for (size_t i = 0; i < all->replica_count; i++) {
        if (all->list[i].is_started)
            pthread_join(all->list[i].thread, NULL);
        all->list[i].is_started = false;
    }
}

void postgres_replicas_free(struct postgres_replicas *all)
{
    if (all == NULL)
        return;
    CHECK(!all->is_started);
    for (size_t i = 0; i < all->replica_count; i++) {
        CHECK(atomic_load(&all->list[i].server.connections) == 0);
        postgres_server_release(&all->list[i].server);
    }
    postgres_server_release(&all->primary);
    pthread_cond_destroy(&all->sampled);
    pthread_cond_destroy(&all->wanted);
    pthread_mutex_destroy(&all->mutex);
    free(all);
}
