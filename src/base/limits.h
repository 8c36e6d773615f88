/* Every limit in one place. What a limit protects stands beside it. */
#pragma once

#include <stddef.h>

/* memory */
/* Address space of one request; pages are touched as needed. Large enough that what a shop may hold (2,000
 * described categories, a page of 100 large orders) never reaches its end, which would end the process. */
#define ARENA_REQUEST_BYTES ((size_t)96 << 20)
#define ARENA_KEEP_BYTES ((size_t)128 << 10) /* what a pooled arena keeps between requests */
#define REQUESTS_IN_FLIGHT_MAX 1024          /* arenas in the pool */

/* HTTP */
#define CONNECTIONS_MAX 12000
#define HEADER_BYTES_MAX ((size_t)16 << 10)
#define HEADER_FIELDS_MAX 100
#define URI_BYTES_MAX 8192
#define QUERY_PARAMETERS_MAX 64
#define BODY_BYTES_DEFAULT ((size_t)64 << 10)
#define BODY_BYTES_MAX ((size_t)1 << 20)
#define BODY_DRAIN_BYTES                                                                                     \
    ((size_t)64 << 10) /* a body past its limit is read this far, so that the 413 arrives */
#define JSON_INPUT_DEPTH_MAX 12
#define FIELD_ERRORS_MAX 20 /* how many bad fields one problem names */
#define IDEMPOTENCY_KEY_BYTES_MAX 255
#define TRUSTED_PROXIES_MAX 64 /* networks whose X-Forwarded-For counts */
#define HEADER_DEADLINE_MS 10000
#define BODY_DEADLINE_MS 30000
#define WRITE_DEADLINE_MS 60000
#define WRITE_GRACE_MS 10000 /* a reply must have left after this long, ... */
#define WRITE_BYTES_PER_MS_MIN                                                                               \
    16 /* ... and for each of its bytes at this rate: slow readers hold a slot no longer */
#define IDLE_TIMEOUT_S 75
#define DRAIN_DEADLINE_MS 10000 /* graceful stop */

/* execution */
#define WORKER_QUEUE_MAX 512
#define PASSWORD_QUEUE_MAX 64
#define SHED_BROWSE_MS 2000 /* nobody is queued behind one who has waited for longer, ... */
#define SHED_CART_MS 5000   /* ... nor with a cart; a checkout waits for its deadline */
#define LANE_QUEUE_MAX 4096
#define LANE_BROWSE_MAX 2048 /* of which edits and the like may fill so much, ... */
#define LANE_CART_MAX 3072   /* ... and they and carts so much: the rest is for checkouts */
#define FILL_WAITERS_MAX 64  /* requests that wait for one reply; further ones make it for themselves */
#define LANE_BATCH_MAX 128
#define DB_BATCH_MAX 64      /* transactions that PostgreSQL does as one */
#define WORKER_GATHER_MAX 32 /* jobs that one worker takes at once */
#define WORKER_GATHERERS 2   /* workers that do so while few jobs wait */
#define DB_EXPECTED_MAX WORKER_GATHER_MAX
#define READ_TRANSACTION_MS_MAX 1000

/* metrics */
#define METRICS_DIMENSION_BYTES_MAX 100 /* of a service's, stage's or label's name */
#define METRICS_INTERVAL_S 60           /* `serve` writes them so often (SOUK_METRICS=emf) */

/* traces */
#define TRACE_SPANS_MAX 64                      /* of one request, beside itself */
#define TRACESTATE_BYTES_MAX 512                /* longer ones are not passed on */
#define TRACE_QUEUE_BYTES_MAX ((size_t)4 << 20) /* of spans that wait for the collector; more are dropped */
#define TRACE_POST_BYTES_MAX ((size_t)1 << 20)  /* of one call to it, about */
#define TRACE_INTERVAL_MS 1000
#define TRACE_TIMEOUT_MS 5000
#define TRACE_DATAGRAM_BYTES_MAX 65000 /* for X-Ray's daemon */

/* keys of programs */
#define PLANS_MAX 100
#define API_KEYS_MAX 1000      /* that are not revoked */
#define API_KEY_SECRETS_MAX 10 /* of one key that are good at once, while it is being rotated */
#define API_KEY_MONTHS_SHOWN 36

/* carts */
#define CART_WISHES_BYTES_MAX                                                                                \
    ((size_t)16 << 10) /* what the wishes (engravings, ...) of one cart's lines may hold together */

/* lists */
#define PAGE_LIMIT_DEFAULT 20
#define PAGE_LIMIT_MAX 100
#define PAGE_OFFSET_MAX 10000
#define PAGE_TOTAL_MAX 10000
#define CURSOR_BYTES_MAX 1024
#define SEARCH_CANDIDATES_MAX 1000 /* hits that are ranked, the newest first */
#define SEARCH_HITS_MAX 20000      /* hits that are counted or sorted otherwise, the newest first */
#define SEARCH_TERMS_MAX 16        /* further words are not looked for */

/* catalogue */
#define CATEGORIES_MAX 2000 /* the whole tree is one reply */
#define CATEGORY_DEPTH_MAX 8
#define CATEGORY_MOVE_LISTINGS_MAX 20000 /* that one move adds and removes while other writes wait */
#define PRODUCT_OPTIONS_MAX 3
#define PRODUCT_VARIANTS_MAX 100
#define SORT_KEY_BYTES_MAX 200 /* of a name; it must fit into a cursor */

/* database */
#define DATABASE_TIMEOUT_MS_DEFAULT 5000
#define DB_PARAMS_MAX 32
#define DB_COLUMNS_MAX 48
#define DB_STATEMENTS_CACHED 256 /* prepared statements a connection keeps */
#define DB_SQL_BYTES_MAX 8192
#define WAL_RESTART_BYTES ((size_t)32 << 20)

/* cache */
#define CACHE_BYTES_DEFAULT ((size_t)64 << 20)
#define CACHE_STALE_SECONDS 60  /* a reply may be given out for so long after its time, if need be */
#define CACHE_REFRESHES_MAX 16  /* stale replies that are made anew at once */
#define COMPRESS_BYTES_MIN 1024 /* smaller replies fit into a packet anyway */
#define COMPRESSIONS_MAX 16     /* at once; what comes on top is sent as it is */
#define CACHE_ENTRY_BYTES_MAX ((size_t)256 << 10)
#define CACHE_TAGS_MAX 128 /* a page of 100 products and its list */
#define CACHE_TAG_BYTES_MAX 200
#define CACHE_SHARED_SECONDS_MAX 86400 /* in Redis */
#define CACHE_FILLS_QUEUED_MAX 512     /* for Redis; more are forgotten */
#define CACHE_FILLS_QUEUED_BYTES_MAX ((size_t)16 << 20)
#define CACHE_DROPS_QUEUED_MAX 4096  /* tags for the other servers; more become one flush */
#define CACHE_FADES_QUEUED_MAX 32768 /* likewise */
#define CACHE_PEERS_MAX 256          /* servers whose messages are counted */
#define CACHE_FAREWELL_MS 1000

/* Redis */
#define REDIS_TIMEOUT_MS_DEFAULT 250
#define REDIS_BACKOFF_MS_MIN 50
#define REDIS_BACKOFF_MS_MAX 1000
#define REDIS_SILENCE_MS_MAX 2000 /* a subscription that hears nothing for so long is dead */
#define REDIS_NODES_MAX 64        /* of a Cluster, replicas not counted */
#define REDIS_CONNECTIONS_MAX 32  /* to each node */
#define REDIS_REDIRECTIONS_MAX 5  /* rounds of one call, when keys move */
#define REDIS_PIPELINE_MAX 1024   /* commands of one call */
#define REDIS_WORDS_MAX 64        /* of one command */
#define REDIS_REQUEST_BYTES_MAX ((size_t)8 << 20)
#define REDIS_REPLY_BYTES_MAX ((size_t)16 << 20)
#define REDIS_URL_BYTES_MAX 2048
#define REDIS_PREFIX_BYTES_MAX 64

/* `souk health` */
#define HEALTH_TIMEOUT_MS 5000
#define HEALTH_REPLY_BYTES_MAX ((size_t)64 << 10)
