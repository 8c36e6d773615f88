/* What the tests on Redis share: servers of their own on free ports of 127.0.0.1 and in a temporary folder,
 * plain or with TLS, alone or as a Cluster, that a test may stop, pause and start again. They end with the
 * test, even when it is killed. */
#pragma once

#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "data/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVERS_MAX 8
#define PASSWORD "s@cret/1"               /* of the user "souk", and of a Cluster */
#define PASSWORD_ENCODED "s%%40cret%%2F1" /* for a format */

struct server {
    pid_t pid; /* 0: not running */
    int port;
    char config[128];
};

struct servers {
    struct arena arena; /* of the test's own thread */
    char folder[64];
    struct server list[SERVERS_MAX];
    size_t count;
    bool has_tls;
};

static inline void sleep_ms(int ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* Waits until the condition holds, at most `ms`; tells whether it does. */
#define WAIT_UNTIL(condition, ms)                                                                            \
    ({                                                                                                       \
        int64_t until_us_ = clock_monotonic_us() + (ms)*INT64_C(1000);                                       \
        bool holds_;                                                                                         \
        while (!(holds_ = (condition)) && clock_monotonic_us() < until_us_)                                  \
            sleep_ms(2);                                                                                     \
        holds_;                                                                                              \
    })

static inline int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* Runs a program, its output to output.txt in the folder. The child dies with this process. */
static inline pid_t spawn(const struct servers *servers, const char *const *words)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(servers->folder) != 0)
        _exit(126);
    int out = open("output.txt", O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(words[0], (char *const *)words);
    _exit(127);
}

static inline bool run_program(const struct servers *servers, const char *const *words)
{
    int status = -1;
    pid_t pid = spawn(servers, words);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static inline void servers_open(struct servers *servers)
{
    *servers = (struct servers){0};
    crypto_start();
    log_start(getenv("SOUK_TEST_LOG") ? LOG_DEBUG : LOG_OFF);
    assert_true(arena_init(&servers->arena, (size_t)256 << 20));
    snprintf(servers->folder, sizeof(servers->folder), "/tmp/souk-redis-XXXXXX");
    assert_non_null(mkdtemp(servers->folder));
}

/* A certificate authority, and a certificate of it for 127.0.0.1 and localhost, but not for 127.0.0.2. */
static inline void make_certificates(struct servers *servers)
{
    static const char *const authority[] = {
        "openssl", "req",           "-x509",  "-newkey", "ec",     "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes",  "-keyout",       "ca.key", "-out",    "ca.crt", "-days",    "2",
        "-subj",   "/CN=souk test", NULL};
    static const char *const request[] = {
        "openssl",   "req",     "-newkey",   "ec",   "-pkeyopt",  "ec_paramgen_curve:P-256",
        "-nodes",    "-keyout", "redis.key", "-out", "redis.csr", "-subj",
        "/CN=redis", NULL};
    static const char *const sign[] = {
        "sh", "-c",
        "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' > san.txt && openssl "
        "x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile san.txt -out redis.crt",
        NULL};
    assert_true(run_program(servers, authority));
    assert_true(run_program(servers, request));
    assert_true(run_program(servers, sign));
    servers->has_tls = true;
}

static inline bool can_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    bool is_there = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_there;
}

static inline void server_start(struct servers *servers, struct server *server)
{
    const char *const words[] = {"redis-server", server->config, NULL};
    assert_int_equal(server->pid, 0);
    server->pid = spawn(servers, words);
    assert_true(WAIT_UNTIL(can_connect(server->port), 10000));
}

enum server_kind { SERVER_PLAIN, SERVER_TLS, SERVER_CLUSTER };

/* Writes its configuration. A plain one has the user "souk", who may touch souk:* only, and the user
 * "default", who may do everything; the others have one password. */
static inline struct server *server_add(struct servers *servers, enum server_kind kind)
{
    assert_true(servers->count < SERVERS_MAX);
    size_t number = servers->count++;
    struct server *server = &servers->list[number];
    server->port = free_port();
    snprintf(server->config, sizeof(server->config), "%s/%zu.conf", servers->folder, number);
    FILE *file = fopen(server->config, "we");
    assert_non_null(file);
    fprintf(file, "bind 127.0.0.1\nsave \"\"\nappendonly no\ndir %s\ndbfilename %zu.rdb\n", servers->folder,
            number);
    if (kind == SERVER_PLAIN)
        fprintf(file,
                "port %d\nuser default on nopass ~* &* +@all\nuser souk on >" PASSWORD
                " ~souk:* &souk:* +@all -@dangerous +info\n",
                server->port);
    else
        fprintf(
            file,
            "port 0\ntls-port %d\ntls-cert-file %s/redis.crt\ntls-key-file %s/redis.key\ntls-ca-cert-file "
            "%s/ca.crt\ntls-auth-clients no\nrequirepass " PASSWORD "\nmasterauth " PASSWORD "\n",
            server->port, servers->folder, servers->folder, servers->folder);
    if (kind == SERVER_CLUSTER)
        fprintf(
            file,
            "cluster-enabled yes\ncluster-config-file nodes-%zu.conf\ncluster-port %d\ncluster-node-timeout "
            "1000\ntls-cluster yes\ntls-replication yes\nrepl-diskless-sync-delay 0\n",
            number, free_port());
    fclose(file);
    return server;
}

static inline void server_kill(struct server *server)
{
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static inline int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void servers_close(struct servers *servers)
{
    for (size_t i = 0; i < servers->count; i++)
        server_kill(&servers->list[i]);
    nftw(servers->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    arena_release(&servers->arena);
}

/* ---- clients ---- */

static inline struct redis *client_open(struct servers *servers, const char *url, int64_t timeout_ms)
{
    struct redis_options options = {.url = slice_from(url), .timeout_ms = timeout_ms};
    struct slice complaint = SLICE_ABSENT;
    struct redis *redis = redis_open(&options, &servers->arena, &complaint);
    if (redis == NULL)
        fail_msg("%.*s", SLICE_ARG(complaint));
    return redis;
}

/* As the user of the shop, database 2. */
static inline const char *plain_url(struct servers *servers, const struct server *server)
{
    return arena_format(&servers->arena, "redis://souk:" PASSWORD_ENCODED "@127.0.0.1:%d/2", server->port)
        .ptr;
}

/* Runs one command whose words are separated by spaces; `key` as in struct redis_command. */
static inline bool ask(struct redis *redis, struct arena *arena, const char *text, size_t key,
                       struct redis_reply *reply)
{
    struct slice words[16], rest = slice_from(text);
    struct redis_command command = {.words = words, .key = key};
    while (command.word_count < 16 && slice_split(&rest, ' ', &words[command.word_count]))
        command.word_count++;
    return redis_pipeline(redis, arena, &command, 1, reply);
}

/* The text of its reply; "" for none, NULL when it was not answered. */
static inline const char *ask_text(struct redis *redis, struct arena *arena, const char *text, size_t key)
{
    struct redis_reply reply;
    if (!ask(redis, arena, text, key, &reply))
        return NULL;
    if (reply.kind == REDIS_INTEGER)
        return arena_format(arena, "%lld", (long long)reply.integer).ptr;
    return slice_is_absent(reply.text) ? "" : reply.text.ptr;
}
