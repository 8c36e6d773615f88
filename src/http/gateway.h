/* The one pipeline that every request takes, whatever transport it came by. gateway.c reads like the list of its steps. */
#pragma once

#include "http/response.h"

struct gateway;

/* One exchange: filled by a transport, answered by the gateway. It and all it points to live in `arena`. */
struct exchange {
    struct arena *arena;
    enum http_method method;
    struct slice target;  /* raw path and query, still escaped */
    struct slice body;    /* absent: none */
    struct slice address; /* of the client */
    bool is_loopback;
    /* header look-up of the transport: name in lower case; absent when not sent */
    struct slice (*header)(const struct exchange *exchange, const char *name);
    void *transport;
    /* the answer */
    enum http_status status;
    struct response response;
    struct request request;
    /* called once, on any thread, when the answer stands in `status` and `response` (only after gateway_handle said true for
     * "pending") */
    void (*complete)(struct exchange *exchange);
};
