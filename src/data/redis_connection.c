/* One connection: a socket that never blocks, TLS over it, and every wait bounded by a deadline of the
 * monotonic clock.
 *
 * Names are looked up by a thread that may outlive its caller: getaddrinfo knows no deadline. */
#include "data/redis_private.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crypto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES 16384
#define HANDSHAKE_ARENA_BYTES ((size_t)256 << 10)
#define RESOLVING_MAX 8 /* threads that look up names at once */

void redis_failure_set(struct redis_failure *failure, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(failure->text, sizeof(failure->text), format, list);
    va_end(list);
}

/* ---- waiting ---- */

enum waited { WAITED_READY, WAITED_TIMEOUT, WAITED_WOKEN };

static enum waited wait_for(const struct redis_connection *connection, short events, int64_t deadline_us)
{
    for (;;) {
        int64_t left_us = deadline_us - clock_monotonic_us();
        if (left_us <= 0)
            return WAITED_TIMEOUT;
        int64_t left_ms = (left_us + 999) / 1000;
        struct pollfd fds[2] = {{.fd = connection->fd, .events = events},
                                {.fd = connection->wake_fd, .events = POLLIN}};
        int ready = poll(fds, 2, left_ms > 60000 ? 60000 : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return WAITED_TIMEOUT;
        if (ready > 0)
            return fds[1].revents != 0 ? WAITED_WOKEN : WAITED_READY;
    }
}

/* ---- names ---- */

struct lookup {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    int holders; /* the thread, and the caller while it waits */
    bool is_done;
    struct addrinfo *found;
    char host[REDIS_HOST_BYTES_MAX];
    char port[8];
};

static _Atomic int lookups;

static const struct addrinfo HINTS = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

static void lookup_let_go(struct lookup *lookup)
{
    pthread_mutex_lock(&lookup->mutex);
    bool is_last = --lookup->holders == 0;
    pthread_mutex_unlock(&lookup->mutex);
    if (!is_last)
        return;
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    pthread_cond_destroy(&lookup->done);
    pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
}

static void *look_up(void *arg)
{
    struct lookup *lookup = arg;
    struct addrinfo *found = NULL;
    if (getaddrinfo(lookup->host, lookup->port, &HINTS, &found) != 0)
        found = NULL;
    pthread_mutex_lock(&lookup->mutex);
    lookup->found = found;
    lookup->is_done = true;
    pthread_cond_signal(&lookup->done);
    pthread_mutex_unlock(&lookup->mutex);
    lookup_let_go(lookup);
    atomic_fetch_sub(&lookups, 1);
    return NULL;
}

static struct lookup *lookup_start(const struct redis_address *address)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    CHECK(lookup != NULL);
    pthread_mutex_init(&lookup->mutex, NULL);
    clock_cond_init(&lookup->done);
    lookup->holders = 2;
    memcpy(lookup->host, address->host, sizeof(lookup->host));
    snprintf(lookup->port, sizeof(lookup->port), "%u", address->port);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    bool is_started = pthread_create(&thread, &detached, look_up, lookup) == 0;
    pthread_attr_destroy(&detached);
    if (is_started)
        return lookup;
    lookup->holders = 1;
    lookup_let_go(lookup);
    return NULL;
}

/* The addresses of a host, to be freed; NULL: unknown, or not known in time. */
static struct addrinfo *resolve(const struct redis_address *address, int64_t deadline_us)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    struct addrinfo numeric = HINTS, *found = NULL;
    numeric.ai_flags = AI_NUMERICHOST;
    if (getaddrinfo(address->host, port, &numeric, &found) == 0)
        return found;
    if (atomic_fetch_add(&lookups, 1) >= RESOLVING_MAX) { /* the resolver hangs */
        atomic_fetch_sub(&lookups, 1);
        return NULL;
    }
    struct lookup *lookup = lookup_start(address);
    if (lookup == NULL) {
        atomic_fetch_sub(&lookups, 1);
        return NULL;
    }
    pthread_mutex_lock(&lookup->mutex);
    while (!lookup->is_done && clock_cond_wait(&lookup->done, &lookup->mutex, deadline_us) == 0)
        ;
    found = lookup->found;
    lookup->found = NULL;
    pthread_mutex_unlock(&lookup->mutex);
    lookup_let_go(lookup);
    return found;
}

/* ---- the socket ---- */

static bool connect_one(struct redis_connection *connection, const struct addrinfo *to, int64_t deadline_us,
                        struct redis_failure *failure)
{
    connection->fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);
    if (connection->fd < 0) {
        redis_failure_set(failure, "no socket: %s", strerrordesc_np(errno));
        return false;
    }
    int on = 1, error = 0;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(connection->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (connect(connection->fd, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    error = errno;
    if (error == EINPROGRESS) {
        if (wait_for(connection, POLLOUT, deadline_us) == WAITED_READY) {
            socklen_t len = sizeof(error);
            getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &len);
            if (error == 0)
                return true;
        } else {
            error = ETIMEDOUT;
        }
    }
    redis_failure_set(failure, "cannot connect: %s", strerrordesc_np(error));
    close(connection->fd);
    connection->fd = -1;
    return false;
}

/* Each address of a host gets its part of the time. */
static bool connect_any(struct redis_connection *connection, const struct redis_address *address,
                        int64_t deadline_us, struct redis_failure *failure)
{
    struct addrinfo *found = resolve(address, deadline_us);
    if (found == NULL) {
        redis_failure_set(failure, "the host's name is not known, or not in time");
        return false;
    }
    int count = 0;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next)
        count++;
    bool is_connected = false;
    for (const struct addrinfo *one = found; one != NULL && !is_connected; one = one->ai_next) {
        int64_t now_us = clock_monotonic_us();
        is_connected = connect_one(connection, one, now_us + (deadline_us - now_us) / count, failure);
        count--;
    }
    freeaddrinfo(found);
    return is_connected;
}

/* ---- TLS ---- */

/* OpenSSL's own socket writes with write(2), which raises SIGPIPE in a process that does not ignore it. */
static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct redis_connection *connection = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(connection->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
    struct redis_connection *connection = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t received = recv(connection->fd, bytes, (size_t)len, 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)received;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "souk's socket");
    CHECK(bio_method != NULL);
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_ctrl(bio_method, bio_control);
}

bool redis_tls_open(struct redis_settings *settings, struct arena *arena, struct slice *complaint)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, bio_method_make);
    settings->tls = SSL_CTX_new(TLS_client_method());
    CHECK(settings->tls != NULL);
    SSL_CTX_set_min_proto_version(settings->tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(settings->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(settings->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const char *ca = settings->ca_file.ptr, *certificate = settings->certificate_file.ptr;
    bool has_ca = ca == NULL ? SSL_CTX_set_default_verify_paths(settings->tls) == 1
                             : SSL_CTX_load_verify_locations(settings->tls, ca, NULL) == 1;
    bool has_own =
        certificate == NULL ||
        (SSL_CTX_use_certificate_chain_file(settings->tls, certificate) == 1 &&
         SSL_CTX_use_PrivateKey_file(settings->tls, settings->key_file.ptr, SSL_FILETYPE_PEM) == 1);
    ERR_clear_error();
    if (!has_ca)
        *complaint =
            arena_format(arena, "REDIS_URL: the file of ca=%.*s holds no certificates that can be read",
                         SLICE_ARG(settings->ca_file));
    else if (!has_own)
        *complaint =
            arena_format(arena, "REDIS_URL: the files of cert= and key= cannot be read, or do not match");
    return has_ca && has_own;
}

static bool is_numeric(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The certificate must be for this host. */
static bool tls_prepare(SSL *tls, const char *host)
{
    if (is_numeric(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1;
    SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

static void tls_explain(const struct redis_connection *connection, struct redis_failure *failure)
{
    long verified = SSL_get_verify_result(connection->tls);
    unsigned long error = ERR_peek_error();
    if (verified != X509_V_OK)
        redis_failure_set(failure, "its certificate is refused: %s", X509_verify_cert_error_string(verified));
    else
        redis_failure_set(failure, "no TLS: %s",
                          error != 0 ? ERR_reason_error_string(error) : "the connection ended");
    ERR_clear_error();
}

static bool tls_connect(struct redis_connection *connection, const struct redis_settings *settings,
                        const char *host, int64_t deadline_us, struct redis_failure *failure)
{
    connection->tls = SSL_new(settings->tls);
    BIO *bio = BIO_new(bio_method);
    CHECK(connection->tls != NULL && bio != NULL);
    BIO_set_data(bio, connection);
    BIO_set_init(bio, 1);
    SSL_set_bio(connection->tls, bio, bio);
    if (!tls_prepare(connection->tls, host)) {
        redis_failure_set(failure, "its host's name cannot be in a certificate");
        return false;
    }
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(connection->tls);
        if (result == 1)
            return true;
        int wanted = SSL_get_error(connection->tls, result);
        if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE) {
            tls_explain(connection, failure);
            return false;
        }
        if (wait_for(connection, wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_us) !=
            WAITED_READY) {
            redis_failure_set(failure, "no TLS within the timeout");
            return false;
        }
    }
}

/* ---- bytes ---- */

/* How an attempt to read or write ended: bytes moved (> 0), the end or an error (-1), or 0 with what to wait
 * for in *events. */
static ssize_t tls_outcome(struct redis_connection *connection, int result, short *events)
{
    if (result > 0)
        return result;
    int wanted = SSL_get_error(connection->tls, result);
    *events = wanted == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (wanted == SSL_ERROR_WANT_READ || wanted == SSL_ERROR_WANT_WRITE)
        return 0;
    ERR_clear_error();
    return -1;
}

static ssize_t read_some(struct redis_connection *connection, char *bytes, size_t len, short *events)
{
    if (connection->tls != NULL) {
        ERR_clear_error();
        return tls_outcome(connection, SSL_read(connection->tls, bytes, (int)len), events);
    }
    ssize_t received = recv(connection->fd, bytes, len, 0);
    if (received > 0)
        return received;
    *events = POLLIN;
    return received < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t write_some(struct redis_connection *connection, const char *bytes, size_t len, short *events)
{
    if (connection->tls != NULL) {
        ERR_clear_error();
        return tls_outcome(connection, SSL_write(connection->tls, bytes, (int)len), events);
    }
    ssize_t sent = send(connection->fd, bytes, len, MSG_NOSIGNAL);
    if (sent > 0)
        return sent;
    *events = POLLOUT;
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

bool redis_connection_send(struct redis_connection *connection, struct slice bytes, int64_t deadline_us,
                           struct redis_failure *failure)
{
    while (bytes.len > 0) {
        short events = POLLOUT;
        ssize_t sent = write_some(connection, bytes.ptr, bytes.len, &events);
        if (sent < 0) {
            redis_failure_set(failure, "the connection broke while writing");
            return false;
        }
        if (sent == 0 && wait_for(connection, events, deadline_us) != WAITED_READY) {
            redis_failure_set(failure, "it took no more bytes within the timeout");
            return false;
        }
        bytes = slice_skip(bytes, (size_t)sent);
    }
    return true;
}

enum redis_received redis_connection_receive(struct redis_connection *connection, struct redis_reply *reply,
                                             int64_t deadline_us, struct redis_failure *failure)
{
    for (;;) {
        enum redis_parsed parsed = redis_parser_next(&connection->parser, reply);
        if (parsed == REDIS_PARSED_REPLY)
            return REDIS_RECEIVED;
        char bytes[READ_BYTES];
        short events = POLLIN;
        ssize_t received =
            parsed == REDIS_PARSED_NOTHING ? read_some(connection, bytes, sizeof(bytes), &events) : -1;
        if (received > 0 && !redis_parser_feed(&connection->parser, bytes, (size_t)received))
            parsed = REDIS_PARSED_GARBAGE;
        if (parsed == REDIS_PARSED_GARBAGE || received < 0) {
            redis_failure_set(failure, parsed == REDIS_PARSED_GARBAGE ? "its reply is malformed or too large"
                                                                      : "the connection broke while reading");
            return REDIS_BROKEN;
        }
        enum waited waited = received > 0 ? WAITED_READY : wait_for(connection, events, deadline_us);
        if (waited == WAITED_READY)
            continue;
        redis_failure_set(failure, "no reply within the timeout");
        return waited == WAITED_WOKEN ? REDIS_WOKEN : REDIS_TIMED_OUT;
    }
}

bool redis_connection_is_quiet(struct redis_connection *connection)
{
    char byte;
    short events;
    return read_some(connection, &byte, 1, &events) == 0;
}

/* ---- the handshake ---- */

#define HANDSHAKE_MAX 4

/* The hash of INFO's "run_id:...", 0 when it is not there. */
static uint64_t run_id_of(const struct redis_reply *reply)
{
    static const char name[] = "run_id:";
    if (reply->kind != REDIS_STRING)
        return 0;
    const char *found = memmem(reply->text.ptr, reply->text.len, name, sizeof(name) - 1);
    if (found == NULL)
        return 0;
    struct slice rest = slice_skip(reply->text, (size_t)(found - reply->text.ptr) + sizeof(name) - 1), id;
    slice_split(&rest, '\r', &id);
    uint64_t hash = hash64(id);
    return hash != 0 ? hash : 1;
}

/* AUTH and SELECT must go well. CLIENT SETNAME and INFO are for the operator and for noticing another process
 * behind the same address: an ACL that forbids them forbids nothing else. */
static bool greet(struct redis_connection *connection, const struct redis_settings *settings,
                  struct arena *arena, int64_t deadline_us, struct redis_failure *failure)
{
    struct slice auth[3] = {SLICE("AUTH"), settings->password};
    size_t auth_words = 2;
    if (!slice_is_absent(settings->user)) {
        auth[1] = settings->user;
        auth[2] = settings->password;
        auth_words = 3;
    }
    struct slice select[] = {SLICE("SELECT"), arena_format(arena, "%lld", (long long)settings->database)};
    static const struct slice set_name[] = {{"CLIENT", 6}, {"SETNAME", 7}, {"souk", 4}};
    static const struct slice info[] = {{"INFO", 4}, {"server", 6}};
    struct redis_command commands[HANDSHAKE_MAX];
    size_t count = 0, must_count;
    if (!slice_is_absent(settings->password))
        commands[count++] = (struct redis_command){.words = auth, .word_count = auth_words};
    if (settings->database > 0)
        commands[count++] = (struct redis_command){.words = select, .word_count = 2};
    must_count = count;
    commands[count++] = (struct redis_command){.words = set_name, .word_count = 3};
    commands[count++] = (struct redis_command){.words = info, .word_count = 2};
    struct buf out;
    buf_init(&out, arena);
    for (size_t i = 0; i < count; i++)
        CHECK(redis_format(&out, &commands[i], SLICE("")));
    if (!redis_connection_send(connection, buf_slice(&out), deadline_us, failure))
        return false;
    redis_parser_begin(&connection->parser, arena);
    struct redis_reply reply = {0};
    for (size_t i = 0; i < count; i++) {
        if (redis_connection_receive(connection, &reply, deadline_us, failure) != REDIS_RECEIVED)
            return false;
        if (i < must_count && reply.kind == REDIS_ERROR) {
            redis_failure_set(failure, "it refused %.*s: %.*s", SLICE_ARG(commands[i].words[0]),
                              SLICE_ARG(reply.text));
            return false;
        }
    }
    connection->run_id = run_id_of(&reply);
    return true;
}

static bool shake_hands(struct redis_connection *connection, const struct redis_settings *settings,
                        const char *host, int64_t deadline_us, struct redis_failure *failure)
{
    if (settings->tls != NULL && !tls_connect(connection, settings, host, deadline_us, failure))
        return false;
    struct arena arena;
    if (!arena_init(&arena, HANDSHAKE_ARENA_BYTES)) {
        redis_failure_set(failure, "no memory");
        return false;
    }
    bool is_greeted = greet(connection, settings, &arena, deadline_us, failure);
    redis_parser_begin(&connection->parser, NULL);
    arena_release(&arena);
    return is_greeted;
}

struct redis_connection *redis_connection_open(const struct redis_settings *settings,
                                               const struct redis_address *address, int64_t deadline_us,
                                               struct redis_failure *failure)
{
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    CHECK(connection != NULL);
    connection->fd = connection->wake_fd = -1;
    redis_parser_open(&connection->parser);
    if (connect_any(connection, address, deadline_us, failure) &&
        shake_hands(connection, settings, address->host, deadline_us, failure))
        return connection;
    redis_connection_close(connection);
    return NULL;
}

void redis_connection_close(struct redis_connection *connection)
{
    if (connection->tls != NULL)
        SSL_free(connection->tls); /* without a goodbye: it could block, and Redis needs none */
    if (connection->fd >= 0)
        close(connection->fd);
    redis_parser_close(&connection->parser);
    free(connection);
}
