/* What the files of the Redis client share, from the wire up: redis_url.c (what the URL says), redis_reply.c
 * (replies), redis_connection.c (one connection), redis_node.c (a node: its pool and its breaker),
 * redis_cluster.c (which node has which key), redis.c (pipelines), redis_subscriber.c. Nobody else includes
 * this. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "data/redis.h"

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define REDIS_SLOTS 16384
#define REDIS_PORT_DEFAULT 6379
#define REDIS_HOST_BYTES_MAX 256
#define REDIS_SEEDS_MAX 16

/* ---- settings: constant after redis_open ---- */

struct redis_address {
    char host[REDIS_HOST_BYTES_MAX]; /* a name or an address, without brackets */
    uint16_t port;
};

struct redis_settings {
    struct arena arena; /* of the texts below */
    struct redis_address seeds[REDIS_SEEDS_MAX];
    size_t seed_count;
    struct slice user, password; /* absent: none */
    int64_t database;
    bool is_tls;
    struct slice ca_file, certificate_file, key_file; /* absent: none; NUL-terminated */
    SSL_CTX *tls;                                     /* NULL without TLS */
    struct slice prefix;
    int64_t timeout_us;
};

/* Texts go to settings->arena. False with a complaint in `arena`. */
bool redis_url_parse(struct slice url, struct redis_settings *settings, struct arena *arena,
                     struct slice *complaint);
/* "host:port" or "[host]:port", as MOVED names nodes; an empty host is left empty. */
bool redis_address_parse(struct slice text, struct redis_address *address);
bool redis_address_equals(const struct redis_address *a, const struct redis_address *b);

/* ---- replies ---- */

/* hiredis' reader, filling replies of ours. */
struct redis_parser {
    redisReader *reader;
    struct arena *arena; /* of the reply under way */
    size_t bytes;        /* fed since redis_parser_begin */
};

void redis_parser_open(struct redis_parser *parser);
void redis_parser_close(struct redis_parser *parser);
/* A new call begins: its replies go to `arena`, its bytes are counted anew. */
void redis_parser_begin(struct redis_parser *parser, struct arena *arena);
/* False when the bytes are no replies or the limit is passed: the connection is of no use any more. */
bool redis_parser_feed(struct redis_parser *parser, const char *bytes, size_t len);
enum redis_parsed { REDIS_PARSED_REPLY, REDIS_PARSED_NOTHING, REDIS_PARSED_GARBAGE };
enum redis_parsed redis_parser_next(struct redis_parser *parser, struct redis_reply *reply);

/* Appends the command as it is sent; `prefix` is put in front of the key. False when the buffer is full. */
bool redis_format(struct buf *out, const struct redis_command *command, struct slice prefix);

/* ---- one connection ---- */

/* Why something failed, for the log. */
struct redis_failure {
    char text[160];
};
void redis_failure_set(struct redis_failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct redis_connection {
    int fd;
    int wake_fd; /* readable: give up waiting; -1: none */
    SSL *tls;
    struct redis_parser parser;
    uint64_t run_id; /* of the server's process, hashed; 0: it does not tell */
    uint64_t era;    /* of its node */
    struct redis_connection *next;
};

/* Connects, shakes hands (TLS, AUTH, SELECT), all before the deadline. NULL with the reason. */
struct redis_connection *redis_connection_open(const struct redis_settings *settings,
                                               const struct redis_address *address, int64_t deadline_us,
                                               struct redis_failure *failure);
void redis_connection_close(struct redis_connection *connection);
/* All of it, or false. */
bool redis_connection_send(struct redis_connection *connection, struct slice bytes, int64_t deadline_us,
                           struct redis_failure *failure);
enum redis_received { REDIS_RECEIVED, REDIS_TIMED_OUT, REDIS_WOKEN, REDIS_BROKEN };
/* One reply, in the arena named by redis_parser_begin. After anything but RECEIVED the connection can go on
 * only when the caller waits for the same reply again. */
enum redis_received redis_connection_receive(struct redis_connection *connection, struct redis_reply *reply,
                                             int64_t deadline_us, struct redis_failure *failure);
/* Nothing was received since the last reply: an idle connection that says something, or has ended, is no use.
 */
bool redis_connection_is_quiet(struct redis_connection *connection);
bool redis_tls_open(struct redis_settings *settings, struct arena *arena, struct slice *complaint);

/* ---- nodes and the map ---- */

struct redis_node {
    struct redis_address address;
    bool is_used; /* in the table */
    struct redis_connection *idle;
    size_t open;     /* connections, idle and in use */
    uint64_t era;    /* raised by a failure; connections of an older era are closed when they come back */
    uint64_t run_id; /* as last seen; 0: unknown */
    bool is_known;   /* run_id was seen at least once */
    bool has_broken; /* a connection, since run_id was seen */
    /* the breaker */
    unsigned failures; /* in a row */
    bool is_probing;   /* one caller tries it right now */
    int64_t blocked_until_us;
    size_t slots; /* keys' slots that it has */
};

enum redis_map { REDIS_MAP_UNKNOWN, REDIS_MAP_PLAIN, REDIS_MAP_CLUSTER };
#define REDIS_NODE_NONE UINT8_MAX

struct redis {
    struct redis_settings settings;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t freed;  /* a connection came back, or the map was read */
    struct redis_node nodes[REDIS_NODES_MAX];
    enum redis_map map;
    uint8_t slot_nodes[REDIS_SLOTS];
    bool is_map_stale, is_refreshing;
    bool has_taken_over;   /* by the map that was just read, slots went to another node */
    int64_t refresh_at_us; /* not before */
    unsigned refresh_failures;
    size_t turn;           /* of the nodes, for commands without a key */
    bool is_down_reported; /* Redis itself says that it cannot serve */
    bool was_up, is_state_logged;
    int64_t log_at_us; /* not before */
    _Atomic uint64_t losses;
};

/* Under the mutex. The node's index; REDIS_NODE_NONE when the table is full. */
uint8_t redis_node_find_or_add(struct redis *redis, const struct redis_address *address);
/* Under the mutex: not blocked by its breaker. */
bool redis_node_is_open(const struct redis_node *node, int64_t now_us);
/* A connection that works as far as is known, or NULL: the breaker is open, or it cannot be had in time.
 * Every one is given back. */
struct redis_connection *redis_node_take(struct redis *redis, uint8_t node, int64_t deadline_us);
/* Whole: every reply was read. Otherwise it failed for `failure`, and the node is left alone for a while. */
void redis_node_give(struct redis *redis, uint8_t node, struct redis_connection *connection, bool is_whole,
                     const struct redis_failure *failure);
void redis_node_close(struct redis_node *node);
/* `base_ms`, doubled for each failure after the first, at most REDIS_BACKOFF_MS_MAX, plus or minus a quarter.
 */
int64_t redis_backoff_us(unsigned failures);
/* Waits for `freed` under the mutex; false at the deadline. */
bool redis_wait_freed(struct redis *redis, int64_t deadline_us);

/* Which slot a key (with its prefix) is in. */
unsigned redis_slot(struct slice prefix, struct slice key);
/* Finds out what the server is, and reads the map of a Cluster when it is stale. False while nothing is
 * known.
 */
bool redis_map_ensure(struct redis *redis, int64_t deadline_us);
/* The node for a slot. */
uint8_t redis_map_node(struct redis *redis, unsigned slot);
/* Some node that can be used, each in its turn; REDIS_NODE_NONE: none. */
uint8_t redis_map_any(struct redis *redis);
/* A node says that the slot has moved. */
uint8_t redis_map_moved(struct redis *redis, unsigned slot, const struct redis_address *address);
void redis_map_mark_stale(struct redis *redis);
/* Notes whether all is well, and logs when that changes. */
void redis_note_state(struct redis *redis, const char *why);
/* Under the mutex. */
bool redis_is_up_locked(const struct redis *redis);
