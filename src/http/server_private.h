/* What the parts of the server share: server.c (start, stop, requests), server_head.c (the strict reading of
 * a request's head), server_connection.c (connections and their deadlines), server_slot.c (the arenas).
 * Nobody else includes this. */
#pragma once

#include "http/server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>

#define TARGET_BYTES_INLINE 256

/* One connection, from accept to close. Owned by its I/O thread; the watchdog reads fd and deadline. */
struct connection {
    struct server *server;
    int fd;
    _Atomic int64_t deadline_ms; /* on the server's coarse clock; 0: none */
    struct connection *previous; /* under server->connections_lock */
    struct connection *next;
    bool is_loopback;
    char address[INET6_ADDRSTRLEN];
    char *target; /* of the current request, raw: target_inline, or malloc'ed when longer */
    char target_inline[TARGET_BYTES_INLINE];
};

enum slot_state {
    SLOT_RECEIVING, /* head and body come in */
    SLOT_PENDING,   /* suspended: another thread has the exchange */
    SLOT_DONE,      /* that thread has brought it back */
    SLOT_ABANDONED, /* the server is cut off while another thread has it */
    SLOT_ANSWERED   /* its reply is queued */
};

/* A request in flight: an arena and what the server knows of it. */
struct slot {
    struct arena arena;
    struct server *server;
    struct slot *next; /* while free */
    struct MHD_Connection *mhd;
    struct connection *connection;
    struct exchange *exchange;
    struct buf body;
    size_t drained;
    bool is_too_large;
    bool must_close;
    bool counts_as_suspended;
    bool counts_as_receiving;
    _Atomic int state;  /* enum slot_state */
    _Atomic int owners; /* its connection, and the thread that has the exchange */
};

struct server {
    struct gateway *gateway;
    struct server_options options; /* zeroes replaced */
    struct MHD_Daemon *daemon;
    unsigned port;
    uint64_t serial;          /* no two servers of the process share it */
    _Atomic bool is_draining; /* replies say Connection: close */
    _Atomic bool is_cutting;  /* nothing is begun any more */
    _Atomic int active;       /* requests between their head and their end */
    _Atomic int receiving;    /* of them, those whose body is on its way */
    _Atomic int suspended;
    _Atomic int resuming;   /* threads inside MHD_resume_connection */
    _Atomic int64_t now_ms; /* the coarse clock of deadlines, monotonic */

    pthread_mutex_t slots_lock;
    struct slot **slots; /* every one ever made */
    unsigned slots_made;
    struct slot *slots_free;
    _Atomic int slots_held;

    pthread_mutex_t connections_lock;
    struct connection *connections;
    pthread_t watchdog;
    pthread_cond_t watchdog_stops;
    bool watchdog_is_stopping;
};

/* server_slot.c. NULL when REQUESTS_IN_FLIGHT_MAX are out. */
struct slot *slot_acquire(struct server *server);
/* Gives up one ownership; the last one gives the slot back. */
void slot_drop(struct slot *slot);
/* Forgets what the calling thread keeps for itself, and releases every arena. */
void slots_release(struct server *server);

/* server_connection.c */
void connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);
void *connection_take_target(void *cls, const char *uri, struct MHD_Connection *mhd);
struct connection *connection_of(struct MHD_Connection *mhd);
/* The deadline of what the connection waits for now; 0: none. */
void connection_set_deadline(struct connection *connection, int64_t after_ms);
bool watchdog_start(struct server *server);
void watchdog_stop(struct server *server);

/* server_head.c: fills the exchange from the head. What is wrong with it, or NULL. *content_length is -1 when
 * not sent. */
struct request_head {
    struct exchange *exchange;
    const char *complaint;
    int64_t content_length;
    bool is_chunked;
    unsigned fields;
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    const char *at; /* where the next field must stand in the connection's memory; NULL: not known */
};
void request_head_read(struct request_head *head, struct MHD_Connection *mhd, const char *url,
                       const char *method, const char *version);
