/* One operation of the contract: every fact that a step of the gateway needs. The table is generated
 * (src/api/). */
#pragma once

#include "auth/principal.h"
#include "http/status.h"

struct request;
struct response;
struct input_rule;

enum access {
    ACCESS_PUBLIC,   /* one reply for every anonymous caller and customer; may be cached */
    ACCESS_ANYONE,   /* anyone may ask; the reply depends on who */
    ACCESS_CUSTOMER, /* any logged-in user */
    ACCESS_STAFF     /* a user whose role grants `scope` */
};

enum execution {
    EXECUTION_INLINE,      /* a read that cannot block: on the I/O thread */
    EXECUTION_WORKER,      /* a read on a worker */
    EXECUTION_TRANSACTION, /* a write; the whole handler in one transaction, on the lane where there is one */
    EXECUTION_ORCHESTRATED, /* on a worker; the handler opens its own transactions */
    EXECUTION_PASSWORD      /* as orchestrated, on the password pool */
};

enum rate_class { RATE_READ, RATE_WRITE, RATE_LOGIN, RATE_CHECKOUT, RATE_NONE };
enum priority { PRIORITY_BROWSE, PRIORITY_CART, PRIORITY_CHECKOUT };

#define OPERATION_CACHE_TAGS_MAX 4

struct operation {
    const char *name; /* cart_item_add: the handler's name, the label of its metrics and logs */
    enum http_method method;
    const char *path; /* /cart/{id}/items */
    enum http_status (*handler)(struct request *request, struct response *response);
    enum execution (*choose_execution)(const struct request *request); /* NULL: always `execution` */
    /* Says db_expect of what the handler asks first. NULL: the read is not made often enough for that. */
    void (*expect)(const struct request *request);
    const struct input_rule *input;
    enum access access;
    enum scope scope;
    enum execution execution;
    enum rate_class rate_class;
    enum priority priority;
    unsigned body_limit; /* bytes; 0: takes no body */
    bool accepts_idempotency_key;
    bool tolerates_bad_token; /* a token that is no longer good counts as none: the request brings another
                                 proof */
    bool handles_replay;      /* the handler keeps its own idempotency record */
    bool accepts_if_match;
    bool reads_replica;
    bool needs_no_database; /* answered from the process itself, also while the database is away */
    bool is_bare;           /* the reply is not wrapped in "data" */
    bool selects_fields;    /* has the parameter `fields` */
    unsigned cache_seconds; /* 0: never cached */
    const char *cache_tags[OPERATION_CACHE_TAGS_MAX]; /* NULL-terminated unless full */
};

struct operation_table {
    const struct operation *operations;
    unsigned count;
};
