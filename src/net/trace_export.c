/* The exporter: a queue and a thread for OTLP, a datagram socket for X-Ray. */
#include "net/trace_export.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/trace_json.h"
#include "net/url.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define POST_ARENA_BYTES (4 * TRACE_POST_BYTES_MAX + ((size_t)1 << 20))
#define ANSWER_BYTES_MAX ((size_t)64 << 10)

METRIC_DEFINE(EXPORTED, "souk_trace_exported_total", "Requests whose trace was handed on", NULL,
              METRIC_COUNTER);
METRIC_DEFINE(DROPPED, "souk_trace_dropped_total",
              "Requests whose trace was thrown away: the collector is slow or gone", NULL, METRIC_COUNTER);

/* The spans of one request. */
struct piece {
    struct piece *next;
    size_t len;
    char text[];
};

static struct trace_exporter {
    struct trace_source source;
    bool is_open;
    int socket; /* to X-Ray's daemon; -1: none */
    struct slice url;
    struct http_client *client;
    struct arena arena; /* of a POST */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct piece *first, *last;
    size_t queued_bytes;
    bool is_stopping;
} exporter = {.socket = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what a request leaves: on the thread that ends it ---- */

static void enqueue(struct slice text)
{
    struct piece *piece = malloc(sizeof(*piece) + text.len);
    CHECK(piece != NULL);
    piece->next = NULL;
    piece->len = text.len;
    memcpy(piece->text, text.ptr, text.len);
    pthread_mutex_lock(&exporter.lock);
    bool has_room = exporter.queued_bytes + text.len <= TRACE_QUEUE_BYTES_MAX && !exporter.is_stopping;
    if (has_room) {
        if (exporter.last != NULL)
            exporter.last->next = piece;
        else
            exporter.first = piece;
        exporter.last = piece;
        exporter.queued_bytes += text.len;
        if (exporter.queued_bytes > TRACE_POST_BYTES_MAX)
            pthread_cond_signal(&exporter.changed);
    }
    pthread_mutex_unlock(&exporter.lock);
    if (has_room)
        return;
    free(piece);
    metric_add(&DROPPED, 1);
}

static void sink_otlp(const struct trace_report *report)
{
    struct buf out;
    buf_init(&out, report->arena);
    trace_write_otlp(report, &out);
    if (out.overflow)
        metric_add(&DROPPED, 1);
    else
        enqueue(buf_slice(&out));
}

static void sink_xray(const struct trace_report *report)
{
    struct buf out;
    buf_init(&out, report->arena);
    trace_write_xray(report, &exporter.source, &out);
    bool is_sent = !out.overflow && out.len <= TRACE_DATAGRAM_BYTES_MAX &&
                   send(exporter.socket, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)out.len;
    metric_add(is_sent ? &EXPORTED : &DROPPED, 1);
}

/* ---- sending to the collector ---- */

/* Takes about as much as one call shall bring; the rest stays. */
static struct piece *dequeue(void)
{
    size_t bytes = 0;
    pthread_mutex_lock(&exporter.lock);
    struct piece *first = exporter.first;
    struct piece *last = first;
    if (last != NULL)
        bytes = last->len;
    while (last != NULL && last->next != NULL && bytes + last->next->len <= TRACE_POST_BYTES_MAX) {
        last = last->next;
        bytes += last->len;
    }
    if (last != NULL) {
        exporter.first = last->next;
        last->next = NULL;
    }
    if (exporter.first == NULL)
        exporter.last = NULL;
    exporter.queued_bytes -= bytes;
    pthread_mutex_unlock(&exporter.lock);
    return first;
}

static bool post(struct slice body, int64_t timeout_ms)
{
    const struct http_call call = {
        .url = exporter.url,
        .body = body,
        .headers = {{"Content-Type", SLICE("application/json")}},
        .timeout_ms = timeout_ms,
        .reply_bytes_max = ANSWER_BYTES_MAX,
    };
    struct http_answer answer;
    struct slice why;
    return http_call(exporter.client, &exporter.arena, &call, &answer, &why) && answer.status / 100 == 2;
}

/* One call with what waits. False when nothing did. */
static bool send_some(int64_t timeout_ms)
{
    struct piece *first = dequeue();
    struct buf spans, body;
    int64_t count = 0;
    if (first == NULL)
        return false;
    arena_reset(&exporter.arena);
    buf_init(&spans, &exporter.arena);
    for (struct piece *piece = first, *next; piece != NULL; piece = next, count++) {
        next = piece->next;
        if (spans.len > 0)
            buf_append_char(&spans, ',');
        buf_append(&spans, (struct slice){piece->text, piece->len});
        free(piece);
    }
    buf_init(&body, &exporter.arena);
    trace_wrap_otlp(&exporter.source, buf_slice(&spans), &body);
    bool is_sent = !spans.overflow && !body.overflow && post(buf_slice(&body), timeout_ms);
    metric_add(is_sent ? &EXPORTED : &DROPPED, count);
    return true;
}

void trace_exporter_flush(int64_t deadline_us)
{
    int64_t left_ms;
    if (!exporter.is_open || exporter.socket >= 0 || exporter.has_thread)
        return;
    do {
        left_ms = (deadline_us - clock_monotonic_us()) / 1000;
    } while (left_ms > 0 && send_some(left_ms < TRACE_TIMEOUT_MS ? left_ms : TRACE_TIMEOUT_MS));
}

static bool wait_for_spans(void)
{
    int64_t until_us = clock_monotonic_us() + TRACE_INTERVAL_MS * INT64_C(1000);
    pthread_mutex_lock(&exporter.lock);
    while (!exporter.is_stopping && exporter.queued_bytes <= TRACE_POST_BYTES_MAX &&
           clock_monotonic_us() < until_us)
        clock_cond_wait(&exporter.changed, &exporter.lock, until_us);
    bool goes_on = !exporter.is_stopping;
    pthread_mutex_unlock(&exporter.lock);
    return goes_on;
}

static void *exporter_main(void *arg)
{
    (void)arg;
    while (wait_for_spans())
        (void)send_some(TRACE_TIMEOUT_MS);
    int64_t until_us = clock_monotonic_us() + TRACE_TIMEOUT_MS * INT64_C(1000);
    int64_t left_ms;
    do { /* the last ones */
        left_ms = (until_us - clock_monotonic_us()) / 1000;
    } while (left_ms > 0 && send_some(left_ms));
    return NULL;
}

/* ---- starting and stopping ---- */

/* "127.0.0.1:2000", or the udp of "tcp:127.0.0.1:2000 udp:127.0.0.1:2001". */
static int open_socket(struct slice address, struct arena *arena)
{
    struct slice word, rest = address;
    while (slice_split(&rest, ' ', &word)) {
        if (slice_starts_with(word, SLICE("udp:")))
            address = slice_skip(word, 4);
    }
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return -1;
    const char *host = arena_copy(arena, (struct slice){address.ptr, colon - 1}).ptr;
    const char *port = arena_copy(arena, slice_skip(address, colon)).ptr;
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static bool start_xray(const struct config *config, struct arena *arena, struct slice *complaint)
{
    exporter.socket = open_socket(config->xray_address, arena);
    *complaint = SLICE("AWS_XRAY_DAEMON_ADDRESS: must be HOST:PORT, with a host that is known here");
    return exporter.socket >= 0;
}

static bool start_otlp(const struct config *config, enum trace_sending sending, struct arena *arena,
                       struct slice *complaint)
{
    struct slice base = config->otlp_endpoint;
    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    const char *rule = url_http_rule(base);
    if (rule != NULL) {
        *complaint = arena_format(arena, "OTEL_EXPORTER_OTLP_ENDPOINT %s", rule);
        return false;
    }
    exporter.url = arena_format(arena, "%.*s/v1/traces", SLICE_ARG(base));
    *complaint = SLICE("the system gives no memory or thread for traces");
    if (!arena_init(&exporter.arena, POST_ARENA_BYTES))
        return false;
    exporter.client = http_client_new(config->ca_file);
    clock_cond_init(&exporter.changed);
    exporter.is_stopping = false;
    exporter.has_thread =
        sending == TRACE_BY_THREAD && pthread_create(&exporter.thread, NULL, exporter_main, NULL) == 0;
    return sending == TRACE_BY_FLUSH || exporter.has_thread;
}

bool trace_exporter_start(const struct config *config, enum trace_sending sending, struct arena *arena,
                          struct slice *complaint)
{
    if (config->trace == TRACE_OFF)
        return true;
    exporter.source = (struct trace_source){
        .service = config->service_name, .stage = config->stage, .is_function = sending == TRACE_BY_FLUSH};
    bool is_xray = config->trace == TRACE_XRAY;
    exporter.is_open =
        is_xray ? start_xray(config, arena, complaint) : start_otlp(config, sending, arena, complaint);
    if (exporter.is_open)
        trace_start(is_xray ? sink_xray : sink_otlp, config->trace_sample_ppm);
    return exporter.is_open;
}

void trace_exporter_stop(void)
{
    if (!exporter.is_open)
        return;
    trace_start(NULL, 0);
    trace_exporter_flush(clock_monotonic_us() + TRACE_TIMEOUT_MS * INT64_C(1000));
    pthread_mutex_lock(&exporter.lock);
    exporter.is_stopping = true;
    pthread_mutex_unlock(&exporter.lock);
    if (exporter.has_thread) {
        pthread_cond_signal(&exporter.changed);
        pthread_join(exporter.thread, NULL);
    }
    if (exporter.socket >= 0)
        (void)close(exporter.socket);
    if (exporter.client != NULL)
        http_client_free(exporter.client);
    arena_release(&exporter.arena);
    exporter.socket = -1;
    exporter.client = NULL;
    exporter.is_open = exporter.has_thread = false;
}
