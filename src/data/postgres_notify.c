/* LISTEN and NOTIFY as what carries drops from server to server, where there is no Redis.
 *
 * A thread listens on a connection of its own; messages are sent on another. PostgreSQL shows a listener its
 * own server's messages too, so whether they really arrive can be tried: after LISTEN, and whenever nothing
 * was heard for a while, the thread sends a word to itself. A link on which it does not come back is down,
 * whatever the sockets say. A pooler in transaction mode takes LISTEN and passes nothing on; that is said
 * once, and tried again from time to time. */
#include "data/cache_link.h"
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHANNEL "souk_cache"
#define MESSAGE_BYTES_MAX 7999      /* of a NOTIFY */
#define TIMEOUT_MS 1000             /* of one statement */
#define QUIET_US INT64_C(2000000)   /* after this long without a word, one is sent */
#define SILENCE_US INT64_C(4000000) /* a link without a word for so long is dead */
#define PAUSE_MS_MIN 50
#define PAUSE_MS_MAX 1000
#define PAUSE_MS_POOLED 30000 /* where LISTEN is known not to work */

/* What the thread says to itself; no message of the cache begins like this. */
#define PING SLICE("souk ping")

DB_STATEMENT(CACHE_NOTIFY) = {
    .sql_postgres = "SELECT COUNT(*) FROM (SELECT pg_notify('" CHANNEL "', $1)) AS told",
    .params = {DB_TEXT},
    .columns = {DB_INT},
};

struct link {
    struct store *store;
    struct postgres_server server; /* the store's primary, with a breaker of its own */
    struct cache_link_events events;
    pthread_t thread;
    int wake; /* an eventfd: the thread shall end */
    _Atomic bool is_ending;
    pthread_mutex_t mutex; /* guards the voice */
    struct postgres_connection *voice;
    /* the thread's own */
    struct postgres_connection *ear;
    bool is_up;
    bool was_told; /* that LISTEN does not work here */
    int64_t heard_us, pinged_us;
};

static bool send_text(struct link *link, struct slice text)
{
    int64_t count;
    pthread_mutex_lock(&link->mutex);
    enum db_result result = db_one_int(&link->voice->base, &CACHE_NOTIFY, DB_ARGS(db_text(text)), &count);
    pthread_mutex_unlock(&link->mutex);
    return result == DB_ROW;
}

/* ---- listening ---- */

static void set_state(struct link *link, bool is_up)
{
    if (link->is_up == is_up)
        return;
    link->is_up = is_up;
    link->events.on_state(link->events.arg, is_up);
}

/* Everything that lies ready. The first word proves that words arrive. */
static void hear(struct link *link)
{
    PGnotify *notice;
    while ((notice = PQnotifies(link->ear->pg)) != NULL) {
        struct slice text = slice_from(notice->extra);
        link->heard_us = clock_monotonic_us();
        link->was_told = false;
        set_state(link, true);
        if (!slice_equals(text, PING))
            link->events.on_message(link->events.arg, text);
        PQfreemem(notice);
    }
}

/* Sleeps until the socket has something, the thread shall end, or the time is over. */
static void sleep_for(struct link *link, int socket, int64_t duration_ms)
{
    struct pollfd waiting[] = {{.fd = link->wake, .events = POLLIN}, {.fd = socket, .events = POLLIN}};
    (void)poll(waiting, socket >= 0 ? 2 : 1, (int)duration_ms);
}

static bool begin(struct link *link)
{
    const struct postgres_flight flight = {.control = "LISTEN " CHANNEL};
    enum db_result result;
    PQclear(postgres_fly(link->ear, &flight, &result));
    if (result != DB_DONE || link->ear->pg == NULL)
        return false;
    link->heard_us = link->pinged_us = clock_monotonic_us();
    return send_text(link, PING);
}

/* Until the link breaks, or it shall end. */
static void listen_on(struct link *link)
{
    while (!atomic_load(&link->is_ending)) {
        sleep_for(link, PQsocket(link->ear->pg), QUIET_US / 1000 / 4);
        if (PQconsumeInput(link->ear->pg) == 0)
            return;
        hear(link);
        int64_t now_us = clock_monotonic_us();
        if (now_us - link->heard_us >= SILENCE_US)
            return;
        if (now_us - link->heard_us < QUIET_US || now_us - link->pinged_us < QUIET_US)
            continue;
        link->pinged_us = now_us;
        if (!send_text(link, PING))
            return;
    }
}

/* What was sent was taken, and never came. How long to wait before the next try. */
static int64_t tell_of_pooler(struct link *link)
{
    if (!link->was_told)
        log_message(LOG_WARN, "LISTEN does not work on this way to PostgreSQL, as through a pooler in "
                              "transaction mode: edits on other servers are seen a second late, unless "
                              "REDIS_URL is set");
    link->was_told = true;
    return PAUSE_MS_POOLED;
}

static void *listen_thread(void *arg)
{
    struct link *link = arg;
    int64_t pause_ms = PAUSE_MS_MIN;
    while (!atomic_load(&link->is_ending)) {
        bool has_begun = begin(link);
        if (has_begun)
            listen_on(link);
        bool is_silent = has_begun && !link->is_up && clock_monotonic_us() - link->heard_us >= SILENCE_US;
        pause_ms = link->is_up ? PAUSE_MS_MIN : pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
        set_state(link, false);
        postgres_drop(link->ear);
        if (!atomic_load(&link->is_ending))
            sleep_for(link, -1, is_silent ? tell_of_pooler(link) : pause_ms);
    }
    return NULL;
}

/* ---- the link ---- */

static void link_listen(void *arg, const struct cache_link_events *events)
{
    struct link *link = arg;
    link->events = *events;
    CHECK(pthread_create(&link->thread, NULL, listen_thread, link) == 0);
    (void)pthread_setname_np(link->thread, "souk-listen");
}

static void link_unlisten(void *arg)
{
    struct link *link = arg;
    uint64_t one = 1;
    atomic_store(&link->is_ending, true);
    CHECK(write(link->wake, &one, sizeof(one)) == sizeof(one));
    CHECK(pthread_join(link->thread, NULL) == 0);
    close(link->wake);
    postgres_connection_free(link->ear);
    postgres_connection_free(link->voice);
    postgres_server_release(&link->server);
    pthread_mutex_destroy(&link->mutex);
    free(link);
}

static bool link_publish(void *arg, struct slice message)
{
    return send_text(arg, message);
}

bool postgres_cache_link(struct store *base, struct cache_link *cache_link)
{
    struct postgres_store *store = (struct postgres_store *)base;
    struct link *link = calloc(1, sizeof(*link));
    CHECK(link != NULL);
    link->store = base;
    postgres_server_copy(&link->server, &store->primary, TIMEOUT_MS);
    link->ear = postgres_connection_new(base, &link->server);
    link->voice = postgres_connection_new(base, &link->server);
    link->wake = eventfd(0, EFD_CLOEXEC);
    CHECK(link->wake >= 0);
    pthread_mutex_init(&link->mutex, NULL);
    *cache_link = (struct cache_link){.listen = link_listen,
                                      .unlisten = link_unlisten,
                                      .publish = link_publish,
                                      .arg = link,
                                      .message_bytes_max = MESSAGE_BYTES_MAX};
    return true;
}
