/* The server over real sockets: what it refuses before the body, bodies of every framing, deadlines, and how
 * it ends. */
#include "http/fixture.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define PATIENCE_MS 5000

/* ---- a client that sees every byte ---- */

struct client {
    int fd;
    char text[256 << 10]; /* received and not yet taken */
    size_t len;
};

struct answer {
    int status;
    char head[8192];
    char body[64 << 10];
    size_t body_len;
};

static struct client *client_open(const struct server *server)
{
    struct client *client = calloc(1, sizeof(*client));
    assert_non_null(client);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return client;
}

static void client_close(struct client *client)
{
    close(client->fd);
    free(client);
}

static void client_send(struct client *client, const char *text)
{
    size_t len = strlen(text);
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(client->fd, text + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0)
            return; /* the server may have cut us off already: the reading side says so */
        sent += (size_t)n;
    }
}

/* More bytes; false at the end of the connection. */
static bool client_fill(struct client *client)
{
    struct pollfd wait = {.fd = client->fd, .events = POLLIN};
    if (poll(&wait, 1, PATIENCE_MS) != 1)
        fail_msg("nothing came in %d ms", PATIENCE_MS);
    assert_true(client->len < sizeof(client->text) - 1);
    ssize_t n = recv(client->fd, client->text + client->len, sizeof(client->text) - 1 - client->len, 0);
    if (n <= 0)
        return false;
    client->len += (size_t)n;
    client->text[client->len] = '\0';
    return true;
}

static void client_take(struct client *client, void *out, size_t len)
{
    while (client->len < len) {
        if (!client_fill(client))
            fail_msg("the connection ended inside of a reply");
    }
    memcpy(out, client->text, len);
    client->len -= len;
    memmove(client->text, client->text + len, client->len + 1);
}

static const char *answer_header(const struct answer *answer, const char *name)
{
    static _Thread_local char value[512];
    const char *at = strcasestr(answer->head, name);
    if (at == NULL || at == answer->head || at[-1] != '\n')
        return NULL;
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(name), "\r"), at + strlen(name));
    return value + strspn(value, " ");
}

/* The next reply. `has_body` is false for HEAD. */
static void client_read(struct client *client, struct answer *answer, bool has_body)
{
    char *end;
    memset(answer, 0, sizeof(*answer));
    while (client->len == 0 || (end = strstr(client->text, "\r\n\r\n")) == NULL) {
        if (!client_fill(client))
            fail_msg("the connection ended without a reply: %s", client->text);
    }
    size_t head_len = (size_t)(end - client->text) + 4;
    assert_true(head_len < sizeof(answer->head));
    client_take(client, answer->head, head_len);
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %d ", &answer->status), 1);
    if (answer->status == 100) {
        client_read(client, answer, has_body);
        return;
    }
    const char *length = answer_header(answer, "Content-Length:");
    if (!has_body || answer->status == 304 || answer->status == 204 || length == NULL)
        return;
    answer->body_len = (size_t)atoi(length);
    assert_true(answer->body_len < sizeof(answer->body));
    client_take(client, answer->body, answer->body_len);
}

/* Nothing more comes: the server closes. */
static bool client_is_closed(struct client *client)
{
    return client->len == 0 && !client_fill(client);
}

/* ---- the server under test ---- */

static struct server *start(struct fixture *f, const struct server_options *changed)
{
    struct server_options options = changed ? *changed : (struct server_options){.drain_deadline_ms = 0};
    struct slice complaint = SLICE_ABSENT;
    options.listen = SLICE("127.0.0.1:0");
    if (options.io_threads == 0)
        options.io_threads = 2;
    struct server *server = server_start(&options, f->gateway, &f->arena, &complaint);
    if (server == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    assert_true(server_port(server) != 0);
    return server;
}

/* One request on its own connection; the status, 0 when the connection ended without a reply. */
static int ask(const struct server *server, const char *text, struct answer *answer)
{
    struct client *client = client_open(server);
    client_send(client, text);
    int status = 0;
    if (client_fill(client)) {
        client_read(client, answer, strncmp(text, "HEAD", 4) != 0);
        status = answer->status;
    }
    client_close(client);
    return status;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: shop\r\n\r\n"
#define POST_HEAD(path) "POST " path " HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"

static void test_keep_alive(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *client = client_open(server);
    for (int i = 0; i < 3; i++) {
        client_send(client, GET("/health"));
        client_read(client, answer, true);
        assert_int_equal(answer->status, 200);
        assert_string_equal(answer->body, "{\"data\":{\"status\":\"ok\"}}");
        assert_non_null(answer_header(answer, "Date:"));
        assert_non_null(answer_header(answer, "X-Request-Id:"));
        assert_null(answer_header(answer, "Connection:"));
    }
    client_send(client, "GET /health HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    client_read(client, answer, true);
    assert_true(client_is_closed(client));
    client_close(client);
    assert_int_equal(ask(server, "GET /health HTTP/1.0\r\n\r\n", answer), 200);
    assert_int_equal(ask(server, "GET /counters/%00 HTTP/1.1\r\nHost: a\r\n\r\n", answer), 400);
    assert_int_equal(ask(server, "GET /counters%2F1 HTTP/1.1\r\nHost: a\r\n\r\n", answer), 404);
    assert_int_equal(ask(server, "GET /counters?fields=%69d&sort=a+b HTTP/1.1\r\nHost: a\r\n\r\n", answer),
                     200);
    assert_non_null(strstr(answer->body, "[{\"id\":0},{\"id\":1},{\"id\":2}]"));
    char longer[2048];
    snprintf(longer, sizeof(longer),
             "GET /counters?fields=id&sort=%0200d&%01000d HTTP/1.1\r\nHost: a\r\n\r\n", 1, 2);
    assert_int_equal(ask(server, longer, answer), 400); /* read whole: the last parameter is unknown */
    assert_non_null(strstr(answer->body, "VALIDATION_ERROR"));
    free(answer);
    assert_true(server_stop(server));
}

static void test_head_and_conditional(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *client = client_open(server);
    client_send(client, GET("/counters/1"));
    client_read(client, answer, true);
    size_t length = answer->body_len;
    char request[256];
    snprintf(request, sizeof(request), "GET /counters/1 HTTP/1.1\r\nHost: a\r\nIf-None-Match: %s\r\n\r\n",
             answer_header(answer, "ETag:"));
    client_send(client, "HEAD /counters/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(client, answer, false);
    assert_int_equal(answer->status, 200);
    assert_int_equal(atoi(answer_header(answer, "Content-Length:")), length);
    client_send(client, request);
    client_read(client, answer, true);
    assert_int_equal(answer->status, 304);
    client_send(client, "OPTIONS /counters/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 204);
    assert_string_equal(answer_header(answer, "Allow:"), "GET, HEAD, POST, DELETE, OPTIONS");
    client_send(client, GET("/health")); /* nothing was left in the connection */
    client_read(client, answer, true);
    assert_string_equal(answer->body, "{\"data\":{\"status\":\"ok\"}}");
    client_close(client);
    free(answer);
    assert_true(server_stop(server));
}

/* Each could be understood in two ways, or is no HTTP: refused before the body, and the connection ends. What
 * follows it must never be answered. */
static const char *const AMBIGUOUS[] = {
    POST_HEAD("/counters/1") "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    POST_HEAD("/counters/1") "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    POST_HEAD("/counters/1") "Content-Length : 2\r\n\r\n{}",
    POST_HEAD("/counters/1") "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Transfer-Encoding: identity\r\n\r\n",
    POST_HEAD("/counters/1") "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST_HEAD("/counters/1") "Content-Length: 2\r\nExpect: 200-ok\r\n\r\n{}",
    "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
    "GET /health HTTP/1.1\r\nAccept: */*\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nX-\x01: 1\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nIdempotency-Key: x\r\nIdempotency-Key: y\r\n\r\n",
    "POST /counters/1 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /health HTTP/1.2\r\nHost: a\r\n\r\n",
    /* what libmicrohttpd does not show: each of these it takes for a whole and proper head */
    "GET /health HTTP/1.1\r\nHost: a\r\n: x\r\nX: y\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\n:\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\n:x: y\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\t\r\n\r\n",
    "GET /health HTTP/1.1\nHost: a\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\n\r\n",
    "GET /health HTTP/1.1\r\nHost: a\r\n\n",
    "GET  /health HTTP/1.1\r\nHost: a\r\n\r\n",
};

/* What libmicrohttpd answers by itself ends the connection too. */
static const char *const ITS_OWN[] = {
    POST_HEAD("/counters/1") "Content-Length: x\r\n\r\n{}",
    POST_HEAD("/counters/1") "Content-Length: -1\r\n\r\n{}",
    POST_HEAD("/counters/1") "Content-Length: 99999999999999999999999\r\n\r\n{}",
    POST_HEAD("/counters/1") "Content-Length: 2,2\r\n\r\n{}",
    "GET /health HTTP/2.0\r\nHost: a\r\n\r\n",
};

static void test_smuggling(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    for (size_t i = 0; i < COUNT_OF(AMBIGUOUS); i++) {
        struct client *client = client_open(server);
        client_send(client, AMBIGUOUS[i]);
        client_send(client, GET("/health"));
        client_read(client, answer, true);
        if (answer->status != 400)
            fail_msg("%s\nis answered %d", AMBIGUOUS[i], answer->status);
        if (strstr(answer->body, "\"code\":\"MALFORMED_REQUEST\"") == NULL)
            fail_msg("%s\nis not answered by us: %s", AMBIGUOUS[i], answer->body);
        assert_string_equal(answer_header(answer, "Connection:"), "close");
        assert_string_equal(answer_header(answer, "Content-Type:"), "application/problem+json");
        assert_true(client_is_closed(client));
        client_close(client);
    }
    for (size_t i = 0; i < COUNT_OF(ITS_OWN); i++) {
        struct client *client = client_open(server);
        client_send(client, ITS_OWN[i]);
        client_send(client, GET("/health"));
        while (client_fill(client))
            ; /* one page comes with its head twice */
        int status = 0;
        assert_int_equal(sscanf(client->text, "HTTP/1.1 %d ", &status), 1);
        if ((status / 100 != 4 && status != 505) || strstr(client->text, "200 OK") != NULL)
            fail_msg("%s\nis answered %s", ITS_OWN[i], client->text);
        client_close(client);
    }
    assert_int_equal(handler_calls, 0);
    free(answer);
    assert_true(server_stop(server));
}

static void test_bodies(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *client = client_open(server);
    client_send(client, POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{\"amount\":1}");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 201);
    /* in pieces, in chunks, and asked for first */
    client_send(client, POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{\"amo");
    usleep(20000);
    client_send(client, "unt\":1}");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 201);
    client_send(client, POST_HEAD("/counters/1") "Transfer-Encoding: Chunked\r\n\r\n5\r\n{\"amo\r\n");
    usleep(20000);
    client_send(client, "7;x=y\r\nunt\":1}\r\n0\r\n\r\n");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 201);
    client_send(client, POST_HEAD("/counters/1") "Content-Length: 12\r\nExpect: 100-continue\r\n\r\n");
    assert_true(client_fill(client));
    assert_int_equal(strncmp(client->text, "HTTP/1.1 100 ", 13), 0);
    client_send(client, "{\"amount\":1}");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 201);
    assert_int_equal(fixture_counter(f, 1), 9);
    /* a request without a body of its own does not mind an empty one */
    client_send(client, "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 200);
    /* too large and chunked: read to its end, answered, and the connection lives on */
    char chunk[600];
    snprintf(chunk, sizeof(chunk), "1f4\r\n%0500d\r\n0\r\n\r\n", 1);
    client_send(client, POST_HEAD("/counters/1") "Transfer-Encoding: chunked\r\n\r\n");
    client_send(client, chunk);
    client_read(client, answer, true);
    assert_int_equal(answer->status, 413);
    client_send(client, GET("/health"));
    client_read(client, answer, true);
    assert_int_equal(answer->status, 200);
    /* announced as too large: refused before it is sent */
    client_send(client, POST_HEAD("/counters/1") "Content-Length: 201\r\n\r\n");
    client_read(client, answer, true);
    assert_int_equal(answer->status, 413);
    assert_string_equal(answer_header(answer, "Connection:"), "close");
    assert_non_null(strstr(answer->body, "BODY_TOO_LARGE"));
    assert_true(client_is_closed(client));
    client_close(client);
    assert_int_equal(ask(server, "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", answer),
                     413);
    /* chunks without end: cut */
    client = client_open(server);
    client_send(client, POST_HEAD("/counters/1") "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(chunk, sizeof(chunk), "1f4\r\n%0500d\r\n", 1);
    for (int i = 0; i < 1000; i++)
        client_send(client, chunk);
    assert_true(client_is_closed(client));
    client_close(client);
    assert_int_equal(fixture_counter(f, 1), 9);
    free(answer);
    assert_true(server_stop(server));
}

static void test_large_head(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    char *text = calloc(1, 64 << 10);
    int len = snprintf(text, 64 << 10, "GET /health HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + len, 'x', 40 << 10);
    strcat(text, "\r\n\r\n");
    assert_int_equal(ask(server, text, answer), 431);
    memset(text, 0, 64 << 10);
    len = snprintf(text, 64 << 10, "GET /");
    memset(text + len, 'x', URI_BYTES_MAX + 10);
    strcat(text, " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(ask(server, text, answer), 414);
    /* what fits is taken */
    memset(text, 0, 64 << 10);
    len = snprintf(text, 64 << 10, "GET /health HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + len, 'x', HEADER_BYTES_MAX - 100);
    strcat(text, "\r\n\r\n");
    assert_int_equal(ask(server, text, answer), 200);
    free(text);
    free(answer);
    assert_true(server_stop(server));
}

static void test_pipelining(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *client = client_open(server);
    client_send(client,
                GET("/health") GET("/gate")
                    POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{\"amount\":1}" GET("/counters/1")
                        GET("/nothing"));
    sem_wait(&gate_reached);
    sem_post(&gate);
    static const int expected[] = {200, 200, 201, 200, 404};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        client_read(client, answer, true);
        assert_int_equal(answer->status, expected[i]);
    }
    client_close(client);
    free(answer);
    assert_true(server_stop(server));
}

/* A byte now and then must not keep a connection. */
static void test_deadlines(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {
        .header_deadline_ms = 300, .body_deadline_ms = 300, .write_deadline_ms = 300};
    static const char *const SLOW[] = {
        "GET /health HTTP/1.1\r\nHost: a\r\nX: " /* the head */,
        POST_HEAD("/counters/1") "Content-Length: 100\r\n\r\n" /* the body */,
        POST_HEAD("/counters/1") "Transfer-Encoding: chunked\r\n\r\n20\r\n" /* the body in chunks */,
        "" /* the request line */,
    };
    struct server *server = start(f, &options);
    for (size_t i = 0; i < COUNT_OF(SLOW); i++) {
        struct client *client = client_open(server);
        client_send(client, SLOW[i]);
        int64_t begun = clock_monotonic_us();
        bool is_open = true;
        while (is_open && clock_monotonic_us() - begun < 4000000) {
            struct pollfd wait = {.fd = client->fd, .events = POLLIN};
            client_send(client, "x");
            if (poll(&wait, 1, 50) == 1)
                is_open = client_fill(client);
        }
        int64_t took_us = clock_monotonic_us() - begun;
        if (is_open || took_us < 200000 || took_us > 2000000)
            fail_msg("\"%s\" was kept for %lld us", SLOW[i], (long long)took_us);
        client_close(client);
    }
    /* a handler may take longer than any of these */
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *client = client_open(server);
    client_send(client, GET("/gate"));
    sem_wait(&gate_reached);
    usleep(800000);
    sem_post(&gate);
    client_read(client, answer, true);
    assert_int_equal(answer->status, 200);
    client_close(client);
    free(answer);
    assert_true(server_stop(server));
}

/* As ask, but waits for a slot: the one before gives its own back a moment after its reply was read. */
static int ask_with_patience(struct server *server, const char *request, struct answer *answer)
{
    int status = 0;
    for (int i = 0; i < 400; i++) {
        status = ask(server, request, answer);
        if (status != 503 || strstr(answer->body, "Too many requests at once") == NULL)
            break;
        usleep(5000);
    }
    return status;
}

static void test_arenas_run_out(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {.requests_max = 2};
    struct server *server = start(f, &options);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *waiting[2];
    for (size_t i = 0; i < 2; i++) {
        waiting[i] = client_open(server);
        client_send(waiting[i], GET("/gate"));
        sem_wait(&gate_reached);
    }
    assert_int_equal(ask(server, GET("/health"), answer), 503);
    assert_string_equal(answer_header(answer, "Retry-After:"), "1");
    assert_non_null(strstr(answer->body, "\"code\":\"UNAVAILABLE\""));
    for (size_t i = 0; i < 2; i++)
        sem_post(&gate);
    for (size_t i = 0; i < 2; i++) {
        client_read(waiting[i], answer, true);
        assert_int_equal(answer->status, 200);
        client_close(waiting[i]);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask_with_patience(server, GET("/health"), answer), 200);
    free(answer);
    assert_true(server_stop(server));
}

/* Once it is read a body counts no more, however long its handler takes. */
static void test_bodies_that_were_read(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {.requests_max = 2};
    struct server *server = start(f, &options);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *waiting = client_open(server);
    client_send(waiting, POST_HEAD("/orchestrated/1") "Content-Length: 12\r\n\r\n{\"amount\":1}");
    sem_wait(&gate_reached);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            ask_with_patience(server, POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{\"amount\":1}",
                              answer),
            201);
    sem_post(&gate);
    client_read(waiting, answer, true);
    assert_int_equal(answer->status, 200);
    client_close(waiting);
    free(answer);
    assert_true(server_stop(server));
}

static size_t count_readable(struct client *const *clients, size_t count)
{
    size_t readable = 0;
    for (size_t i = 0; i < count; i++) {
        struct pollfd wait = {.fd = clients[i]->fd, .events = POLLIN};
        readable += poll(&wait, 1, 0) == 1;
    }
    return readable;
}

/* Clients that never finish their bodies leave room for those who ask for something. */
static void test_slow_bodies_leave_room(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {.requests_max = 8};
    struct server *server = start(f, &options);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *slow[20];
    bool is_refused[20];
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        slow[i] = client_open(server);
        client_send(slow[i], POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{");
    }
    for (int ms = 0; ms < PATIENCE_MS && count_readable(slow, COUNT_OF(slow)) < COUNT_OF(slow) - 4; ms += 10)
        usleep(10000);
    usleep(100000); /* no more than these */
    int waiting = 0;
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        struct pollfd readable = {.fd = slow[i]->fd, .events = POLLIN};
        is_refused[i] = poll(&readable, 1, 0) == 1;
        waiting += !is_refused[i];
        if (!is_refused[i])
            continue;
        client_read(slow[i], answer, true);
        assert_int_equal(answer->status, 503);
        assert_string_equal(answer_header(answer, "Retry-After:"), "1");
    }
    assert_int_equal(waiting, 4);
    assert_int_equal(ask(server, GET("/health"), answer), 200);
    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        if (is_refused[i])
            continue;
        client_send(slow[i], "\"amount\":1}");
        client_read(slow[i], answer, true);
        assert_int_equal(answer->status, 201);
    }
    for (size_t i = 0; i < COUNT_OF(slow); i++)
        client_close(slow[i]);
    free(answer);
    assert_true(server_stop(server));
}

static int64_t in_flight(void)
{
    struct arena arena;
    struct buf out;
    static const char NAME[] = "\nsouk_http_requests_in_flight ";
    assert_true(arena_init(&arena, 16 << 20));
    buf_init(&out, &arena);
    metrics_render(&out);
    buf_append_char(&out, '\0');
    const char *found = strstr(out.ptr, NAME);
    int64_t value = found != NULL ? atoll(found + sizeof(NAME) - 1) : 0;
    arena_release(&arena);
    return value;
}

/* Closes without a farewell: the server's next word is answered by a reset. */
static void client_vanish(struct client *client)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    client_close(client);
}

/* What a client that went away had asked for is done, and counted: at a handler, in a queue, in the middle of
 * a body. */
static void test_client_goes_away(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    int64_t before = in_flight();
    for (int i = 0; i < 10; i++) {
        struct client *client = client_open(server);
        client_send(client, POST_HEAD("/orchestrated/1") "Content-Length: 12\r\n\r\n{\"amount\":1}");
        sem_wait(&gate_reached);
        if (i % 2)
            client_vanish(client);
        else
            client_close(client);
        usleep(10000);
        sem_post(&gate);
        client = client_open(server);
        client_send(client, POST_HEAD("/counters/1") "Content-Length: 12\r\n\r\n{\"am");
        usleep(10000);
        client_vanish(client);
    }
    assert_true(server_stop(server));
    assert_int_equal(fixture_counter(f, 1), 15);
    assert_int_equal(in_flight(), before);
}

/* Clients that go away while another makes their reply, or while they make it for others. */
static void test_waiting_client_goes_away(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    int64_t before = in_flight();
    struct client *clients[6];
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = client_open(server);
        client_send(clients[i], GET("/gated/1"));
        if (i == 0)
            sem_wait(&gate_reached);
    }
    usleep(50000); /* the others wait; were one late, the cache would answer it */
    for (size_t i = 0; i < COUNT_OF(clients) - 1; i++) {
        if (i % 2)
            client_vanish(clients[i]);
        else
            client_close(clients[i]);
    }
    usleep(10000);
    sem_post(&gate);
    struct client *last = clients[COUNT_OF(clients) - 1];
    struct answer *answer = calloc(1, sizeof(*answer));
    assert_true(client_fill(last));
    client_read(last, answer, true);
    assert_int_equal(answer->status, 200);
    client_close(last);
    free(answer);
    assert_int_equal(handler_calls, 1);
    assert_true(server_stop(server));
    assert_int_equal(in_flight(), before);
}

/* ---- the end ---- */

static void *stop_main(void *server)
{
    return server_stop(server) ? server : NULL;
}

static void test_drain(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct client *idle = client_open(server);
    client_send(idle, GET("/health"));
    client_read(idle, answer, true);
    struct client *waiting[4];
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        waiting[i] = client_open(server);
        client_send(waiting[i], GET("/gate"));
    }
    sem_wait(&gate_reached);
    sem_wait(&gate_reached); /* two run, two are queued */
    usleep(50000);
    pthread_t stopper;
    void *clean;
    assert_int_equal(pthread_create(&stopper, NULL, stop_main, server), 0);
    usleep(100000);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    for (size_t i = 0; i < COUNT_OF(waiting); i++)
        sem_post(&gate);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        client_read(waiting[i], answer, true);
        assert_int_equal(answer->status, 200);
        assert_string_equal(answer_header(answer, "Connection:"), "close");
        assert_true(client_is_closed(waiting[i]));
        client_close(waiting[i]);
    }
    int64_t begun = clock_monotonic_us();
    pthread_join(stopper, &clean);
    assert_non_null(clean);
    assert_true(clock_monotonic_us() - begun < 1000000);
    assert_true(client_is_closed(idle));
    client_close(idle);
    free(answer);
}

static void *open_gate_late(void *arg)
{
    (void)arg;
    usleep(700000);
    sem_post(&gate);
    sem_post(&gate);
    return NULL;
}

/* Handlers that do not end in time: their connections are cut, what they do takes effect, the server ends
 * without a crash. */
static void test_drain_is_cut(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {.drain_deadline_ms = 200};
    struct server *server = start(f, &options);
    struct client *waiting[2];
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        waiting[i] = client_open(server);
        client_send(waiting[i], POST_HEAD("/orchestrated/1") "Content-Length: 12\r\n\r\n{\"amount\":1}");
        sem_wait(&gate_reached);
    }
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, open_gate_late, NULL), 0);
    assert_true(server_stop(server));
    pthread_join(opener, NULL);
    for (size_t i = 0; i < COUNT_OF(waiting); i++) {
        assert_true(client_is_closed(waiting[i]));
        client_close(waiting[i]);
    }
    assert_int_equal(fixture_counter(f, 1), 7);
}

/* ---- many at once ---- */

struct load {
    const struct server *server;
    unsigned seed;
    int wrong;
    pthread_t thread;
};

static void *load_main(void *arg)
{
    struct load *load = arg;
    struct answer *answer = calloc(1, sizeof(*answer));
    for (int connections = 0; connections < 5; connections++) {
        struct client *client = client_open(load->server);
        for (int i = 0; i < 40; i++) {
            switch (rand_r(&load->seed) % 4) {
            case 0:
                client_send(client, GET("/counters/2"));
                client_read(client, answer, true);
                load->wrong += answer->status != 200;
                break;
            case 1:
                client_send(client, GET("/workers/counters/2"));
                client_read(client, answer, true);
                load->wrong += answer->status != 200;
                break;
            case 2:
                client_send(client, POST_HEAD("/counters/2") "Content-Length: 12\r\n\r\n{\"amount\":0}");
                client_read(client, answer, true);
                load->wrong += answer->status != 201;
                break;
            default:
                client_send(client, GET("/nothing"));
                client_read(client, answer, true);
                load->wrong += answer->status != 404;
                break;
            }
        }
        client_close(client);
    }
    free(answer);
    return NULL;
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct server *server = start(f, NULL);
    struct load loads[8];
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        loads[i] = (struct load){.server = server, .seed = (unsigned)i};
        assert_int_equal(pthread_create(&loads[i].thread, NULL, load_main, &loads[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        pthread_join(loads[i].thread, NULL);
        assert_int_equal(loads[i].wrong, 0);
    }
    assert_true(server_stop(server));
}

/* Stopped again and again while clients ask: no reply is torn, nothing crashes. */
static void *pester_main(void *arg)
{
    struct load *load = arg;
    for (int i = 0; i < 1000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)load->seed),
                                      .sin_addr = {htonl(INADDR_LOOPBACK)}};
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
            close(fd);
            return NULL;
        }
        static const char text[] =
            POST_HEAD("/counters/2") "Content-Length: 12\r\n\r\n{\"amount\":0}" GET("/workers/counters/2");
        char reply[4096];
        (void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
        while (recv(fd, reply, sizeof(reply), i % 3 == 0 ? MSG_DONTWAIT : 0) > 0)
            if (i % 2 == 0)
                break;
        close(fd);
    }
    return NULL;
}

static void test_stop_under_load(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 10; round++) {
        struct server_options options = {.drain_deadline_ms = round % 2 ? 1 : 500};
        struct server *server = start(f, &options);
        struct load loads[6];
        for (size_t i = 0; i < COUNT_OF(loads); i++) {
            loads[i] = (struct load){.seed = server_port(server)};
            assert_int_equal(pthread_create(&loads[i].thread, NULL, pester_main, &loads[i]), 0);
        }
        usleep(30000);
        assert_true(server_stop(server));
        for (size_t i = 0; i < COUNT_OF(loads); i++)
            pthread_join(loads[i].thread, NULL);
    }
}

static void test_listening(void **state)
{
    struct fixture *f = *state;
    struct slice complaint = SLICE_ABSENT;
    static const char *const WRONG[] = {
        "", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", "127.0.0.1:-1"};
    for (size_t i = 0; i < COUNT_OF(WRONG); i++) {
        struct server_options options = {.listen = slice_from(WRONG[i])};
        assert_null(server_start(&options, f->gateway, &f->arena, &complaint));
        assert_true(complaint.len > 0);
    }
    struct server *server = start(f, NULL);
    struct slice taken = arena_format(&f->arena, "127.0.0.1:%u", server_port(server));
    struct server_options options = {.listen = taken};
    assert_null(server_start(&options, f->gateway, &f->arena, &complaint));
    assert_non_null(memmem(complaint.ptr, complaint.len, "in use", 6));
    assert_true(server_stop(server));
    options.listen = SLICE("[::1]:0");
    server = server_start(&options, f->gateway, &f->arena, &complaint);
    if (server == NULL)
        return; /* a machine without IPv6 */
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_port = htons((uint16_t)server_port(server)),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_true(server_stop(server));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
/* With the database on another machine, where a worker makes the reply too. */
#define TEST_BOTH(name)                                                                                      \
    TEST(name),                                                                                              \
    {                                                                                                        \
#name " elsewhere", name, fixture_begin_elsewhere, fixture_end, NULL                                 \
    }
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive),
        TEST_BOTH(test_head_and_conditional),
        TEST(test_smuggling),
        TEST(test_bodies),
        TEST(test_large_head),
        TEST_BOTH(test_pipelining),
        TEST(test_deadlines),
        TEST_BOTH(test_arenas_run_out),
        TEST(test_slow_bodies_leave_room),
        TEST(test_bodies_that_were_read),
        TEST_BOTH(test_client_goes_away),
        TEST_BOTH(test_waiting_client_goes_away),
        TEST_BOTH(test_drain),
        TEST_BOTH(test_drain_is_cut),
        TEST_BOTH(test_many_at_once),
        TEST_BOTH(test_stop_under_load),
        TEST(test_listening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
