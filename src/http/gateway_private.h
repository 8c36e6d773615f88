/* What the parts of the gateway share: gateway.c (the steps), gateway_execute.c (who runs the handler),
 * gateway_finish.c (the reply). Nobody else includes this. */
#pragma once

#include "http/gateway.h"

#include <pthread.h>

/* What each thread that runs handlers owns. Made at its first use, released with the gateway. */
struct thread_context {
    struct db *db;
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

struct gateway {
    const struct services *services;
    struct router *router;
    struct throttle *throttle; /* NULL: off */
    struct workers *workers;
    struct workers *password_workers;
    pthread_key_t context_key;
    pthread_mutex_t contexts_lock;
    struct thread_context *contexts;
    struct flight_stripe flights[FLIGHT_STRIPES];
    struct operation_metrics *unrouted;
    struct operation_metrics **metrics; /* one an operation of the table */
};

/* Status 503 in place of whatever was to come: nothing happened, the client may try again. */
void exchange_set_unavailable(struct exchange *exchange, const char *detail);

/* This thread's connection, or NULL while the database cannot be reached. */
struct db *gateway_thread_db(struct gateway *gateway);

/* Runs the handler, here or elsewhere, as the operation says. GATEWAY_ANSWERED: the status stands. */
enum gateway_progress gateway_execute(struct gateway *gateway, struct exchange *exchange);

/* Metrics of every operation; shared by all gateways of the process, since metrics live for ever. */
void gateway_metrics_open(struct gateway *gateway);
extern struct metric gateway_in_flight;
extern struct metric gateway_worker_queue;
extern struct metric gateway_password_queue;

/* What a cached reply is kept as, and back. */
struct slice cached_reply_pack(struct arena *arena, struct slice content_type, struct slice etag,
                               struct slice body);
bool cached_reply_unpack(struct slice packed, struct slice *content_type, struct slice *etag,
                         struct slice *body);
