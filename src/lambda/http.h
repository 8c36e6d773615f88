/* HTTP/1.1 to the Runtime API on one kept connection: a client for exactly that server, which stands on the
 * same machine and speaks without TLS. RFC 9112 as far as it goes; written for the API's rules in "Lambda
 * runtime API" of AWS's documentation. Why not libcurl: docs/decisions/0040. One thread. */
#pragma once

#include "base/arena.h"

#define LAMBDA_HEADER_BYTES_MAX ((size_t)64 << 10) /* of one reply's head */

struct lambda_http;

/* `host_port` is AWS_LAMBDA_RUNTIME_API ("127.0.0.1:9001", or a name); `end_fd` becomes readable when the
 * process shall end, -1: never. Connects at the first call. NULL with *complaint when it is no HOST:PORT or
 * the host is not known. */
struct lambda_http *lambda_http_new(struct slice host_port, int end_fd, struct arena *arena,
                                    struct slice *complaint);
void lambda_http_free(struct lambda_http *http);

struct lambda_http_call {
    const char *method;
    struct slice path;
    struct slice headers; /* further lines, each with its CRLF; may be absent */
    /* The body, one piece behind the other: with Content-Length, or in chunks. */
    struct slice body[3];
    bool is_chunked;
    bool waits_for_end; /* nothing is lost when it is given up: it ends as soon as end_fd says so */
    size_t reply_bytes_max;
};

struct lambda_http_reply {
    int status;
    struct slice head; /* the header lines, each with its CRLF */
    struct slice body;
};

enum lambda_http_result {
    LAMBDA_HTTP_ANSWERED,
    LAMBDA_HTTP_ENDED, /* end_fd, while it waited */
    LAMBDA_HTTP_FAILED /* no connection, or no HTTP; *complaint says what */
};

/* Sends and waits for the reply, for as long as it takes. A kept connection that turns out to be closed
 * before a byte came back is opened again, once. The reply lives in the arena. */
enum lambda_http_result lambda_http_call(struct lambda_http *http, struct arena *arena,
                                         const struct lambda_http_call *call, struct lambda_http_reply *reply,
                                         struct slice *complaint);
/* The first header of this name (any case), trimmed; absent without. */
struct slice lambda_http_header(const struct lambda_http_reply *reply, struct slice name);
