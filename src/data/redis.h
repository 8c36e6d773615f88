/* Redis, alone or as a Cluster: pipelines of commands, and listening to a channel. Thread-safe.
 *
 * Redis is never needed: when it is away or slow, calls fail at once and the shop works on without it. After
 * a failure a node is left alone for a while that doubles (with jitter) up to REDIS_BACKOFF_MS_MAX, then one
 * caller tries it again; so no thread waits longer than timeout_ms, and that once in such a while.
 *
 * In Cluster each command goes to the node that has its key; MOVED, ASK and the loss of a node are followed
 * within the same deadline. Whether the server is a Cluster is found out at the first call. */
#pragma once

#include "base/arena.h"

struct redis;

struct redis_options {
    /* redis://[user[:password]@]host[:port][,host[:port]...][/database][?ca=FILE&cert=FILE&key=FILE], or
     * rediss:// for TLS, which checks the server's certificate against its host name and the certificate
     * authorities of the system, or those in the file `ca`. Several hosts are nodes of one Cluster to begin
     * with; user, password and the files' names may be percent-encoded. */
    struct slice url;
    struct slice prefix; /* of every key and channel; absent: "souk:" */
    int64_t timeout_ms;  /* of one call as a whole; 0: REDIS_TIMEOUT_MS_DEFAULT */
};

/* Connects to nothing yet. NULL with one clear line in *complaint (never the password) when the URL is wrong
 * or a file of it cannot be used. Only the complaint is in `arena`. */
struct redis *redis_open(const struct redis_options *options, struct arena *arena, struct slice *complaint);
/* When no call is under way and every subscription has ended. NULL is allowed. */
void redis_free(struct redis *redis);

/* ---- commands ---- */

struct redis_command {
    const struct slice *words; /* {SLICE("GET"), key}; all bytes are allowed */
    size_t word_count;         /* at most REDIS_WORDS_MAX */
    /* Which word is the key (or the channel): the client puts the prefix in front of it, and in Cluster it
     * decides the node. 0: none, any node will do. */
    size_t key;
    bool is_for_any_node; /* although it has a key: PUBLISH */
};

enum redis_reply_kind {
    REDIS_UNANSWERED, /* its node could not be asked, or did not answer in time: it may have been carried out
                       */
    REDIS_NIL,
    REDIS_STRING,
    REDIS_STATUS, /* "OK" */
    REDIS_INTEGER,
    REDIS_ARRAY,
    REDIS_ERROR /* what Redis refused; `text` says why */
};

struct redis_reply {
    enum redis_reply_kind kind;
    struct slice text; /* STRING, STATUS, ERROR; never absent there */
    int64_t integer;
    const struct redis_reply *elements; /* ARRAY */
    size_t count;
};

/* Sends all commands, in one write for each node, and reads their replies in the order of the commands: one
 * round trip. Commands for the same key are carried out in their order. At most REDIS_PIPELINE_MAX commands
 * and REDIS_REQUEST_BYTES_MAX bytes (both CHECKed); replies larger than REDIS_REPLY_BYTES_MAX in sum are a
 * failure. False when one or more was not answered (see REDIS_UNANSWERED; in Cluster others may have been);
 * an error that Redis answers is a reply. Memory is the arena's. Blocks for up to timeout_ms. */
__attribute__((warn_unused_result)) bool redis_pipeline(struct redis *redis, struct arena *arena,
                                                        const struct redis_command *commands, size_t count,
                                                        struct redis_reply *replies);

/* False while a node that has keys cannot be used, or nothing has been asked yet. Never blocks. */
bool redis_is_up(struct redis *redis);
/* Asks every node that has keys for a sign of life, so that redis_is_up becomes true again without other
 * calls. What it returns is redis_is_up. Blocks for up to timeout_ms. */
bool redis_ping(struct redis *redis);
/* How often something may have been lost of what Redis had acknowledged: a connection that broke or timed
 * out, a node whose keys another has taken over. Whoever relies on earlier writes compares. Never blocks. */
uint64_t redis_losses(struct redis *redis);

/* ---- a channel ---- */

struct redis_subscription;

struct redis_listener {
    void (*on_message)(void *arg, struct slice message);
    /* True: from now on every message arrives. False: from now on some may be missed. First called with true;
     * then they alternate, with false last only when the link broke before the end. */
    void (*on_link)(void *arg, bool is_up);
    void *arg;
};

/* A thread with its own connection listens to the channel (its prefix is put in front), reconnects for ever,
 * and calls the listener. A link that is silently dead is noticed within REDIS_SILENCE_MS_MAX. */
struct redis_subscription *redis_subscribe(struct redis *redis, struct slice channel,
                                           const struct redis_listener *listener);
/* Returns when the thread has ended; no call of the listener comes after. Not from within one. */
void redis_unsubscribe(struct redis_subscription *subscription);
