/* What starting and calling a Lambda function costs. Without arguments: a function that only answers, the
 * least that there can be. Else the Runtime API in small, and the stopwatch:
 *
 *     lambda EVENT RUNS CALLS PROGRAM...
 *
 * starts each program in turn, RUNS times round: the time from exec to its first answer to the event in the
 * file EVENT. Then it calls each CALLS times and takes the time of every call. Prints a line of JSON for each
 * program. A program that does not answer within 10 s, or answers with an error, ends it with a complaint. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAMS_MAX 8
#define RUNS_MAX 1000
#define CALLS_MAX 100000
#define HEAD_BYTES_MAX 8192
#define BODY_BYTES_MAX (8 << 20)
#define PATIENCE_S 10

static void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- messages ---- */

struct message {
    char head[HEAD_BYTES_MAX + 1];
    char *body;
    size_t body_bytes;
};

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("the connection broke while sending");
        bytes += sent;
        count -= (size_t)sent;
    }
}

static size_t receive_some(int fd, char *into, size_t room)
{
    ssize_t got = recv(fd, into, room, 0);
    if (got < 0)
        fail("nothing came within %d s", PATIENCE_S);
    return (size_t)got;
}

/* False when the other side has closed in between. */
static bool receive(int fd, struct message *message)
{
    size_t got = 0;
    char *end = NULL;
    while (end == NULL) {
        if (got == HEAD_BYTES_MAX)
            fail("a head is too long");
        size_t more = receive_some(fd, message->head + got, HEAD_BYTES_MAX - got);
        if (more == 0)
            return false;
        got += more;
        message->head[got] = 0;
        end = strstr(message->head, "\r\n\r\n");
    }
    size_t head_bytes = (size_t)(end - message->head) + 4;
    const char *length = strcasestr(message->head, "\r\nContent-Length:");
    message->body_bytes = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (message->body_bytes > BODY_BYTES_MAX)
        fail("a body is too long");
    size_t there = got - head_bytes;
    memcpy(message->body, message->head + head_bytes, there);
    message->head[head_bytes] = 0;
    while (there < message->body_bytes) {
        size_t more = receive_some(fd, message->body + there, message->body_bytes - there);
        if (more == 0)
            fail("a body was cut short");
        there += more;
    }
    return true;
}

static struct message *message_new(void)
{
    struct message *message = malloc(sizeof(*message));
    if (message == NULL || (message->body = malloc(BODY_BYTES_MAX + HEAD_BYTES_MAX)) == NULL)
        fail("no memory");
    return message;
}

static void be_quick(int fd)
{
    int on = 1;
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* ---- the function that only answers ---- */

static int answer(void)
{
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    const char *port = api != NULL ? strrchr(api, ':') : NULL;
    if (port == NULL)
        fail("AWS_LAMBDA_RUNTIME_API is not set");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        fail("no connection");
    struct message *message = message_new();
    char text[512];
    const char *body = "{\"statusCode\":200}";
    be_quick(fd);
    for (;;) {
        int bytes = snprintf(text, sizeof(text),
                             "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n", api);
        send_all(fd, text, (size_t)bytes);
        if (!receive(fd, message))
            return 0;
        bytes = snprintf(
            text, sizeof(text),
            "POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n%s",
            api, strlen(body), body);
        send_all(fd, text, (size_t)bytes);
        if (!receive(fd, message))
            return 0;
    }
}

/* ---- the Runtime API ---- */

struct api {
    int listener;
    int fd; /* of the function that runs */
    char *event;
    struct message *message;
};

struct program {
    const char *path;
    pid_t pid;
    int64_t cold_us[RUNS_MAX], cpu_us[RUNS_MAX], warm_us[CALLS_MAX];
    long resident_kib; /* the most of all its processes */
};

static struct program programs[PROGRAMS_MAX];

static void start(struct api *api, struct program *program)
{
    program->pid = fork();
    if (program->pid < 0)
        fail("no process");
    if (program->pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execl(program->path, program->path, (char *)NULL);
        _exit(127);
    }
    struct pollfd waiting = {.fd = api->listener, .events = POLLIN};
    if (poll(&waiting, 1, PATIENCE_S * 1000) != 1)
        fail("%s does not ask for work", program->path);
    api->fd = accept4(api->listener, NULL, NULL, SOCK_CLOEXEC);
    be_quick(api->fd);
}

/* Waits for the question for work. */
static void await_question(struct api *api, const struct program *program)
{
    if (!receive(api->fd, api->message) || strncmp(api->message->head, "GET ", 4) != 0)
        fail("%s: %.200s %.300s", program->path, api->message->head, api->message->body);
}

/* Answers the question, and takes what the function says. */
static void call(struct api *api, const struct program *program)
{
    static const char TAKEN[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    char head[512];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int bytes = snprintf(
        head, sizeof(head),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
        "Lambda-Runtime-Deadline-Ms: %lld\r\n\r\n",
        strlen(api->event), ((long long)now.tv_sec + 30) * 1000);
    send_all(api->fd, head, (size_t)bytes);
    send_all(api->fd, api->event, strlen(api->event));
    if (!receive(api->fd, api->message) || strstr(api->message->head, "/response ") == NULL ||
        memmem(api->message->body, api->message->body_bytes, "\"statusCode\":200", 16) == NULL)
        fail("%s: %.200s %.*s", program->path, api->message->head, (int)api->message->body_bytes,
             api->message->body);
    send_all(api->fd, TAKEN, sizeof(TAKEN) - 1);
}

static int64_t end(struct api *api, struct program *program)
{
    struct rusage used;
    int status;
    kill(program->pid, SIGTERM);
    if (wait4(program->pid, &status, 0, &used) != program->pid)
        fail("%s was lost", program->path);
    close(api->fd); /* not before: it would connect again */
    if (used.ru_maxrss > program->resident_kib)
        program->resident_kib = used.ru_maxrss;
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static void measure_start(struct api *api, struct program *program, size_t run)
{
    int64_t from_us = now_us();
    start(api, program);
    await_question(api, program);
    call(api, program);
    program->cold_us[run] = now_us() - from_us;
    program->cpu_us[run] = end(api, program);
}

static void measure_calls(struct api *api, struct program *program, size_t calls)
{
    start(api, program);
    await_question(api, program);
    for (size_t i = 0; i < calls; i++) {
        int64_t from_us = now_us();
        call(api, program);
        await_question(api, program); /* what it does between two invocations is paid for too */
        program->warm_us[i] = now_us() - from_us;
    }
    (void)end(api, program);
}

/* ---- what came out ---- */

static int by_size(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;
    return (first > second) - (first < second);
}

static void print_times(const char *name, int64_t *times_us, size_t count)
{
    qsort(times_us, count, sizeof(*times_us), by_size);
    printf("\"%s\":{\"least\":%lld,\"median\":%lld,\"p90\":%lld},", name, (long long)times_us[0],
           (long long)times_us[count / 2], (long long)times_us[count * 9 / 10]);
}

static void open_api(struct api *api)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    char text[32];
    api->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(api->listener, (struct sockaddr *)&address, bytes) != 0 || listen(api->listener, 8) != 0 ||
        getsockname(api->listener, (struct sockaddr *)&address, &bytes) != 0)
        fail("no port");
    snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(address.sin_port));
    setenv("AWS_LAMBDA_RUNTIME_API", text, 1);
    api->message = message_new();
}

static char *read_event(const char *path)
{
    FILE *file = fopen(path, "r");
    char *event = calloc(1, BODY_BYTES_MAX);
    if (file == NULL || event == NULL || fread(event, 1, BODY_BYTES_MAX - 1, file) == 0)
        fail("%s cannot be read", path);
    fclose(file);
    return event;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return answer();
    size_t runs = argc > 4 ? strtoul(argv[2], NULL, 10) : 0,
           calls = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
    size_t count = (size_t)argc - 4;
    if (runs < 1 || runs > RUNS_MAX || calls < 1 || calls > CALLS_MAX || count > PROGRAMS_MAX)
        fail("lambda EVENT RUNS CALLS PROGRAM...");
    struct api api = {.event = read_event(argv[1])};
    open_api(&api);
    for (size_t i = 0; i < count; i++)
        programs[i].path = argv[4 + i];
    for (size_t run = 0; run < runs; run++)
        for (size_t i = 0; i < count; i++)
            measure_start(&api, &programs[i], run);
    for (size_t i = 0; i < count; i++) {
        measure_calls(&api, &programs[i], calls);
        putchar('{');
        print_times("coldUs", programs[i].cold_us, runs);
        print_times("cpuUs", programs[i].cpu_us, runs);
        print_times("warmUs", programs[i].warm_us, calls);
        printf("\"residentKib\":%ld}\n", programs[i].resident_kib);
    }
    return 0;
}
