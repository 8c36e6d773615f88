/* souk serve: makes what every request uses, in order, serves until SIGTERM or SIGINT, and takes it down in
 * reverse. */
#include "cli/commands.h"
#include "cli/context.h"

#include "api/operations.h"
#include "base/clock.h"
#include "data/migrations.h"
#include "http/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

/* Everything that stands while the server runs. */
struct running {
    const struct args *args;
    struct config config;
    struct services services;
    struct gateway *gateway;
    struct server *server;
    sigset_t ends; /* the signals that end it */
};

static bool refuse(const struct running *running, struct slice complaint)
{
    cli_fail(running->args, EXIT_FAILED, complaint);
    return false;
}

/* Blocked in every thread that follows, so that only our sigwait sees them; not ignored, as a shell's
 * background job starts. */
static void claim_signals(struct running *running)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&running->ends);
    sigaddset(&running->ends, SIGINT);
    sigaddset(&running->ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &running->ends, NULL);
}

static bool bring_schema_up(struct running *running)
{
    int64_t applied;
    struct slice complaint;
    if (!running->config.migrate_at_start)
        return cli_schema_is_current(running->args, running->services.store);
    return migrations_up(running->services.store, running->args->arena, &applied, &complaint) ||
           refuse(running, complaint);
}

static bool open_services(struct running *running)
{
    struct services *services = &running->services;
    struct arena *arena = running->args->arena;
    struct slice complaint;
    *services = (struct services){
        .config = &running->config, .operations = api_operations, .started_at_ms = clock_now_ms()};
    if (!config_secret_ensure(&running->config, arena, &complaint))
        return refuse(running, complaint);
    services->store = cli_store_create(running->args, &running->config);
    if (services->store == NULL || !bring_schema_up(running))
        return false;
    services->keys = key_ring_open(services->store, running->config.secret, arena, &complaint);
    if (services->keys == NULL)
        return refuse(running, complaint);
    if (running->config.cache_bytes > 0)
        services->cache = cache_new((size_t)running->config.cache_bytes);
    key_derive(running->config.secret, "cursor", services->cursor_key);
    key_derive(running->config.secret, "seal", services->seal_key);
    return true;
}

static void close_services(struct running *running)
{
    if (running->services.cache != NULL)
        cache_free(running->services.cache);
    if (running->services.keys != NULL)
        key_ring_free(running->services.keys);
    if (running->services.store != NULL)
        store_close(running->services.store);
}

static bool start(struct running *running)
{
    struct slice complaint;
    running->gateway = gateway_new(&running->services);
    if (running->gateway == NULL)
        return refuse(running, SLICE("the system gives no threads for the workers"));
    const struct server_options options = {
        .listen = running->config.listen,
        .io_threads = running->config.io_threads,
        .connections_max = running->config.connections_max,
    };
    running->server = server_start(&options, running->gateway, running->args->arena, &complaint);
    return running->server != NULL || refuse(running, complaint);
}

/* The line that says where it listens, with the port that was picked for :0. Tests and scripts read it. */
static void announce(const struct running *running)
{
    struct slice host = running->config.listen;
    while (host.len > 0 && host.ptr[host.len - 1] != ':')
        host.len--;
    printf("listening on http://%.*s%u\n", SLICE_ARG(host), server_port(running->server));
    fflush(stdout);
    if (running->config.test_payments)
        log_message(LOG_WARN,
                    "SOUK_TEST_PAYMENTS is on: anybody can pay with test cards; never in a real shop");
}

/* True when all that ran was finished; else memory is still in use by threads and must be left alone. */
static bool stop(struct running *running)
{
    if (running->server != NULL && !server_stop(running->server)) {
        log_message(LOG_ERROR, "a request did not end in time and was left");
        return false;
    }
    if (running->gateway != NULL)
        gateway_free(running->gateway);
    close_services(running);
    return true;
}

static int run_serve(const struct args *args)
{
    struct running running = {.args = args};
    if (!cli_config(args, &running.config))
        return EXIT_USAGE;
    claim_signals(&running);
    bool is_started = open_services(&running) && start(&running);
    if (is_started) {
        int number;
        announce(&running);
        sigwait(&running.ends, &number);
        log_message(LOG_INFO, "stopping");
    }
    /* A second Ctrl-C does not wait for what runs. */
    pthread_sigmask(SIG_UNBLOCK, &running.ends, NULL);
    return stop(&running) && is_started ? EXIT_OK : EXIT_FAILED;
}

static const struct cli_option SERVE_OPTIONS[] = {
    {"listen", "HOST:PORT", "where to listen (127.0.0.1:8080); port 0 picks a free one"},
    {"no-jobs", NULL, "without the background jobs; run them with `souk work`"},
    {0},
};

const struct cli_command command_serve = {
    .name = "serve",
    .summary = "serve the shop over HTTP",
    .details =
        "Makes an empty shop where there is none, brings the schema up to date, then prints\n"
        "`listening on http://HOST:PORT` and serves until SIGTERM or Ctrl-C: what runs is finished, what is new is\n"
        "refused, and it exits with 0. One line of JSON a request goes to standard output, what goes wrong to\n"
        "standard error (SOUK_LOG).",
    .options = SERVE_OPTIONS,
    .run = run_serve,
};
