/* The HTTP/1.1 front: libmicrohttpd 0.9.75 with an epoll loop on each I/O thread. It turns bytes into
 * exchanges for the gateway, and replies into bytes; it knows limits and deadlines, and no operation.
 *
 * libmicrohttpd writes three pages by itself, which are not problem+json: 431 (headers of too many bytes),
 * 414 (a request line that fills its buffer) and 400 for a Content-Length that is no number. All else is the
 * gateway's. */
#pragma once

#include "http/gateway.h"

struct server;

/* Zero means the value of base/limits.h. */
struct server_options {
    struct slice listen; /* "127.0.0.1:8080", "[::1]:8080", "localhost:0"; port 0 picks a free one */
    int64_t io_threads;  /* 0: one a core, at most 8 */
    int64_t connections_max;
    int64_t requests_max; /* in flight: arenas */
    /* what tests shorten */
    int64_t header_deadline_ms;
    int64_t body_deadline_ms;
    int64_t write_deadline_ms;
    int64_t idle_timeout_s;
    int64_t drain_deadline_ms;
};

/* Listens and serves; returns at once. `gateway` outlives the server. Raises the soft limit of open files as
 * far as the connections need. NULL with one clear line in *complaint. */
struct server *server_start(const struct server_options *options, struct gateway *gateway,
                            struct arena *arena, struct slice *complaint);
/* The port that it listens on. */
unsigned server_port(const struct server *server);
/* Refuses what is new, lets what runs finish (at most drain_deadline_ms), cuts the rest, ends. Before
 * gateway_free. False when a handler still held its request at the end: its memory is left to the system, and
 * the process should end too. */
bool server_stop(struct server *server);
