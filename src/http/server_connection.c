/* Connections: where they come from, what they wait for, and the watchdog that ends those that wait too long.
 *
 * libmicrohttpd's timeout counts idleness only, so that a byte now and then keeps a connection for ever. Here
 * each phase of a request has an end by the clock: the head, the body, and taking the reply. */
#include "base/clock.h"
#include "http/server_private.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TICK_MS_MIN 10
#define TICK_MS_MAX 250

static int64_t monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

void connection_set_deadline(struct connection *connection, int64_t after_ms)
{
    int64_t now_ms = atomic_load_explicit(&connection->server->now_ms, memory_order_relaxed);
    atomic_store_explicit(&connection->deadline_ms, after_ms > 0 ? now_ms + after_ms : 0,
                          memory_order_relaxed);
}

/* The client's address as text; an IPv4 client of an IPv6 socket as IPv4. */
static void take_address(struct connection *connection, const struct sockaddr *address)
{
    connection->address[0] = '\0';
    if (address == NULL)
        return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, connection->address, sizeof(connection->address));
        connection->is_loopback = (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, connection->address, sizeof(connection->address));
            connection->is_loopback = v6->sin6_addr.s6_addr[12] == 127;
        } else {
            inet_ntop(AF_INET6, &v6->sin6_addr, connection->address, sizeof(connection->address));
            connection->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        }
    }
}

static void connection_open(struct server *server, struct MHD_Connection *mhd, void **socket_context)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    *socket_context = connection;
    if (connection == NULL)
        return; /* its requests are refused */
    connection->server = server;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    take_address(connection, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    connection->target = connection->target_inline;
    connection_set_deadline(connection, server->options.header_deadline_ms);
    pthread_mutex_lock(&server->connections_lock);
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    server->connections = connection;
    pthread_mutex_unlock(&server->connections_lock);
}

static void forget_target(struct connection *connection)
{
    if (connection->target != connection->target_inline)
        free(connection->target);
    connection->target = connection->target_inline;
}

/* libmicrohttpd calls this before it closes the socket: the watchdog never sees a descriptor that means
 * another connection. */
static void connection_close(struct server *server, struct connection *connection)
{
    if (connection == NULL)
        return;
    pthread_mutex_lock(&server->connections_lock);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&server->connections_lock);
    forget_target(connection);
    free(connection);
}

void connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_open(cls, mhd, socket_context);
    else
        connection_close(cls, *socket_context);
}

struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* Called with the request line, before libmicrohttpd takes the target apart in place. Returns what *con_cls
 * starts as: NULL. */
void *connection_take_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    (void)cls;
    struct connection *connection = connection_of(mhd);
    if (connection == NULL)
        return NULL;
    size_t len = strlen(uri);
    forget_target(connection);
    if (len >= sizeof(connection->target_inline)) {
        char *longer = malloc(len + 1);
        if (longer != NULL)
            connection->target = longer;
        else
            len = 0; /* an empty target is refused as malformed */
    }
    memcpy(connection->target, uri, len);
    connection->target[len] = '\0';
    connection_set_deadline(connection, connection->server->options.header_deadline_ms);
    return NULL;
}

/* ---- the watchdog ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_ms(const struct server_options *options)
{
    int64_t shortest =
        least(options->header_deadline_ms, least(options->body_deadline_ms, options->write_deadline_ms));
    int64_t tick = shortest / 4;
    return tick < TICK_MS_MIN ? TICK_MS_MIN : tick > TICK_MS_MAX ? TICK_MS_MAX : tick;
}

/* With the lock held. Shutting the socket makes its I/O thread see the end of the connection. */
static void shut_overdue(struct server *server, int64_t now_ms)
{
    for (struct connection *connection = server->connections; connection != NULL;
         connection = connection->next) {
        int64_t deadline_ms = atomic_load_explicit(&connection->deadline_ms, memory_order_relaxed);
        if (deadline_ms != 0 && now_ms > deadline_ms)
            (void)shutdown(connection->fd, SHUT_RDWR);
    }
}

static void *watchdog_main(void *arg)
{
    struct server *server = arg;
    int64_t tick = tick_ms(&server->options);
    pthread_mutex_lock(&server->connections_lock);
    while (!server->watchdog_is_stopping) {
        int64_t now_ms = monotonic_ms();
        atomic_store_explicit(&server->now_ms, now_ms, memory_order_relaxed);
        shut_overdue(server, now_ms);
        (void)clock_cond_wait(&server->watchdog_stops, &server->connections_lock, (now_ms + tick) * 1000);
    }
    pthread_mutex_unlock(&server->connections_lock);
    return NULL;
}

bool watchdog_start(struct server *server)
{
    clock_cond_init(&server->watchdog_stops);
    atomic_store(&server->now_ms, monotonic_ms());
    if (pthread_create(&server->watchdog, NULL, watchdog_main, server) != 0) {
        pthread_cond_destroy(&server->watchdog_stops);
        return false;
    }
    (void)pthread_setname_np(server->watchdog, "watchdog");
    return true;
}

void watchdog_stop(struct server *server)
{
    pthread_mutex_lock(&server->connections_lock);
    server->watchdog_is_stopping = true;
    pthread_cond_signal(&server->watchdog_stops);
    pthread_mutex_unlock(&server->connections_lock);
    pthread_join(server->watchdog, NULL);
    pthread_cond_destroy(&server->watchdog_stops);
}
