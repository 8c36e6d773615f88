/* The Runtime API's client: a blocking socket, one request at a time. */
#include "lambda/http.h"

#include "base/buf.h"
#include "base/check.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define LINE_BYTES_MAX 256 /* of a chunk's size with its extensions */
#define PIECES_MAX 8

struct lambda_http {
    struct addrinfo *addresses;
    struct slice host; /* for the Host field; in the arena of lambda_http_new */
    int fd;            /* -1: not connected */
    int end_fd;
    /* What was read and not taken yet: input[at..len). */
    size_t at, len;
    char input[READ_BYTES];
};

/* ---- the connection ---- */

static bool split(struct slice host_port, struct slice *host, struct slice *port)
{
    size_t colon = host_port.len;
    while (colon > 0 && host_port.ptr[colon - 1] != ':')
        colon--;
    long long number;
    if (colon < 2)
        return false;
    *host = (struct slice){host_port.ptr, colon - 1};
    *port = slice_skip(host_port, colon);
    if (host->len > 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']')
        *host = (struct slice){host->ptr + 1, host->len - 2};
    return port->len > 0 && slice_to_int64(*port, &number) && number > 0 && number <= 65535;
}

struct lambda_http *lambda_http_new(struct slice host_port, int end_fd, struct arena *arena,
                                    struct slice *complaint)
{
    struct slice host, port;
    if (!split(host_port, &host, &port)) {
        *complaint = arena_format(arena, "AWS_LAMBDA_RUNTIME_API must be HOST:PORT, not \"%.*s\"",
                                  SLICE_ARG(host_port));
        return NULL;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(arena_copy(arena, host).ptr, arena_copy(arena, port).ptr, &hints, &found);
    if (failure != 0) {
        *complaint = arena_format(arena, "AWS_LAMBDA_RUNTIME_API: %.*s: %s", SLICE_ARG(host_port),
                                  gai_strerror(failure));
        return NULL;
    }
    struct lambda_http *http = malloc(sizeof(*http));
    CHECK(http != NULL); /* at start */
    http->addresses = found;
    http->host = arena_copy(arena, host_port);
    http->fd = -1;
    http->end_fd = end_fd;
    http->at = http->len = 0;
    return http;
}

static void hang_up(struct lambda_http *http)
{
    if (http->fd >= 0)
        (void)close(http->fd);
    http->fd = -1;
    http->at = http->len = 0;
}

void lambda_http_free(struct lambda_http *http)
{
    if (http == NULL)
        return;
    hang_up(http);
    freeaddrinfo(http->addresses);
    free(http);
}

static bool reach(struct lambda_http *http)
{
    int on = 1;
    for (const struct addrinfo *one = http->addresses; one != NULL; one = one->ai_next) {
        http->fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (http->fd < 0)
            continue;
        if (connect(http->fd, one->ai_addr, one->ai_addrlen) == 0) {
            (void)setsockopt(http->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return true;
        }
        int error = errno;
        hang_up(http);
        errno = error;
    }
    return false;
}

/* ---- sending ---- */

static bool send_pieces(const struct lambda_http *http, struct iovec *pieces, size_t count)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
        ssize_t sent = sendmsg(http->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        size_t left = (size_t)sent;
        for (; count > 0 && left >= pieces->iov_len; count--, pieces++)
            left -= pieces->iov_len;
        if (count > 0) {
            pieces->iov_base = (char *)pieces->iov_base + left;
            pieces->iov_len -= left;
        }
    }
    return true;
}

struct message {
    struct iovec pieces[PIECES_MAX];
    size_t count;
};

static void add(struct message *message, struct slice text)
{
    if (text.len == 0)
        return;
    CHECK(message->count < PIECES_MAX);
    message->pieces[message->count++] = (struct iovec){(void *)(uintptr_t)text.ptr, text.len};
}

/* All pieces of a body that is sent in chunks are one chunk: whoever reads it begins when it comes. */
static bool send_call(const struct lambda_http *http, struct arena *arena,
                      const struct lambda_http_call *call)
{
    struct message message = {.count = 0};
    struct buf head;
    size_t bytes = 0;
    for (size_t i = 0; i < COUNT_OF(call->body); i++)
        bytes += call->body[i].len;
    buf_init(&head, arena);
    buf_format(&head, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\n%.*s", call->method, SLICE_ARG(call->path),
               SLICE_ARG(http->host), SLICE_ARG(call->headers));
    if (call->is_chunked)
        buf_append(&head, SLICE("Transfer-Encoding: chunked\r\n\r\n"));
    else if (strcmp(call->method, "GET") != 0)
        buf_format(&head, "Content-Length: %zu\r\n\r\n", bytes);
    else
        buf_append(&head, SLICE("\r\n"));
    if (call->is_chunked && bytes > 0)
        buf_format(&head, "%zx\r\n", bytes);
    CHECK(!head.overflow);
    add(&message, buf_slice(&head));
    for (size_t i = 0; i < COUNT_OF(call->body); i++)
        add(&message, call->body[i]);
    if (call->is_chunked)
        add(&message, bytes > 0 ? SLICE("\r\n0\r\n\r\n") : SLICE("0\r\n\r\n"));
    return send_pieces(http, message.pieces, message.count);
}

/* ---- receiving ---- */

enum input { INPUT_MORE, INPUT_END, INPUT_ENDED, INPUT_FAILED };

/* More bytes behind those that are there; the first ones are moved to the front when there is no room. */
static enum input read_more(struct lambda_http *http, bool waits_for_end)
{
    if (http->at > 0) {
        memmove(http->input, http->input + http->at, http->len - http->at);
        http->len -= http->at;
        http->at = 0;
    }
    if (http->len == sizeof(http->input))
        return INPUT_FAILED;
    struct pollfd waiting[2] = {{.fd = http->fd, .events = POLLIN},
                                {.fd = waits_for_end ? http->end_fd : -1, .events = POLLIN}};
    for (;;) {
        int ready = poll(waiting, COUNT_OF(waiting), -1);
        if (ready < 0 && errno != EINTR)
            return INPUT_FAILED;
        if (ready <= 0)
            continue;
        if (waiting[0].revents != 0) /* what has come is taken first: an invocation may be there */
            break;
        return INPUT_ENDED;
    }
    ssize_t got;
    while ((got = recv(http->fd, http->input + http->len, sizeof(http->input) - http->len, 0)) < 0 &&
           errno == EINTR)
        ;
    if (got <= 0)
        return got == 0 ? INPUT_END : INPUT_FAILED;
    http->len += (size_t)got;
    return INPUT_MORE;
}

/* A line without its CRLF, which stays good until the next read. */
static enum input take_line(struct lambda_http *http, size_t bytes_max, struct slice *line)
{
    size_t seen = 0;
    for (;;) {
        char *from = http->input + http->at;
        char *end = memchr(from + seen, '\n', http->len - http->at - seen);
        if (end != NULL) {
            *line = (struct slice){from, (size_t)(end - from)};
            http->at += line->len + 1;
            if (line->len > 0 && line->ptr[line->len - 1] == '\r')
                line->len--;
            return line->len > bytes_max ? INPUT_FAILED : INPUT_MORE;
        }
        seen = http->len - http->at;
        if (seen > bytes_max)
            return INPUT_FAILED;
        enum input input = read_more(http, false);
        if (input != INPUT_MORE)
            return input;
    }
}

/* `bytes` of the body, appended. */
static bool take_bytes(struct lambda_http *http, size_t bytes, struct buf *body)
{
    if (!buf_reserve(body, bytes))
        return false;
    while (bytes > 0) {
        size_t there = http->len - http->at;
        if (there == 0 && read_more(http, false) != INPUT_MORE)
            return false;
        there = http->len - http->at;
        size_t taken = there < bytes ? there : bytes;
        buf_append(body, (struct slice){http->input + http->at, taken});
        http->at += taken;
        bytes -= taken;
    }
    return true;
}

static bool hex_size(struct slice line, size_t *size)
{
    size_t value = 0, digits = 0;
    for (; digits < line.len; digits++) {
        char c = line.ptr[digits];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            break;
        if (digits == 8) /* no reply is that large */
            return false;
        value = value * 16 + (size_t)digit;
    }
    *size = value;
    return digits > 0 && (digits == line.len || line.ptr[digits] == ';' || line.ptr[digits] == ' ');
}

static bool take_chunks(struct lambda_http *http, size_t bytes_max, struct buf *body)
{
    struct slice line;
    size_t size;
    for (;;) {
        if (take_line(http, LINE_BYTES_MAX, &line) != INPUT_MORE || !hex_size(line, &size) ||
            size > bytes_max - body->len)
            return false;
        if (size == 0)
            break;
        if (!take_bytes(http, size, body) || take_line(http, 0, &line) != INPUT_MORE)
            return false;
    }
    do { /* trailers */
        if (take_line(http, LAMBDA_HEADER_BYTES_MAX / 2, &line) != INPUT_MORE)
            return false;
    } while (line.len > 0);
    return true;
}

/* "HTTP/1.1 200 OK" */
static bool parse_status(struct slice line, int *status)
{
    long long number;
    if (line.len < 12 || !slice_starts_with(line, SLICE("HTTP/1.")) || line.ptr[8] != ' ' ||
        !slice_to_int64((struct slice){line.ptr + 9, 3}, &number) || number < 100)
        return false;
    *status = (int)number;
    return true;
}

struct slice lambda_http_header(const struct lambda_http_reply *reply, struct slice name)
{
    struct slice rest = reply->head;
    struct slice line;
    while (slice_split(&rest, '\n', &line)) {
        struct slice value = line, key;
        if (slice_split(&value, ':', &key) && !slice_is_absent(value) && slice_equals_ignore_case(key, name))
            return slice_trim(value);
    }
    return SLICE_ABSENT;
}

static bool take_head(struct lambda_http *http, struct arena *arena, struct lambda_http_reply *reply)
{
    struct slice line;
    struct buf head;
    if (take_line(http, LINE_BYTES_MAX, &line) != INPUT_MORE || !parse_status(line, &reply->status))
        return false;
    buf_init(&head, arena);
    for (;;) {
        if (take_line(http, LAMBDA_HEADER_BYTES_MAX / 2, &line) != INPUT_MORE ||
            head.len + line.len > LAMBDA_HEADER_BYTES_MAX)
            return false;
        if (line.len == 0)
            break;
        buf_append(&head, line);
        buf_append(&head, SLICE("\r\n"));
    }
    reply->head = buf_slice(&head);
    return !head.overflow;
}

static bool take_body(struct lambda_http *http, struct arena *arena, size_t bytes_max,
                      struct lambda_http_reply *reply)
{
    struct buf body;
    long long length = 0;
    bool is_good = true;
    buf_init(&body, arena);
    struct slice coding = lambda_http_header(reply, SLICE("transfer-encoding"));
    struct slice bytes = lambda_http_header(reply, SLICE("content-length"));
    if (!slice_is_absent(coding))
        is_good = slice_equals_ignore_case(coding, SLICE("chunked")) && take_chunks(http, bytes_max, &body);
    else if (!slice_is_absent(bytes))
        is_good = slice_to_int64(bytes, &length) && length >= 0 && (size_t)length <= bytes_max &&
                  take_bytes(http, (size_t)length, &body);
    else if (reply->status != 204)
        is_good = false; /* it would end with the connection, which the API keeps */
    reply->body = buf_slice(&body);
    return is_good && !body.overflow;
}

/* ---- a call ---- */

/* Waits for the first byte of the reply; INPUT_END also when the kept connection breaks. */
static enum input await_reply(struct lambda_http *http, bool waits_for_end)
{
    enum input input = http->at < http->len ? INPUT_MORE : read_more(http, waits_for_end);
    return input == INPUT_FAILED ? INPUT_END : input;
}

static enum lambda_http_result fail(struct lambda_http *http, struct arena *arena, const char *what,
                                    struct slice *complaint)
{
    *complaint = arena_format(arena, "the Runtime API at %.*s %s", SLICE_ARG(http->host), what);
    hang_up(http);
    return LAMBDA_HTTP_FAILED;
}

enum lambda_http_result lambda_http_call(struct lambda_http *http, struct arena *arena,
                                         const struct lambda_http_call *call, struct lambda_http_reply *reply,
                                         struct slice *complaint)
{
    *reply = (struct lambda_http_reply){.status = 0};
    for (;;) {
        bool was_kept = http->fd >= 0;
        if (!was_kept && !reach(http))
            return fail(http, arena, "does not take a connection", complaint);
        enum input input = send_call(http, arena, call) ? await_reply(http, call->waits_for_end) : INPUT_END;
        if (input == INPUT_ENDED) {
            hang_up(http);
            return LAMBDA_HTTP_ENDED;
        }
        if (input == INPUT_MORE)
            break;
        if (!was_kept)
            return fail(http, arena, "closed the connection", complaint);
        hang_up(http);
    }
    if (!take_head(http, arena, reply) || !take_body(http, arena, call->reply_bytes_max, reply))
        return fail(http, arena, "sent a reply that is malformed, cut short or too large", complaint);
    if (slice_equals_ignore_case(lambda_http_header(reply, SLICE("connection")), SLICE("close")))
        hang_up(http);
    return LAMBDA_HTTP_ANSWERED;
}
