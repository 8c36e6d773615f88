/* A load generator for make bench: sends prepared requests over a number of keep-alive connections, one at a
 * time on each, and prints what came back as one line of JSON.
 *
 *     load PORT CONNECTIONS SECONDS FILE [IDS]
 *
 * FILE holds whole requests, each after a line with its length. SECONDS > 0: goes round and round in FILE for
 * that long; 0: sends each request once. IDS: writes the first "id" of each reply there, one a line, in the
 * order of the requests. Every request that is counted was answered: at the end what is on the way is waited
 * for. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define REPLY_BYTES_MAX (1 << 20)
#define LATENCIES_MAX (1 << 24) /* more than that are counted, but not timed */
#define ID_LEN 36
#define STALL_NS INT64_C(30000000000)

struct message {
    const char *bytes;
    size_t len;
};

struct connection {
    int fd;
    size_t request;     /* the one that is on the way */
    int64_t started_ns; /* 0: none is */
    size_t received;
    size_t expected; /* length of the whole reply; 0: its head is not complete */
    char *reply;
};

static struct {
    struct message *requests;
    size_t request_count;
    size_t next;
    bool once;
    int64_t end_ns;
    int epoll;
    unsigned busy; /* connections with a request on the way */
    uint64_t answered;
    uint64_t bytes;
    uint64_t by_class[6]; /* of status */
    uint32_t *latencies_us;
    size_t latency_count;
    char (*ids)[ID_LEN + 1]; /* NULL: not wanted */
    char first_failure[400];
} load;

static void die(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- the requests ---- */

static char *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die(path);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*len + 1);
    if (text == NULL || fread(text, 1, *len, file) != *len)
        die(path);
    text[*len] = '\0';
    (void)fclose(file);
    return text;
}

static void requests_read(const char *path)
{
    size_t len;
    size_t room = 1024;
    char *text = read_file(path, &len);
    load.requests = malloc(room * sizeof(*load.requests));
    for (char *at = text; at < text + len;) {
        char *line_end;
        size_t size = strtoul(at, &line_end, 10);
        if (*line_end != '\n' || size > (size_t)(text + len - line_end - 1))
            die("the file of requests is malformed");
        if (load.request_count == room) {
            room *= 2;
            load.requests = realloc(load.requests, room * sizeof(*load.requests));
        }
        if (load.requests == NULL)
            die("memory");
        load.requests[load.request_count++] = (struct message){line_end + 1, size};
        at = line_end + 1 + size;
    }
    if (load.request_count == 0)
        die("the file holds no requests");
}

static void ids_write(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        die(path);
    for (size_t i = 0; i < load.request_count; i++)
        (void)fprintf(file, "%s\n", load.ids[i]);
    if (fclose(file) != 0)
        die(path);
}

/* ---- a connection ---- */

static void connection_open(struct connection *connection, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0)
        die("connecting");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl");
    connection->reply = malloc(REPLY_BYTES_MAX);
    if (connection->reply == NULL)
        die("memory");
}

/* Sends the next request; nothing when there is none to send. */
static void send_next(struct connection *connection, int64_t at_ns)
{
    if (load.once ? load.next == load.request_count : at_ns >= load.end_ns)
        return;
    connection->request = load.next++ % load.request_count;
    connection->started_ns = at_ns;
    connection->received = 0;
    connection->expected = 0;
    const struct message *request = &load.requests[connection->request];
    if (send(connection->fd, request->bytes, request->len, MSG_NOSIGNAL) != (ssize_t)request->len)
        die("sending"); /* requests are far smaller than a socket's buffer */
    load.busy++;
}

/* Sets connection->expected once the head is there. */
static void read_head(struct connection *connection)
{
    static const char FIELD[] = "\nContent-Length: ";
    connection->reply[connection->received] = '\0';
    const char *head_end = strstr(connection->reply, "\r\n\r\n");
    if (head_end == NULL)
        return;
    const char *field = strcasestr(connection->reply, FIELD);
    size_t body = field != NULL && field < head_end ? strtoul(field + sizeof(FIELD) - 1, NULL, 10) : 0;
    connection->expected = (size_t)(head_end + 4 - connection->reply) + body;
}

static void take_id(const struct connection *connection)
{
    static const char FIELD[] = "\"id\":\"";
    const char *field = strstr(connection->reply, FIELD);
    if (load.ids != NULL && field != NULL)
        (void)snprintf(load.ids[connection->request], ID_LEN + 1, "%s", field + sizeof(FIELD) - 1);
}

static void take_reply(struct connection *connection, int64_t at_ns)
{
    int status = strlen(connection->reply) > 9 ? atoi(connection->reply + 9) : 0;
    int class = status >= 100 && status < 600 ? status / 100 : 0;
    load.answered++;
    load.busy--;
    load.bytes += connection->received;
    load.by_class[class]++;
    if (class != 2 && load.first_failure[0] == '\0')
        (void)snprintf(load.first_failure, sizeof(load.first_failure), "%s", connection->reply);
    if (load.latency_count < LATENCIES_MAX)
        load.latencies_us[load.latency_count++] = (uint32_t)((at_ns - connection->started_ns) / 1000);
    take_id(connection);
}

static void receive(struct connection *connection)
{
    ssize_t len = recv(connection->fd, connection->reply + connection->received,
                       REPLY_BYTES_MAX - 1 - connection->received, 0);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0)
        die("the server closed a connection");
    connection->received += (size_t)len;
    if (connection->expected == 0)
        read_head(connection);
    if (connection->expected == 0 || connection->received < connection->expected)
        return;
    connection->reply[connection->received] = '\0';
    int64_t at_ns = now_ns();
    take_reply(connection, at_ns);
    send_next(connection, at_ns);
}

/* ---- the outcome ---- */

static int compare_latencies(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t latency_us(double share)
{
    return load.latency_count > 0 ? load.latencies_us[(size_t)(share * (double)(load.latency_count - 1))] : 0;
}

static void print_outcome(int64_t duration_ns)
{
    qsort(load.latencies_us, load.latency_count, sizeof(*load.latencies_us), compare_latencies);
    for (char *c = load.first_failure; *c != '\0'; c++)
        *c = *c < ' ' || *c > '~' ? ' ' : *c == '"' || *c == '\\' ? '\'' : *c;
    printf("{\"answered\":%llu,\"seconds\":%.6f,\"bytes\":%llu,\"success\":%llu,\"medianUs\":%u,\"p99Us\":%u,"
           "\"firstFailure\":\"%s\"}\n",
           (unsigned long long)load.answered, (double)duration_ns / 1e9, (unsigned long long)load.bytes,
           (unsigned long long)load.by_class[2], latency_us(0.5), latency_us(0.99), load.first_failure);
}

/* ---- all of it ---- */

/* It never sleeps: waking it would cost the server, whose CPU time is measured, and the slower server more
 * than the faster one. */
static void run(struct connection *connections, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        send_next(&connections[i], now_ns());
    int64_t heard_ns = now_ns();
    while (load.busy > 0) {
        struct epoll_event events[256];
        int ready = epoll_wait(load.epoll, events, 256, 0);
        if (ready > 0)
            heard_ns = now_ns();
        if (now_ns() - heard_ns > STALL_NS) {
            errno = ETIMEDOUT;
            die("waiting for a reply");
        }
        for (int i = 0; i < ready; i++)
            receive(events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    static struct connection connections[CONNECTIONS_MAX];
    if (argc < 5 || argc > 6) {
        (void)fprintf(stderr, "load PORT CONNECTIONS SECONDS FILE [IDS]\n");
        return 2;
    }
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    double seconds = strtod(argv[3], NULL);
    requests_read(argv[4]);
    if (count == 0 || count > CONNECTIONS_MAX)
        die("the number of connections");
    load.once = seconds <= 0;
    load.latencies_us = malloc(LATENCIES_MAX * sizeof(*load.latencies_us));
    load.ids = argc == 6 ? calloc(load.request_count, sizeof(*load.ids)) : NULL;
    load.epoll = epoll_create1(0);
    if (load.latencies_us == NULL || (argc == 6 && load.ids == NULL) || load.epoll < 0)
        die("starting");
    for (unsigned i = 0; i < count; i++)
        connection_open(&connections[i], (uint16_t)strtoul(argv[1], NULL, 10));
    int64_t started_ns = now_ns();
    load.end_ns = started_ns + (int64_t)(seconds * 1e9);
    run(connections, count);
    print_outcome(now_ns() - started_ns);
    if (load.ids != NULL)
        ids_write(argv[5]);
    return 0;
}
