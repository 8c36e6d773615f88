/* Outgoing HTTP calls: https with the certificate checked (http only to this machine), one answer within one
 * bound of time and of bytes. Redirects are not followed: the address that was configured is the one that is
 * called. No cookies, no compression, HTTP/1.1. The environment's HTTPS_PROXY counts, but not for this
 * machine.
 *
 * Blocks: never on an I/O thread or the write lane. */
#pragma once

#include "base/arena.h"

#define HTTP_CLIENT_HEADERS_MAX 8
#define HTTP_CLIENT_IDLE_MAX 16 /* handles, each with its open connections, that wait for the next call */

struct http_client; /* thread-safe */

/* `ca_file`: the authorities to trust in place of the system's (PEM); absent or empty: the system's. */
struct http_client *http_client_new(struct slice ca_file);
/* No call may be running. NULL is fine. */
void http_client_free(struct http_client *client);

struct http_client_header {
    const char *name; /* NULL ends the list */
    struct slice value;
};

struct http_call {
    struct slice url;
    struct slice body; /* absent: GET, else POST */
    /* The body leaves once at most. Otherwise a connection that was kept open and dies before anything is
     * answered makes libcurl send it again on a new one, though the other side may have it. */
    bool is_unrepeatable;
    struct http_client_header headers[HTTP_CLIENT_HEADERS_MAX];
    const char *wanted_header; /* of the answer, in lower case; NULL: none */
    bool is_for_credentials;   /* http:// may also go where containers get their AWS credentials (url.h) */
    int64_t timeout_ms;        /* from the look-up of the name to the last byte */
    size_t reply_bytes_max;    /* a longer answer is a failure */
};

struct http_answer {
    long status;
    struct slice body;   /* in the arena; may be empty */
    struct slice header; /* the value of the wanted one; absent without it */
    bool was_sent;       /* something of the call was; also told when there was no answer */
};

/* True: the other side answered, whatever its status. False: it did not, in time, wholly, or under its name;
 * *why says so in one line that holds nothing of the call but the host's name. A header value with a control
 * character is a failure too: nothing is sent. */
bool http_call(struct http_client *client, struct arena *arena, const struct http_call *call,
               struct http_answer *answer, struct slice *why);
