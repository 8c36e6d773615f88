/* What the parts of the gateway share: gateway.c (the steps), gateway_execute.c (who runs the handler),
 * gateway_fill.c (who waits for whom), gateway_finish.c (the reply). Nobody else includes this. */
#pragma once

#include "http/client_address.h"
#include "http/gateway.h"

#include <pthread.h>

/* What each thread that runs handlers owns. Made at its first use, released with the gateway. */
struct thread_context {
    struct db *db;
    struct db *replica; /* what reads by; NULL: none yet */
    struct thread_context *next;
};

#define STATUS_CLASSES 6 /* 0 for what never was, 1xx .. 5xx */

struct operation_metrics {
    struct metric requests[STATUS_CLASSES];
    struct histogram latency;
};

/* The Idempotency-Keys that run now, in a few short lists. */
#define FLIGHT_STRIPES 64
struct flight_stripe {
    pthread_mutex_t lock;
    struct flight *first;
};

/* The replies that are being made for the cache, by their keys. */
#define FILL_STRIPES 64
struct fill_stripe {
    pthread_mutex_t lock;
    struct fill *first;
};

struct gateway {
    const struct services *services;
    /* The threads of transports may read the database themselves. False: it is on another machine, and they
     * touch neither it nor Redis. */
    bool reads_inline;
    bool is_https; /* what customers see: SOUK_PUBLIC_URL */
    struct router *router;
    struct throttle *throttle; /* NULL: off */
    struct proxies proxies;
    struct workers *workers;
    struct workers *password_workers;
    pthread_key_t context_key;
    pthread_mutex_t contexts_lock;
    struct thread_context *contexts;
    struct flight_stripe flights[FLIGHT_STRIPES];
    struct fill_stripe fills[FILL_STRIPES];
    struct operation_metrics *unrouted;
    struct operation_metrics **metrics; /* one an operation of the table */
};

/* Status 503 in place of whatever was to come: nothing happened, the client may try again. */
void exchange_set_unavailable(struct exchange *exchange, const char *detail);

/* The steps that may ask the database who is calling, and all that follow them up to the handler. */
enum http_status gateway_check_caller(struct gateway *gateway, struct exchange *exchange);

/* gateway_cache.c. The status is 200 when the reply was in this server's memory, and fresh. */
enum http_status gateway_look_up_cache(struct exchange *exchange);
/* Again, for one that missed: true when it is answered. */
bool gateway_take_fresh(struct exchange *exchange);
/* For threads that may wait, before the handler: somebody may have made the reply since memory was asked,
 * another request that was in the queue before, or another server. True when it is answered. */
bool gateway_take_shared(struct exchange *exchange);
/* For what would have to wait: true when it is answered by what is stale, which is made anew meanwhile. */
bool gateway_take_stale(struct exchange *exchange);
/* In place of a 503: what is stale, if there is something. */
void gateway_fall_back(struct exchange *exchange);
void gateway_fill_cache(struct exchange *exchange);
/* Makes the reply to the same question anew on a worker, as everybody gets it; returns at once. */
void gateway_refresh(const struct exchange *exchange);
/* gateway.c: the steps that a refresh takes before the handler; false when it is no valid request. */
bool gateway_prepare_refresh(struct exchange *exchange);

/* gateway_coding.c: has the reply that was hit compressed by a worker; returns at once. */
void gateway_compress(struct exchange *exchange, const struct cache_hit *hit, enum content_coding coding);

/* The secret key that came as a bearer token, or absent. */
struct slice gateway_bearer_key(const struct exchange *exchange);
/* Steps of gateway_key.c: the key that came, if one did (401 when it is not good), ... */
enum http_status gateway_take_key(struct gateway *gateway, struct exchange *exchange);
/* ... and its plan's limits. */
enum http_status gateway_check_plan(struct gateway *gateway, struct exchange *exchange);
/* Whether this server's memory alone knows the key that came, if one did. Never waits. There is a cache. */
bool gateway_remembers_key(struct gateway *gateway, struct exchange *exchange);
/* A 429 that says when to come again, and what a refused or a passed limit leaves, for the headers. */
enum http_status gateway_answer_throttled(struct exchange *exchange, int64_t retry_after_s);
void gateway_note_policy(struct exchange *exchange, const char *name, const struct throttle_verdict *verdict);

/* Whether the request comes from a page that may read the reply (SOUK_CORS_ORIGINS). */
bool cors_is_allowed(const struct exchange *exchange);
/* What a browser asks before it sends a request of such a page: which methods (as in Allow) and headers the
 * path takes. Nothing for other origins: the browser then refuses. */
void cors_answer_preflight(struct exchange *exchange, struct slice methods);
/* What every reply to such a page says, so that its script may read it. */
void cors_add_headers(struct exchange *exchange);
/* The request's header fields on which CORS makes the reply depend, as Vary lists them. */
void cors_add_vary(const struct exchange *exchange, struct buf *vary);
/* One header of the reply. `name` is a literal; the value has a NUL behind it. */
void reply_add_header(struct exchange *exchange, const char *name, struct slice value);

/* This thread's connection, which waits for nothing past the exchange's deadline; NULL while the database
 * cannot be reached. */
struct db *gateway_thread_db(struct gateway *gateway, const struct exchange *exchange);
/* From here on this thread may wait for other machines. */
void gateway_allow_waiting(void);
/* The one that this read may run on. */
struct db *gateway_read_db(struct gateway *gateway, struct exchange *exchange);

/* Gives the exchange to a thread of the pool, which goes on with gateway_check_caller and gateway_execute. */
void gateway_hand_over(struct workers *pool, struct exchange *exchange);
/* Runs the handler, here or elsewhere, as the operation says. GATEWAY_ANSWERED: the status stands. */
enum gateway_progress gateway_execute(struct gateway *gateway, struct exchange *exchange);
/* On a worker: reads whose operation has an `expect`. */
void gateway_run_gathered(struct worker_job **jobs, size_t count);
/* Gives a suspended exchange whose steps are done to a worker. */
void gateway_submit(struct gateway *gateway, struct exchange *exchange);
/* The same for a job that is no exchange. */
void gateway_submit_job(struct gateway *gateway, struct worker_job *job);
/* The end of what another thread did. The exchange is the transport's again and must not be touched. */
void gateway_conclude(struct exchange *exchange);

/* Before a suspended read whose reply may be cached. True: another exchange makes that very reply; this one
 * waits for it and must not be touched. False: to be run, and everyone else waits for it. */
bool fill_join(struct exchange *exchange);
/* For one that nobody waits for: false when another exchange makes that very reply. */
bool fill_begin(struct exchange *exchange);
/* After the reply of such a read was put into the cache, or not: ends what waits for it. */
void fill_end(struct exchange *exchange);

/* Metrics of every operation; shared by all gateways of the process, since metrics live for ever. */
void gateway_metrics_open(struct gateway *gateway);
extern struct metric gateway_in_flight;
extern struct metric gateway_worker_queue;
extern struct metric gateway_password_queue;

/* What a cached reply is kept as, and back. Content type and entity tag (of CODING_IDENTITY, whatever the
 * body's coding) have a NUL behind them when they are unpacked. */
struct cached_reply {
    struct slice content_type;
    struct slice etag;
    struct slice body;
};
/* Absent when the arena is full. */
struct slice cached_reply_pack(struct arena *arena, const struct cached_reply *reply);
bool cached_reply_unpack(struct slice packed, struct cached_reply *reply);
