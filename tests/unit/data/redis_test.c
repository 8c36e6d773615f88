/* The Redis client against a server that stands alone: the URL, pipelines, users and databases, TLS, what
 * happens when the server is away, slow or another, and listening to a channel. */
#include "redis_fixture.h"

#include "base/check.h"
#include "base/limits.h"

static int begin(void **state)
{
    struct servers *servers = calloc(1, sizeof(*servers));
    servers_open(servers);
    server_start(servers, server_add(servers, SERVER_PLAIN));
    *state = servers;
    return 0;
}

static int end(void **state)
{
    servers_close(*state);
    free(*state);
    return 0;
}

/* ---- the URL ---- */

static void check_url(struct arena *arena, const char *url, const char *complaint_part)
{
    struct redis_options options = {.url = slice_from(url)};
    struct slice complaint = SLICE_ABSENT;
    struct redis *redis = redis_open(&options, arena, &complaint);
    if (complaint_part == NULL) {
        if (redis == NULL)
            fail_msg("%s: %.*s", url, SLICE_ARG(complaint));
        redis_free(redis);
        return;
    }
    assert_null(redis);
    assert_non_null(memmem(complaint.ptr, complaint.len, complaint_part, strlen(complaint_part)));
    assert_null(memmem(complaint.ptr, complaint.len, "hunter2", 7));
    assert_null(memchr(complaint.ptr, '\n', complaint.len));
}

static void urls_are_read_strictly(void **state)
{
    (void)state;
    struct arena arena;
    crypto_start();
    assert_true(arena_init(&arena, (size_t)4 << 20));
    static const char *const good[] = {
        "redis://localhost",           "redis://127.0.0.1:6380/3",
        "redis://[::1]:7000/",         "redis://:hunter2@h",
        "redis://u%3A:hunter2%40@h:1", "redis://a:1,b:2,[::1]:3",
        "rediss://:hunter2@h:1,i:2/0", "redis://[::1]",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        check_url(&arena, good[i], NULL);
    static const char *const bad[][2] = {
        {"", "must start with"},
        {"http://h", "must start with"},
        {"redis://", "must name its hosts"},
        {"redis://h:0", "must name its hosts"},
        {"redis://h:65536", "must name its hosts"},
        {"redis://h:1,", "must name its hosts"},
        {"redis://:hunter2/x@h:1", "must name its hosts"},
        {"redis://u:hunter2%4@h", "percent-encoded"},
        {"redis://u:hunter2%00@h", "percent-encoded"},
        {"redis://u@h", "without a password"},
        {"redis://h/x", "NUMBER"},
        {"redis://h/-1", "NUMBER"},
        {"rediss://:hunter2@h?what=1", "nothing else"},
        {"redis://h?ca=/x", "rediss://"},
        {"rediss://h?cert=/x", "both"},
        {"rediss://:hunter2@h?ca=/does/not/exist", "ca="},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        check_url(&arena, bad[i][0], bad[i][1]);
    struct redis_options options = {.url = SLICE("redis://h"), .prefix = SLICE("with{brace}")};
    struct slice complaint = SLICE_ABSENT;
    assert_null(redis_open(&options, &arena, &complaint));
    assert_true(complaint.len > 0);
    arena_release(&arena);
}

/* ---- pipelines ---- */

static void replies_come_in_order_and_of_every_kind(void **state)
{
    struct servers *servers = *state;
    struct redis *redis = client_open(servers, plain_url(servers, &servers->list[0]), 2000);
    assert_false(redis_is_up(redis)); /* nothing was asked yet */
    struct slice binary = {"a\0b\r\nc", 6};
    struct slice set[] = {SLICE("SET"), SLICE("k"), binary}, get[] = {SLICE("GET"), SLICE("k")},
                 increment[] = {SLICE("INCR"), SLICE("n")},
                 push[] = {SLICE("RPUSH"), SLICE("l"), SLICE("1"), SLICE("")},
                 range[] = {SLICE("LRANGE"), SLICE("l"), SLICE("0"), SLICE("-1")},
                 missing[] = {SLICE("GET"), SLICE("nothing")}, wrong[] = {SLICE("INCR"), SLICE("l")},
                 script[] = {SLICE("EVAL"), SLICE("return {{1,{'x'}},false,KEYS[1]}"), SLICE("1"),
                             SLICE("k")},
                 ping[] = {SLICE("PING")};
    struct redis_command commands[] = {
        {set, 3, 1},     {get, 2, 1},   {increment, 2, 1}, {push, 4, 1}, {range, 4, 1},
        {missing, 2, 1}, {wrong, 2, 1}, {script, 4, 3},    {ping, 1, 0},
    };
    struct redis_reply replies[COUNT_OF(commands)];
    assert_true(redis_pipeline(redis, &servers->arena, commands, COUNT_OF(commands), replies));
    assert_int_equal(replies[0].kind, REDIS_STATUS);
    assert_true(replies[1].kind == REDIS_STRING && slice_equals(replies[1].text, binary));
    assert_true(replies[2].kind == REDIS_INTEGER && replies[2].integer == 1);
    assert_int_equal(replies[3].integer, 2);
    assert_true(replies[4].kind == REDIS_ARRAY && replies[4].count == 2);
    assert_true(slice_is(replies[4].elements[0].text, "1"));
    assert_true(replies[4].elements[1].kind == REDIS_STRING && replies[4].elements[1].text.len == 0);
    assert_int_equal(replies[5].kind, REDIS_NIL);
    assert_true(replies[6].kind == REDIS_ERROR && slice_starts_with(replies[6].text, SLICE("WRONGTYPE")));
    assert_int_equal(replies[7].count, 3);
    assert_true(slice_is(replies[7].elements[0].elements[1].elements[0].text, "x"));
    assert_int_equal(replies[7].elements[1].kind, REDIS_NIL);
    assert_true(slice_is(replies[7].elements[2].text, "souk:k")); /* the prefix */
    assert_true(slice_is(replies[8].text, "PONG"));
    assert_true(redis_is_up(redis));
    redis_free(redis);
}

static void large_pipelines_and_values_pass(void **state)
{
    struct servers *servers = *state;
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)128 << 20));
    struct redis *redis = client_open(servers, plain_url(servers, &servers->list[0]), 10000);
    size_t len = (size_t)3 << 20;
    char *large = arena_alloc(&arena, len);
    for (size_t i = 0; i < len; i++)
        large[i] = (char)(i * 31);
    struct slice set[] = {SLICE("SET"), SLICE("large"), {large, len}}, get[] = {SLICE("GET"), SLICE("large")};
    struct redis_command commands[REDIS_PIPELINE_MAX] = {{set, 3, 1}, {get, 2, 1}, {get, 2, 1}};
    struct redis_reply *replies = ARENA_ARRAY(&arena, struct redis_reply, REDIS_PIPELINE_MAX);
    assert_true(redis_pipeline(redis, &arena, commands, 3, replies));
    assert_true(slice_equals(replies[2].text, (struct slice){large, len}));
    struct slice count[] = {SLICE("INCR"), SLICE("count")};
    for (size_t i = 0; i < REDIS_PIPELINE_MAX; i++)
        commands[i] = (struct redis_command){count, 2, 1};
    assert_true(redis_pipeline(redis, &arena, commands, REDIS_PIPELINE_MAX, replies));
    for (size_t i = 0; i < REDIS_PIPELINE_MAX; i++)
        assert_int_equal(replies[i].integer, i + 1);
    /* More than the limit of a reply: a failure, and the next call is well. */
    for (size_t i = 0; i < 8; i++)
        commands[i] = (struct redis_command){get, 2, 1};
    assert_false(redis_pipeline(redis, &arena, commands, 8, replies));
    assert_true(WAIT_UNTIL(ask_text(redis, &arena, "GET count", 1) != NULL, 3000));
    redis_free(redis);
    arena_release(&arena);
}

/* Replies for which the caller's arena has no room are a failure, not an end of the process. */
static void a_small_arena_is_a_failure(void **state)
{
    struct servers *servers = *state;
    struct redis *redis = client_open(servers, plain_url(servers, &servers->list[0]), 2000);
    struct arena small;
    assert_true(arena_init(&small, (size_t)128 << 10));
    struct redis_reply reply;
    assert_true(ask(redis, &servers->arena, "SETRANGE big 200000 x", 1, &reply));
    assert_false(ask(redis, &small, "GET big", 1, &reply));
    assert_int_equal(reply.kind, REDIS_UNANSWERED);
    arena_release(&small);
    redis_free(redis);
}

static void users_and_databases_count(void **state)
{
    struct servers *servers = *state;
    struct redis_reply reply;
    struct redis *redis = client_open(servers, plain_url(servers, &servers->list[0]), 2000);
    assert_string_equal(ask_text(redis, &servers->arena, "SET who souk", 1), "OK");
    assert_true(
        ask(redis, &servers->arena, "GET other:key", 0, &reply)); /* without the prefix: not allowed */
    assert_true(slice_starts_with(reply.text, SLICE("NOPERM")));
    struct arena *arena = &servers->arena;
    struct redis *admin =
        client_open(servers, arena_format(arena, "redis://127.0.0.1:%d", servers->list[0].port).ptr, 2000);
    assert_string_equal(ask_text(admin, arena, "GET who", 1), ""); /* it is in database 2 */
    assert_non_null(strstr(ask_text(admin, arena, "CLIENT LIST", 0), "name=souk"));
    struct redis *stranger = client_open(
        servers, arena_format(arena, "redis://souk:wrong@127.0.0.1:%d", servers->list[0].port).ptr, 2000);
    assert_false(ask(stranger, arena, "GET who", 1, &reply));
    assert_false(redis_is_up(stranger));
    redis_free(stranger);
    redis_free(admin);
    redis_free(redis);
}

static void several_hosts_must_be_a_cluster(void **state)
{
    struct servers *servers = *state;
    struct redis_reply reply;
    int port = servers->list[0].port;
    struct redis *redis = client_open(
        servers, arena_format(&servers->arena, "redis://127.0.0.1:%d,localhost:%d", port, port).ptr, 500);
    assert_false(ask(redis, &servers->arena, "GET a", 1, &reply));
    assert_false(redis_is_up(redis));
    redis_free(redis);
}

/* ---- TLS ---- */

static void tls_checks_the_server(void **state)
{
    struct servers *servers = *state;
    struct arena *arena = &servers->arena;
    struct redis_reply reply;
    make_certificates(servers);
    struct server *server = server_add(servers, SERVER_TLS);
    server_start(servers, server);
    const char *file = arena_format(arena, "%s/ca.crt", servers->folder).ptr;
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct redis *redis = client_open(
            servers,
            arena_format(arena, "rediss://:" PASSWORD_ENCODED "@%s:%d?ca=%s", hosts[i], server->port, file)
                .ptr,
            3000);
        assert_string_equal(ask_text(redis, arena, "SET t 1", 1), "OK");
        assert_string_equal(ask_text(redis, arena, "INCR t", 1), "2");
        redis_free(redis);
    }
    struct redis *untrusting = client_open(
        servers, arena_format(arena, "rediss://:" PASSWORD_ENCODED "@127.0.0.1:%d", server->port).ptr, 3000);
    assert_false(ask(untrusting, arena, "GET t", 1, &reply));
    redis_free(untrusting);
    struct redis *without = client_open(
        servers, arena_format(arena, "redis://:" PASSWORD_ENCODED "@127.0.0.1:%d", server->port).ptr, 3000);
    assert_false(ask(without, arena, "GET t", 1, &reply));
    redis_free(without);
    /* A certificate of the right authority, for another host. */
    static const char *const rename[] = {
        "sh", "-c",
        "printf 'subjectAltName=DNS:elsewhere' > san.txt && openssl x509 -req -in "
        "redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile "
        "san.txt -out redis.crt",
        NULL};
    assert_true(run_program(servers, rename));
    server_kill(server);
    server_start(servers, server);
    struct redis *misled = client_open(
        servers,
        arena_format(arena, "rediss://:" PASSWORD_ENCODED "@127.0.0.1:%d?ca=%s", server->port, file).ptr,
        3000);
    assert_false(ask(misled, arena, "GET t", 1, &reply));
    redis_free(misled);
}

/* ---- away, slow, another ---- */

static void it_fails_fast_and_comes_back(void **state)
{
    struct servers *servers = *state;
    struct server *server = &servers->list[0];
    struct redis *redis = client_open(servers, plain_url(servers, server), 1000);
    struct redis_reply reply;
    assert_true(ask(redis, &servers->arena, "SET a 1", 1, &reply));
    uint64_t losses = redis_losses(redis);
    server_kill(server);
    int64_t began_us = clock_monotonic_us();
    for (int i = 0; i < 1000; i++)
        assert_false(ask(redis, &servers->arena, "GET a", 1, &reply));
    assert_true(clock_monotonic_us() - began_us < 1000000);
    assert_false(redis_is_up(redis));
    server_start(servers, server);
    assert_true(WAIT_UNTIL(ask(redis, &servers->arena, "GET a", 1, &reply), 3000));
    assert_int_equal(reply.kind, REDIS_NIL);
    assert_true(redis_is_up(redis));
    assert_true(redis_losses(redis) > losses); /* another process */
    redis_free(redis);
}

static void a_slow_one_costs_one_timeout(void **state)
{
    struct servers *servers = *state;
    struct server *server = &servers->list[0];
    struct redis *redis = client_open(servers, plain_url(servers, server), 100);
    struct redis_reply reply;
    assert_true(WAIT_UNTIL(ask(redis, &servers->arena, "SET a 1", 1, &reply), 3000));
    uint64_t losses = redis_losses(redis);
    kill(server->pid, SIGSTOP);
    int64_t began_us = clock_monotonic_us();
    int slow = 0, calls = 0;
    while (clock_monotonic_us() - began_us < 2000000) {
        int64_t call_us = clock_monotonic_us();
        assert_false(ask(redis, &servers->arena, "GET a", 1, &reply));
        int64_t took_us = clock_monotonic_us() - call_us;
        assert_true(took_us < 400000); /* the timeout and what a busy machine adds */
        slow += took_us > 50000;
        calls++;
        sleep_ms(1);
    }
    assert_in_range(slow, 2, 10); /* it is tried again, but less and less often */
    assert_true(calls > 200);
    kill(server->pid, SIGCONT);
    assert_true(WAIT_UNTIL(ask(redis, &servers->arena, "GET a", 1, &reply), 3000));
    assert_true(slice_is(reply.text, "1"));
    assert_int_equal(redis_losses(redis), losses); /* the same process: nothing is lost */
    redis_free(redis);
}

struct crowd {
    struct redis *redis;
    _Atomic bool is_over;
    _Atomic int answered, unanswered;
};

static void *one_of_the_crowd(void *arg)
{
    struct crowd *crowd = arg;
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)1 << 20));
    for (int i = 0; !atomic_load(&crowd->is_over); i++) {
        arena_reset(&arena);
        struct slice number = arena_format(&arena, "%d", (int)(uintptr_t)&arena % 1000 * 1000 + i);
        struct slice echo[] = {SLICE("ECHO"), number}, count[] = {SLICE("INCR"), SLICE("crowd")};
        struct redis_command commands[] = {{echo, 2, 0}, {count, 2, 1}, {echo, 2, 0}};
        struct redis_reply replies[3];
        if (redis_pipeline(crowd->redis, &arena, commands, 3, replies)) {
            /* Nobody ever gets what was meant for another. */
            assert_true(slice_equals(replies[0].text, number));
            assert_int_equal(replies[1].kind, REDIS_INTEGER);
            assert_true(slice_equals(replies[2].text, number));
            atomic_fetch_add(&crowd->answered, 1);
        } else {
            atomic_fetch_add(&crowd->unanswered, 1);
            sleep_ms(1);
        }
    }
    arena_release(&arena);
    return NULL;
}

#define CROWD 40 /* more than there are connections */

static void a_crowd_shares_the_connections(void **state)
{
    struct servers *servers = *state;
    struct server *server = &servers->list[0];
    struct crowd crowd = {.redis = client_open(servers, plain_url(servers, server), 1000)};
    pthread_t threads[CROWD];
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_the_crowd, &crowd), 0);
    sleep_ms(300);
    kill(server->pid, SIGSTOP); /* replies come late: none may be taken for another's */
    sleep_ms(1300);
    kill(server->pid, SIGCONT);
    sleep_ms(300);
    server_kill(server);
    sleep_ms(200);
    server_start(servers, server);
    int before = atomic_load(&crowd.answered);
    assert_true(WAIT_UNTIL(atomic_load(&crowd.answered) > before + 100, 10000));
    atomic_store(&crowd.is_over, true);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(atomic_load(&crowd.unanswered) > 0);
    struct redis *admin =
        client_open(servers, arena_format(&servers->arena, "redis://127.0.0.1:%d", server->port).ptr, 2000);
    const char *list = ask_text(admin, &servers->arena, "CLIENT LIST", 0);
    int clients = 0;
    for (const char *at = list; (at = strstr(at, "name=souk")) != NULL; at++)
        clients++;
    assert_in_range(clients, 1, REDIS_CONNECTIONS_MAX + 1);
    redis_free(admin);
    redis_free(crowd.redis);
}

/* ---- listening ---- */

struct heard {
    pthread_mutex_t mutex;
    int messages, ups, downs;
    char last[64];
};

static void on_message(void *arg, struct slice message)
{
    struct heard *heard = arg;
    pthread_mutex_lock(&heard->mutex);
    heard->messages++;
    snprintf(heard->last, sizeof(heard->last), "%.*s", SLICE_ARG(message));
    pthread_mutex_unlock(&heard->mutex);
}

static void on_link(void *arg, bool is_up)
{
    struct heard *heard = arg;
    pthread_mutex_lock(&heard->mutex);
    *(is_up ? &heard->ups : &heard->downs) += 1;
    pthread_mutex_unlock(&heard->mutex);
}

static int read_count(struct heard *heard, const int *count)
{
    pthread_mutex_lock(&heard->mutex);
    int value = *count;
    pthread_mutex_unlock(&heard->mutex);
    return value;
}

static void a_channel_is_heard_again_after_a_break(void **state)
{
    struct servers *servers = *state;
    struct server *server = &servers->list[0];
    struct heard heard = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct redis_listener listener = {on_message, on_link, &heard};
    struct redis *redis = client_open(servers, plain_url(servers, server), 1000);
    struct redis_subscription *subscription = redis_subscribe(redis, SLICE("drops"), &listener);
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.ups) == 1, 3000));
    assert_true(WAIT_UNTIL(ask_text(redis, &servers->arena, "PUBLISH drops one", 1) != NULL, 3000));
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.messages) == 1, 1000));
    assert_string_equal(heard.last, "one");
    sleep_ms(1500); /* PINGs are answered: the link stays */
    assert_int_equal(read_count(&heard, &heard.downs), 0);
    kill(server->pid, SIGSTOP); /* it stays connected and says nothing */
    int64_t began_us = clock_monotonic_us();
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.downs) == 1, 4000));
    assert_true(clock_monotonic_us() - began_us < (REDIS_SILENCE_MS_MAX + 700) * INT64_C(1000));
    kill(server->pid, SIGCONT);
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.ups) == 2, 3000));
    server_kill(server);
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.downs) == 2, 1000));
    server_start(servers, server);
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.ups) == 3, 3000));
    assert_true(WAIT_UNTIL(ask_text(redis, &servers->arena, "PUBLISH drops two", 1) != NULL, 3000));
    assert_true(WAIT_UNTIL(read_count(&heard, &heard.messages) == 2, 1000));
    redis_unsubscribe(subscription);
    redis_free(redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_strictly),
        cmocka_unit_test_setup_teardown(replies_come_in_order_and_of_every_kind, begin, end),
        cmocka_unit_test_setup_teardown(large_pipelines_and_values_pass, begin, end),
        cmocka_unit_test_setup_teardown(a_small_arena_is_a_failure, begin, end),
        cmocka_unit_test_setup_teardown(users_and_databases_count, begin, end),
        cmocka_unit_test_setup_teardown(several_hosts_must_be_a_cluster, begin, end),
        cmocka_unit_test_setup_teardown(tls_checks_the_server, begin, end),
        cmocka_unit_test_setup_teardown(it_fails_fast_and_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(a_slow_one_costs_one_timeout, begin, end),
        cmocka_unit_test_setup_teardown(a_crowd_shares_the_connections, begin, end),
        cmocka_unit_test_setup_teardown(a_channel_is_heard_again_after_a_break, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
