/* What a Lambda function of souk is made of: a handler, and what the loop (lambda/runtime.h) hands it. One
 * process runs one handler, one invocation at a time, on one thread. Between two invocations the process is
 * frozen, perhaps for hours, perhaps for ever: nothing may be left to do by then. */
#pragma once

#include "base/arena.h"
#include "http/services.h"

struct gateway;
struct lambda_context;

/* One invocation. All of it lives in `arena`, which is reset before the next one. */
struct invocation {
    struct arena *arena;
    struct slice event;        /* JSON, as it came */
    struct slice request_id;   /* AWS's own */
    struct slice trace_header; /* X-Amzn-Trace-Id; absent when not sent */
    struct slice function_arn;
    int64_t deadline_ms; /* on the wall clock: when Lambda ends the process */
    int64_t deadline_us; /* on the monotonic clock, less a margin: what waits for another machine gives up */
};

/* What a handler leaves: an answer (JSON), or an error that the loop reports. Texts live in the invocation's
 * arena. */
struct lambda_result {
    bool failed;
    struct slice answer;
    struct slice error_type; /* one word, as "Event.Malformed" */
    struct slice error_message;
    /* An answer that is streamed: its media type (absent: it is not), and what follows `answer`. */
    struct slice stream_type;
    struct slice stream_body;
};

/* How much of the shop stands open before `open` is called. */
enum lambda_needs {
    LAMBDA_NEEDS_SETTINGS, /* context->config */
    LAMBDA_NEEDS_STORE,    /* services.store as well, whatever its schema's version */
    LAMBDA_NEEDS_SHOP      /* all of services: schema current, keys, cache, Redis, identity provider */
};

struct lambda_handler {
    const char *name; /* as _HANDLER says it: "api", "authorizer", "jobs", "migrate" */
    const char *help; /* one line */
    enum lambda_needs needs;
    /* Once, before the first invocation. False with *complaint: reported as an error of the function's
     * initialization, and the process ends. NULL: nothing to do. */
    bool (*open)(struct lambda_context *context, struct slice *complaint);
    void (*handle)(struct lambda_context *context, const struct invocation *invocation,
                   struct lambda_result *result);
    /* After the answer was handed over and before the next invocation is asked for: what no customer waits
     * for. NULL: nothing. */
    void (*settle)(struct lambda_context *context, const struct invocation *invocation);
    void (*close)(struct lambda_context *context); /* also after a failed open; NULL: nothing to do */
};

/* Of the process. */
struct lambda_context {
    const struct lambda_handler *handler;
    struct arena *arena; /* of the process's whole life */
    struct config config;
    struct services services;
    /* While services.is_closed (the database could not be reached at the start): tries again, once. */
    void (*reopen)(struct lambda_context *context);
    const void *opener;      /* reopen's own */
    struct gateway *gateway; /* of the handlers `api` and `authorizer` */
    struct db *db; /* a handler's own connection, kept from one invocation to the next; NULL: none yet. Closed
                      with the context */
    void *own;     /* whatever else the handler keeps */
};

extern const struct lambda_handler lambda_api;
extern const struct lambda_handler lambda_authorizer;
extern const struct lambda_handler lambda_jobs;
extern const struct lambda_handler lambda_migrate;
