/* Outgoing HTTP by libcurl: a pool of handles, so that calls that follow each other share a connection. */
#include "net/http_client.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/trace.h"
#include "net/curl.h"
#include "net/url.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS_MAX 3000
#define ANSWER_HEADER_BYTES_MAX ((size_t)64 << 10)

struct http_client {
    char *ca_file; /* NULL: the system's */
    pthread_mutex_t lock;
    CURL *idle[HTTP_CLIENT_IDLE_MAX];
    size_t idle_count;
};

struct http_client *http_client_new(struct slice ca_file)
{
    curl_start();
    struct http_client *client = calloc(1, sizeof(*client));
    CHECK(client != NULL);
    if (ca_file.len > 0) {
        client->ca_file = strndup(ca_file.ptr, ca_file.len);
        CHECK(client->ca_file != NULL);
    }
    CHECK(pthread_mutex_init(&client->lock, NULL) == 0);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->idle_count; i++)
        curl_easy_cleanup(client->idle[i]);
    pthread_mutex_destroy(&client->lock);
    free(client->ca_file);
    free(client);
}

static CURL *handle_take(struct http_client *client)
{
    CURL *handle = NULL;
    pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0)
        handle = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->lock);
    return handle != NULL ? handle : curl_easy_init();
}

static void handle_give_back(struct http_client *client, CURL *handle)
{
    curl_easy_reset(handle); /* options and what they held; its connections stay */
    pthread_mutex_lock(&client->lock);
    bool is_kept = client->idle_count < HTTP_CLIENT_IDLE_MAX;
    if (is_kept)
        client->idle[client->idle_count++] = handle;
    pthread_mutex_unlock(&client->lock);
    if (!is_kept)
        curl_easy_cleanup(handle);
}

/* ---- one call ---- */

struct receiving {
    struct arena *arena;
    char *bytes;
    size_t len, size, max;
    size_t header_len;
    struct slice wanted; /* the name of the header that is kept */
    struct slice header;
    bool is_too_long;
};

static size_t receive_body(char *bytes, size_t one, size_t count, void *arg)
{
    struct receiving *receiving = arg;
    size_t len = one * count;
    if (len > receiving->max - receiving->len) {
        receiving->is_too_long = true;
        return 0; /* ends the transfer */
    }
    if (receiving->len + len > receiving->size) {
        size_t size = receiving->len + len > 2 * receiving->size ? receiving->len + len : 2 * receiving->size;
        char *grown = arena_try_grow(receiving->arena, receiving->bytes, receiving->size, size);
        if (grown == NULL) {
            receiving->is_too_long = true;
            return 0;
        }
        receiving->bytes = grown;
        receiving->size = size;
    }
    memcpy(receiving->bytes + receiving->len, bytes, len);
    receiving->len += len;
    return len;
}

static void keep_header(struct receiving *receiving, struct slice line)
{
    struct slice name;
    if (receiving->wanted.len == 0 || !slice_split(&line, ':', &name) || slice_is_absent(line) ||
        !slice_equals_ignore_case(name, receiving->wanted))
        return;
    receiving->header = arena_copy(receiving->arena, slice_trim(line));
}

static size_t receive_header(const char *bytes, size_t one, size_t count, void *arg)
{
    struct receiving *receiving = arg;
    keep_header(receiving, (struct slice){bytes, one * count});
    receiving->header_len += one * count;
    receiving->is_too_long = receiving->header_len > ANSWER_HEADER_BYTES_MAX;
    return receiving->is_too_long ? 0 : one * count;
}

static bool is_header_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static void header_append(struct arena *arena, const char *name, struct slice value, struct curl_slist **list)
{
    struct slice line = arena_format(arena, "%s: %.*s", name, SLICE_ARG(value));
    struct curl_slist *longer = curl_slist_append(*list, line.ptr);
    CHECK(longer != NULL);
    *list = longer;
}

/* False when a value could end its line. *list is the caller's in either case. */
static bool headers_make(struct arena *arena, const struct http_call *call, struct curl_slist **list)
{
    *list = curl_slist_append(NULL, "Expect:"); /* no waiting for 100 Continue */
    CHECK(*list != NULL);
    for (size_t i = 0; i < HTTP_CLIENT_HEADERS_MAX && call->headers[i].name != NULL; i++) {
        const struct http_client_header *header = &call->headers[i];
        if (!is_header_value(header->value))
            return false;
        header_append(arena, header->name, header->value, list);
    }
    return true;
}

/* What the request that this call is made for belongs to (base/trace.h). */
static bool headers_add_trace(struct arena *arena, const struct span *span, struct curl_slist **list)
{
    const struct trace *trace = trace_current();
    char parent[TRACEPARENT_LEN + 1];
    if (trace == NULL || !traceparent_format(trace, span, parent))
        return true;
    header_append(arena, "traceparent", slice_from(parent), list);
    /* The caller wrote it (a tab may stand in it): what cannot go on is left out, and fails no call. */
    if (!slice_is_absent(trace->state) && is_header_value(trace->state))
        header_append(arena, "tracestate", trace->state, list);
    return true;
}

/* Setting an option of ours fails only without memory, or when this libcurl has it not: a programmer error.
 */
#define SET(handle, option, value) CHECK(curl_easy_setopt((handle), (option), (value)) == CURLE_OK)

/* A body that libcurl cannot have a second time. */
static size_t give_body(char *out, size_t one, size_t count, void *arg)
{
    struct slice *rest = arg;
    size_t len = one * count < rest->len ? one * count : rest->len;
    memcpy(out, rest->ptr, len);
    *rest = slice_skip(*rest, len);
    return len;
}

static void body_set(CURL *handle, const struct http_call *call, struct slice *rest)
{
    SET(handle, CURLOPT_POST, 1L);
    SET(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    if (call->is_unrepeatable) {
        *rest = call->body;
        SET(handle, CURLOPT_READFUNCTION, give_body);
        SET(handle, CURLOPT_READDATA, rest);
    } else {
        SET(handle, CURLOPT_POSTFIELDS, call->body.ptr);
    }
}

static void handle_set(const struct http_client *client, CURL *handle, struct arena *arena,
                       const struct http_call *call, struct receiving *receiving)
{
    int64_t connect_ms =
        call->timeout_ms < CONNECT_TIMEOUT_MS_MAX ? call->timeout_ms : CONNECT_TIMEOUT_MS_MAX;
    bool is_clear =
        slice_starts_with(call->url, SLICE("http://")); /* then to this machine or its host: url.h */
    SET(handle, CURLOPT_URL, arena_copy(arena, call->url).ptr);
    SET(handle, CURLOPT_PROTOCOLS_STR, is_clear ? "http" : "https");
    SET(handle, CURLOPT_NOSIGNAL, 1L);
    SET(handle, CURLOPT_FOLLOWLOCATION, 0L);
    SET(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(handle, CURLOPT_NOPROXY, is_clear ? "*" : "localhost,127.0.0.1,::1");
    SET(handle, CURLOPT_USERAGENT, "souk");
    SET(handle, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    SET(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(handle, CURLOPT_WRITEFUNCTION, receive_body);
    SET(handle, CURLOPT_WRITEDATA, receiving);
    SET(handle, CURLOPT_HEADERFUNCTION, receive_header);
    SET(handle, CURLOPT_HEADERDATA, receiving);
    const char *ca_file = client->ca_file != NULL ? client->ca_file : curl_ca_file();
    if (ca_file != NULL)
        SET(handle, CURLOPT_CAINFO, ca_file);
}

static struct slice host_of(struct slice url)
{
    struct slice part, rest = url;
    for (int slashes = 0; slashes < 2; slashes++)
        (void)slice_split(&rest, '/', &part);
    return slice_split(&rest, '/', &part) ? part : SLICE("");
}

static bool perform(struct http_client *client, CURL *handle, struct arena *arena,
                    const struct http_call *call, const struct span *span, struct http_answer *answer,
                    struct slice *why)
{
    struct receiving receiving = {
        .arena = arena, .max = call->reply_bytes_max, .wanted = slice_from(call->wanted_header)};
    struct curl_slist *headers = NULL;
    handle_set(client, handle, arena, call, &receiving);
    struct slice unsent;
    if (!slice_is_absent(call->body))
        body_set(handle, call, &unsent);
    if (!headers_make(arena, call, &headers) || !headers_add_trace(arena, span, &headers)) {
        *why = SLICE("a header of the call would hold a control character");
        curl_slist_free_all(headers);
        return false;
    }
    SET(handle, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(handle);
    curl_slist_free_all(headers);
    curl_off_t began_sending_us = 0;
    CHECK(curl_easy_getinfo(handle, CURLINFO_PRETRANSFER_TIME_T, &began_sending_us) == CURLE_OK);
    answer->was_sent = began_sending_us > 0;
    if (code != CURLE_OK) {
        struct slice host = host_of(call->url);
        *why = arena_format(arena, "%.*s: %s", SLICE_ARG(host),
                            receiving.is_too_long ? "its answer is too long" : curl_easy_strerror(code));
        return false;
    }
    CHECK(curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer->status) == CURLE_OK);
    answer->header = receiving.header;
    answer->body = receiving.len > 0 ? (struct slice){receiving.bytes, receiving.len} : SLICE("");
    return true;
}

bool http_call(struct http_client *client, struct arena *arena, const struct http_call *call,
               struct http_answer *answer, struct slice *why)
{
    CHECK(call->timeout_ms > 0 && call->reply_bytes_max > 0);
    const char *rule = call->is_for_credentials ? url_credentials_rule(call->url) : url_http_rule(call->url);
    *answer = (struct http_answer){0};
    if (rule != NULL) {
        *why = arena_format(arena, "the address to call %s", rule);
        return false;
    }
    CURL *handle = handle_take(client);
    if (handle == NULL) {
        *why = SLICE("libcurl gives no handle");
        return false;
    }
    struct span *span = span_begin(slice_is_absent(call->body) ? "GET" : "POST", SPAN_HTTP);
    if (span != NULL)
        snprintf(span->host, sizeof(span->host), "%.*s", SLICE_ARG(host_of(call->url)));
    bool is_answered = perform(client, handle, arena, call, span, answer, why);
    if (span != NULL)
        span->status = answer->status;
    span_end(span, !is_answered || answer->status >= 500);
    handle_give_back(client, handle);
    return is_answered;
}
