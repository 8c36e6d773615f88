/* The server: libmicrohttpd's callbacks around the gateway, start and stop.
 *
 * The life of a request: its target is kept as the request line comes (connection_take_target); at the first
 * call of on_request the head is read, routed and refused or accepted; the body is gathered by the calls that
 * follow; the last one hands the exchange to the gateway. When the gateway needs another thread the
 * connection is suspended; that thread resumes it, and on_request is called once more to take the reply.
 * on_completed ends it all, whatever happened. */
#include "base/clock.h"
#include "base/log.h"
#include "http/server_private.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define IO_THREADS_MAX 8
#define LISTEN_BACKLOG 1024
#define DESCRIPTORS_BESIDE_CONNECTIONS 256
#define LEFT_BEHIND_MS 2000 /* after the drain, for handlers that still hold a request */
/* Head and reply's head share a connection's memory; a target of URI_BYTES_MAX comes on top of the header
 * fields. */
#define CONNECTION_BYTES_MAX (HEADER_BYTES_MAX + URI_BYTES_MAX)

#define TEXT_OF(number) TEXT_OF_EXPANDED(number)
#define TEXT_OF_EXPANDED(number) #number

/* ---- answering ---- */

/* How long a client may take to read a reply of this length, while it holds one of the slots. */
static int64_t write_deadline_ms(const struct server *server, size_t bytes)
{
    int64_t fair_ms = WRITE_GRACE_MS + (int64_t)(bytes / WRITE_BYTES_PER_MS_MIN);
    return fair_ms < server->options.write_deadline_ms ? fair_ms : server->options.write_deadline_ms;
}

static enum MHD_Result queue_reply(struct slot *slot)
{
    const struct reply *reply = &slot->exchange->reply;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->body.len, reply->body.len > 0 ? (void *)(uintptr_t)reply->body.ptr : NULL,
        MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    for (unsigned i = 0; i < reply->header_count; i++)
        (void)MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value.ptr);
    if (slot->must_close || atomic_load_explicit(&slot->server->is_draining, memory_order_relaxed))
        (void)MHD_add_response_header(response, "Connection", "close");
    atomic_store_explicit(&slot->state, SLOT_ANSWERED, memory_order_relaxed);
    connection_set_deadline(slot->connection, write_deadline_ms(slot->server, reply->body.len));
    enum MHD_Result result = MHD_queue_response(slot->mhd, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct slot *slot, enum problem_code code, const char *detail)
{
    gateway_refuse(slot->server->gateway, slot->exchange, code, detail);
    return queue_reply(slot);
}

/* Every arena is in use: the one reply that the gateway does not write. */
static enum MHD_Result answer_full(struct MHD_Connection *mhd)
{
    char id[UUID_TEXT_LEN + 1] = {0};
    uuid_format(uuid_v7(clock_now_ms()), id);
    char text[512];
    int len =
        snprintf(text, sizeof(text),
                 "{\"type\":\"about:blank\",\"title\":\"The shop is busy; try again\",\"status\":503,"
                 "\"detail\":\"Too many requests at once\",\"code\":\"UNAVAILABLE\",\"requestId\":\"%s\"}",
                 id);
    struct MHD_Response *response = MHD_create_response_from_buffer((size_t)len, text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "application/problem+json");
    (void)MHD_add_response_header(response, "Retry-After", "1");
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Request-Id", id);
    (void)MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(mhd, HTTP_STATUS_UNAVAILABLE, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- suspending and resuming ---- */

static void on_suspend(struct exchange *exchange)
{
    struct slot *slot = exchange->transport;
    struct server *server = slot->server;
    atomic_fetch_add_explicit(&slot->owners, 1, memory_order_relaxed);
    /* Counted before is_cutting is read, as server_stop sets it before it reads the count: one of the two
     * sees the other. */
    atomic_fetch_add(&server->suspended, 1);
    if (atomic_load(&server->is_cutting)) {
        atomic_fetch_sub(&server->suspended, 1);
        atomic_store(&slot->state, SLOT_ABANDONED);
        return;
    }
    slot->counts_as_suspended = true;
    MHD_suspend_connection(slot->mhd);
    atomic_store(&slot->state, SLOT_PENDING); /* from here on it may be resumed */
}

/* On the thread that has brought the exchange to its end. */
static void on_complete(struct exchange *exchange)
{
    struct slot *slot = exchange->transport;
    struct server *server = slot->server;
    int pending = SLOT_PENDING;
    atomic_fetch_add(&server->resuming, 1); /* server_stop waits for this one */
    if (atomic_compare_exchange_strong(&slot->state, &pending, SLOT_DONE))
        MHD_resume_connection(slot->mhd);
    else
        gateway_finish(server->gateway, exchange); /* nobody waits for it, but what it did is counted */
    atomic_fetch_sub(&server->resuming, 1);
    slot_drop(slot);
}

static void note_resumed(struct slot *slot)
{
    if (!slot->counts_as_suspended)
        return;
    slot->counts_as_suspended = false;
    atomic_fetch_sub(&slot->server->suspended, 1);
}

/* ---- receiving ---- */

/* Bodies that dawdle may hold half of the slots: the shop can be browsed and ordered from however many there
 * are. */
static bool may_receive(struct slot *slot)
{
    struct server *server = slot->server;
    int others = atomic_fetch_add_explicit(&server->receiving, 1, memory_order_relaxed);
    slot->counts_as_receiving = true;
    return (int64_t)others * 2 < server->options.requests_max;
}

static void note_received(struct slot *slot)
{
    if (!slot->counts_as_receiving)
        return;
    slot->counts_as_receiving = false;
    atomic_fetch_sub_explicit(&slot->server->receiving, 1, memory_order_relaxed);
}

static enum MHD_Result begin(struct server *server, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, void **con_cls)
{
    struct connection *connection = connection_of(mhd);
    if (connection == NULL || atomic_load_explicit(&server->is_cutting, memory_order_relaxed))
        return MHD_NO;
    struct slot *slot = slot_acquire(server);
    if (slot == NULL)
        return answer_full(mhd);
    *con_cls = slot;
    atomic_fetch_add_explicit(&server->active, 1, memory_order_relaxed);
    struct exchange *exchange = exchange_new(&slot->arena);
    slot->exchange = exchange;
    slot->mhd = mhd;
    slot->connection = connection;
    exchange->transport = slot;
    exchange->suspend = on_suspend;
    exchange->complete = on_complete;
    exchange->target = slice_from(connection->target);
    exchange->address = slice_from(connection->address);
    exchange->is_loopback = connection->is_loopback;
    struct request_head head = {.exchange = exchange};
    request_head_read(&head, mhd, url, method, version);
    gateway_open(server->gateway, exchange);

    /* A reply queued at the first call closes the connection: only for what must be refused before the body.
     */
    slot->must_close = head.complaint != NULL || head.fields > HEADER_FIELDS_MAX ||
                       head.content_length > (int64_t)exchange->body_limit;
    if (head.complaint != NULL)
        return refuse(slot, PROBLEM_MALFORMED_REQUEST, head.complaint);
    if (head.fields > HEADER_FIELDS_MAX)
        return refuse(slot, PROBLEM_HEADERS_TOO_LARGE,
                      "At most " TEXT_OF(HEADER_FIELDS_MAX) " header fields");
    if (slot->must_close)
        return refuse(slot, PROBLEM_BODY_TOO_LARGE, "The body is larger than this operation takes");
    bool has_body = head.is_chunked || head.content_length > 0;
    if (has_body && !may_receive(slot)) {
        slot->must_close = true;
        return refuse(slot, PROBLEM_UNAVAILABLE, "Too many bodies are on their way; try again");
    }
    connection_set_deadline(connection, has_body ? server->options.body_deadline_ms : 0);
    buf_init(&slot->body, &slot->arena);
    if (head.content_length > 0)
        (void)buf_reserve(&slot->body, (size_t)head.content_length);
    return MHD_YES;
}

/* A piece of the body. No reply can be queued now: what is too much is read and forgotten, up to a point. */
static enum MHD_Result receive(struct slot *slot, const char *data, size_t *size)
{
    size_t len = *size;
    *size = 0;
    slot->is_too_large = slot->is_too_large || len > slot->exchange->body_limit - slot->body.len;
    if (!slot->is_too_large) {
        buf_append(&slot->body, (struct slice){data, len});
        return MHD_YES;
    }
    slot->drained += len;
    return slot->drained <= BODY_DRAIN_BYTES ? MHD_YES : MHD_NO;
}

static enum MHD_Result handle(struct slot *slot)
{
    struct server *server = slot->server;
    struct exchange *exchange = slot->exchange;
    connection_set_deadline(slot->connection, 0);
    note_received(slot);
    if (slot->is_too_large)
        return refuse(slot, PROBLEM_BODY_TOO_LARGE, "The body is larger than this operation takes");
    exchange->body = buf_slice(&slot->body);
    if (gateway_handle(server->gateway, exchange) == GATEWAY_PENDING)
        return slot->counts_as_suspended ? MHD_YES : MHD_NO; /* not suspended: abandoned at once */
    return queue_reply(slot);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *upload_data, size_t *upload_data_size,
                                  void **con_cls)
{
    struct slot *slot = *con_cls;
    if (slot == NULL)
        return begin(cls, mhd, url, method, version, con_cls); /* `url` was taken apart in place */
    switch ((enum slot_state)atomic_load(&slot->state)) {
    case SLOT_RECEIVING:
        return *upload_data_size > 0 ? receive(slot, upload_data, upload_data_size) : handle(slot);
    case SLOT_DONE:
        note_resumed(slot);
        gateway_finish(slot->server->gateway, slot->exchange);
        return queue_reply(slot);
    case SLOT_ABANDONED:
        note_resumed(slot);
        return MHD_NO;
    case SLOT_PENDING:
    case SLOT_ANSWERED:
        break;
    }
    CHECK(!"called while suspended or answered");
    return MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                         enum MHD_RequestTerminationCode reason)
{
    (void)mhd;
    (void)reason;
    struct server *server = cls;
    struct slot *slot = *con_cls;
    if (slot == NULL)
        return;
    *con_cls = NULL;
    note_resumed(slot);
    note_received(slot);
    switch ((enum slot_state)atomic_load(&slot->state)) {
    case SLOT_RECEIVING: /* the client went away, or missed a deadline */
        gateway_refuse(server->gateway, slot->exchange, PROBLEM_MALFORMED_REQUEST, "The request ended early");
        break;
    case SLOT_DONE: /* the client went away meanwhile; what was done must take effect all the same */
        gateway_finish(server->gateway, slot->exchange);
        break;
    case SLOT_ANSWERED:
    case SLOT_ABANDONED:
        break;
    case SLOT_PENDING:
        CHECK(!"a suspended request ended");
    }
    connection_set_deadline(slot->connection,
                            server->options.idle_timeout_s * 1000 + server->options.header_deadline_ms);
    slot_drop(slot);
    atomic_fetch_sub_explicit(&server->active, 1, memory_order_release);
}

/* ---- starting ---- */

static void keep_or(int64_t *value, int64_t otherwise)
{
    if (*value <= 0)
        *value = otherwise;
}

static void options_complete(struct server_options *options)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    keep_or(&options->io_threads, cores > IO_THREADS_MAX ? IO_THREADS_MAX : cores > 0 ? cores : 1);
    keep_or(&options->connections_max, CONNECTIONS_MAX);
    keep_or(&options->requests_max, REQUESTS_IN_FLIGHT_MAX);
    keep_or(&options->header_deadline_ms, HEADER_DEADLINE_MS);
    keep_or(&options->body_deadline_ms, BODY_DEADLINE_MS);
    keep_or(&options->write_deadline_ms, WRITE_DEADLINE_MS);
    keep_or(&options->idle_timeout_s, IDLE_TIMEOUT_S);
    keep_or(&options->drain_deadline_ms, DRAIN_DEADLINE_MS);
}

/* "[::1]:8080" -> "::1", "8080". */
static bool listen_split(struct slice listen, char host[256], char port[8])
{
    size_t colon = listen.len;
    while (colon > 0 && listen.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    struct slice host_part = {listen.ptr, colon - 1};
    struct slice port_part = slice_skip(listen, colon);
    if (host_part.len >= 2 && host_part.ptr[0] == '[' && host_part.ptr[host_part.len - 1] == ']')
        host_part = (struct slice){host_part.ptr + 1, host_part.len - 2};
    else if (memchr(host_part.ptr, ':', host_part.len) != NULL)
        return false;
    long long number;
    if (host_part.len >= 256 || port_part.len == 0 || port_part.len >= 8 ||
        !slice_to_int64(port_part, &number) || number < 0 || number > 65535)
        return false;
    memcpy(host, host_part.ptr, host_part.len);
    host[host_part.len] = '\0';
    memcpy(port, port_part.ptr, port_part.len);
    port[port_part.len] = '\0';
    return true;
}

static int socket_listen(const struct addrinfo *address)
{
    int fd =
        socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    int on = 1;
    int off = 0;
    if (fd < 0)
        return -1;
    if (address->ai_family == AF_INET6) /* [::] takes IPv4 clients too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    /* Connections inherit it: the rest of a large reply must not wait for the acknowledgement of its front.
     */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* The listening socket, or -1 with the complaint. */
static int listen_open(struct slice listen, struct arena *arena, struct slice *complaint)
{
    char host[256];
    char port[8];
    if (!listen_split(listen, host, port)) {
        *complaint =
            arena_format(arena, "--listen %.*s is not ADDRESS:PORT (an IPv6 address stands in brackets)",
                         SLICE_ARG(listen));
        return -1;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (failure != 0) {
        *complaint =
            arena_format(arena, "Cannot listen on %.*s: %s", SLICE_ARG(listen), gai_strerror(failure));
        return -1;
    }
    int fd = socket_listen(found);
    if (fd < 0)
        *complaint = arena_format(arena, "Cannot listen on %.*s: %s", SLICE_ARG(listen), strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void raise_descriptor_limit(int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + DESCRIPTORS_BESIDE_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The target is not for libmicrohttpd to unescape: the router does it, once. */
static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text);
}

static struct MHD_Daemon *daemon_start(struct server *server, int fd)
{
    const struct server_options *options = &server->options;
    /* A pool of one thread is what there is without a pool. */
    struct MHD_OptionItem pool[] = {{options->io_threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END,
                                     (intptr_t)options->io_threads, NULL},
                                    {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, connection_notify, server, MHD_OPTION_URI_LOG_CALLBACK,
        connection_take_target, server, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES_MAX, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->idle_timeout_s,
        MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
}

static void server_free(struct server *server)
{
    slots_release(server);
    pthread_mutex_destroy(&server->slots_lock);
    pthread_mutex_destroy(&server->connections_lock);
    free(server);
}

struct server *server_start(const struct server_options *options, struct gateway *gateway,
                            struct arena *arena, struct slice *complaint)
{
    static _Atomic uint64_t serial;
    int fd = listen_open(options->listen, arena, complaint);
    if (fd < 0)
        return NULL;
    struct server *server = calloc(1, sizeof(*server));
    CHECK(server != NULL); /* at start */
    server->gateway = gateway;
    server->options = *options;
    options_complete(&server->options);
    server->serial = atomic_fetch_add(&serial, 1) + 1;
    server->port = port_of(fd);
    server->slots = calloc((size_t)server->options.requests_max, sizeof(struct slot *));
    CHECK(server->slots != NULL);
    pthread_mutex_init(&server->slots_lock, NULL);
    pthread_mutex_init(&server->connections_lock, NULL);
    raise_descriptor_limit(server->options.connections_max);
    if (watchdog_start(server)) {
        server->daemon = daemon_start(server, fd);
        if (server->daemon != NULL)
            return server;
        watchdog_stop(server);
    }
    (void)close(fd);
    server_free(server);
    *complaint = arena_format(arena, "The HTTP server did not start: too few threads or descriptors");
    return NULL;
}

unsigned server_port(const struct server *server)
{
    return server->port;
}

/* ---- stopping ---- */

/* Waits until the counter is zero; false after `limit_ms`. */
static bool wait_for_zero(const _Atomic int *counter, int64_t limit_ms)
{
    int64_t end_us = clock_monotonic_us() + limit_ms * 1000;
    while (atomic_load_explicit(counter, memory_order_acquire) != 0) {
        if (clock_monotonic_us() > end_us)
            return false;
        (void)usleep(1000);
    }
    return true;
}

/* Takes every suspended request away from its connection: libmicrohttpd aborts when it is stopped with one.
 */
static void abandon_suspended(struct server *server)
{
    while (atomic_load(&server->suspended) != 0 || atomic_load(&server->resuming) != 0) {
        pthread_mutex_lock(&server->slots_lock);
        for (unsigned i = 0; i < server->slots_made; i++) {
            struct slot *slot = server->slots[i];
            int pending = SLOT_PENDING;
            if (atomic_compare_exchange_strong(&slot->state, &pending, SLOT_ABANDONED))
                MHD_resume_connection(slot->mhd);
        }
        pthread_mutex_unlock(&server->slots_lock);
        (void)usleep(1000);
    }
}

bool server_stop(struct server *server)
{
    gateway_begin_draining();
    atomic_store(&server->is_draining, true);
    int fd = MHD_quiesce_daemon(server->daemon);
    if (fd >= 0)
        (void)close(fd);
    if (!wait_for_zero(&server->active, server->options.drain_deadline_ms))
        log_message(LOG_WARN, "Requests still ran when the time to finish them was over");
    atomic_store(&server->is_cutting, true);
    abandon_suspended(server);
    MHD_stop_daemon(server->daemon);
    watchdog_stop(server);
    if (!wait_for_zero(&server->slots_held, LEFT_BEHIND_MS)) {
        log_message(LOG_ERROR, "A handler still holds its request; its memory is left to the system");
        return false;
    }
    server_free(server);
    return true;
}
