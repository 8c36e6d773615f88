/* The one pipeline that every request takes, whatever transport it came by. gateway.c reads like the list of
 * its steps.
 *
 * A transport (the server, the Lambda loop, a test):
 *   1. exchange_new, then sets method, target, address, and each header by exchange_header;
 *   2. gateway_open: request id and route; body_limit says how much body it should read;
 *   3. sets body, then gateway_handle. On GATEWAY_ANSWERED the reply stands in `reply`. On GATEWAY_PENDING it
 * will, after `complete` was called (once, on another thread) and the transport called gateway_finish; or,
 * without an event loop, gateway_run in place of both. A transport that refuses a request by itself (a body
 * that is too large) says why with gateway_refuse instead of 3. Every exchange that was opened must be
 * brought to its end (answered, or gateway_finish), also when its client is gone: that is when caches are
 * dropped and metrics counted. */
#pragma once

#include "auth/api_key.h"
#include "auth/session.h"
#include "base/trace.h"
#include "http/coding.h"
#include "http/response.h"
#include "http/router.h"
#include "http/throttle.h"
#include "http/validation.h"
#include "http/workers.h"

struct gateway;
struct exchange;

/* The header fields that the gateway looks at. */
enum request_header {
    HEADER_ACCEPT,
    HEADER_ACCEPT_ENCODING,
    HEADER_ACCESS_CONTROL_REQUEST_METHOD,
    HEADER_AUTHORIZATION,
    HEADER_CACHE_CONTROL,
    HEADER_CONTENT_ENCODING,
    HEADER_CONTENT_TYPE,
    HEADER_COOKIE,
    HEADER_HOST,
    HEADER_IDEMPOTENCY_KEY,
    HEADER_IF_MATCH,
    HEADER_IF_NONE_MATCH,
    HEADER_ORIGIN,
    HEADER_USER_AGENT,
    HEADER_FORWARDED,
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_X_AMZN_TRACE_ID,
    HEADER_X_API_KEY,
    HEADER_X_FORWARDED_FOR,
    HEADER_X_REQUEST_ID,
    HEADER_COUNT
};

#define REPLY_HEADERS_MAX (RESPONSE_HEADERS_MAX + 24)

/* What goes back to the client. Names and values have a NUL behind them; all of it lives in the exchange's
 * arena. */
struct reply {
    enum http_status status;
    struct response_header headers[REPLY_HEADERS_MAX];
    unsigned header_count;
    struct slice body; /* of a 304 or a HEAD: what a GET would have got, for its length; not to be sent */
};

/* A limit that this request was held against, as the RateLimit headers name it. */
struct rate_policy {
    const char *name; /* a literal */
    int64_t limit;
    int64_t window_s;
    int64_t remaining;
    int64_t reset_s;
};
#define RATE_POLICIES_MAX 4 /* of the address, the user, the key, the key's month */

enum cache_state { CACHE_UNUSED, CACHE_MISS, CACHE_HIT, CACHE_HIT_STALE };

/* A request with an Idempotency-Key that runs now; its scope is in no two of these. */
struct flight {
    uint8_t scope[SHA256_LEN];
    struct flight *next;
    bool is_registered;
};

/* A reply that is being made for the cache (gateway_fill.c): the exchange that makes it, and those that wait
 * for it. */
struct fill {
    bool is_registered;
    uint64_t hash;
    struct fill *next;             /* in the gateway's table */
    struct exchange *first, *last; /* what waits, oldest first */
    struct exchange *next_waiting; /* of an exchange that waits */
    unsigned waiting;
};

/* One exchange: filled by a transport, answered by the gateway. It and all it points to live in `arena`. */
struct exchange {
    struct arena *arena;
    enum http_method method;
    struct slice target;  /* raw path and query, still escaped */
    struct slice body;    /* absent or empty: none */
    struct slice address; /* of the client, text */
    bool is_loopback;
    struct slice headers[HEADER_COUNT]; /* absent when not sent */
    void *transport;
    int64_t
        ends_us; /* monotonic: its deadline is no later, whatever SOUK_REQUEST_TIMEOUT_MS says; 0: nothing */
    /* Called on gateway_handle's thread just before the exchange is given to another one; NULL: nothing to
     * do. */
    void (*suspend)(struct exchange *exchange);
    /* Called once, on another thread, after `suspend`. */
    void (*complete)(struct exchange *exchange);

    size_t body_limit; /* from gateway_open */
    struct reply reply;

    /* the gateway's own */
    struct gateway *gateway;
    enum http_status status; /* 0: not decided yet */
    struct request request;
    struct response response;
    struct route route;
    struct slice bearer; /* the token or key of Authorization; absent when there is none, or no such */
    struct slice query;
    struct raw_parameter *parameters; /* of the query */
    size_t parameter_count;
    struct slice request_id;
    struct slice amazon_trace; /* of a transport, in place of X-Amzn-Trace-Id; absent: that counts */
    struct trace trace;
    int64_t started_us;
    enum execution execution;
    enum cache_state cache_state;
    struct cache_ticket cache_ticket;
    struct slice cache_key;
    int64_t cache_age_s;
    struct cache_hit stale;            /* CACHE_GONE: none */
    enum content_coding wanted_coding; /* of a reply from the cache */
    enum content_coding coding;        /* of the reply's body */
    bool is_refresh;                   /* nobody waits for it: see gateway_refresh */
    struct slice etag;                 /* of the reply in CODING_IDENTITY */
    struct api_key key;                /* with has_key: the key that came, verified */
    bool has_key;
    bool is_remembered; /* who calls was known from memory: nobody may be asked about it on this thread */
    struct rate_policy policies[RATE_POLICIES_MAX];
    unsigned policy_count;
    bool is_replay;
    bool is_finished;
    bool is_recalled; /* the token was verified before: for this principal */
    struct principal recalled;
    struct session_standing standing; /* with has_standing: of that principal's session, from memory */
    bool has_standing;
    bool is_suspended; /* given to another thread at least once */
    struct flight flight;
    struct fill fill;
    struct worker_job worker_job;
    struct lane_job lane_job;
    int64_t deadline_us; /* monotonic; of one that was given to another thread */
    size_t arena_mark;   /* what lies behind it is not needed for a bare refusal */
    void *waiter;        /* of gateway_run */
};

/* Starts the pools. `services` outlives the gateway. NULL when the system refuses threads. */
struct gateway *gateway_new(const struct services *services);
/* Ends the pools; no exchange may be pending, and the threads that called the gateway must not call it again.
 * Before store_close. */
void gateway_free(struct gateway *gateway);

/* Only who is calling, by the exchange's Authorization and X-Api-Key: 0 with request.principal (and has_key,
 * key), or the status of a problem, as any request with them would be refused (401, 400, 503). Counts and
 * limits nothing; makes no reply. The exchange is new: not gateway_open. May wait: for a process that runs
 * alone on its thread. */
enum http_status gateway_identify(struct gateway *gateway, struct exchange *exchange);

/* An empty exchange in the arena. */
struct exchange *exchange_new(struct arena *arena);
/* Takes a header field in; unknown ones are ignored. False when a field that may stand once stands twice: the
 * transport answers gateway_refuse(MALFORMED_REQUEST). `name` and `value` must live as long as the exchange.
 */
bool exchange_header(struct exchange *exchange, struct slice name, struct slice value);

void gateway_open(struct gateway *gateway, struct exchange *exchange);

enum gateway_progress { GATEWAY_ANSWERED, GATEWAY_PENDING };

enum gateway_progress gateway_handle(struct gateway *gateway, struct exchange *exchange);
/* Renders the reply and does what waited for the commit. Nothing the second time; a worker may have done it
 * before `complete`. */
void gateway_finish(struct gateway *gateway, struct exchange *exchange);
/* Answers with a problem of the transport's own, finished. After gateway_open. */
void gateway_refuse(struct gateway *gateway, struct exchange *exchange, enum problem_code code,
                    const char *detail);
/* gateway_handle for a transport without an event loop: returns when the reply stands. */
void gateway_run(struct gateway *gateway, struct exchange *exchange);

/* With services.is_single, when the reply is out: does what no client waits for and what must not be left for
 * later (stale replies made anew, compressing, counts of keys and of rates), until `ends_us`, monotonic. */
void gateway_settle(struct gateway *gateway, int64_t ends_us);

/* Whether the worker pool of this process has room for another request; for /health/ready. */
bool gateway_has_room(void);
/* From now on this process ends: /health/ready says so, that nothing new is sent here. */
void gateway_begin_draining(void);
bool gateway_is_draining(void);
