/* souk serve: makes what every request uses, in order, serves until SIGTERM or SIGINT, and takes it down in
 * reverse. */
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/notify.h"
#include "cli/services.h"

#include "api/operations.h"
#include "auth/key_usage.h"
#include "http/server.h"
#include "jobs/jobs.h"
#include "jobs/mail.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

/* Everything that stands while the server runs. */
struct running {
    const struct args *args;
    struct config config;
    struct services services;
    struct gateway *gateway;
    struct server *server;
    struct jobs *jobs; /* NULL with --no-jobs */
    sigset_t ends;     /* the signals that end it */
};

static bool refuse(const struct running *running, struct slice complaint)
{
    cli_fail(running->args, EXIT_FAILED, complaint);
    return false;
}

static bool open_services(struct running *running)
{
    struct services *services = &running->services;
    struct slice complaint;
    if (running->config.jobs && !mail_settings_check(&running->config, running->args->arena, &complaint)) {
        cli_fail(running->args, EXIT_USAGE, complaint);
        return false;
    }
    if (!cli_services_open(running->args, &running->config, services))
        return false;
    services->operations = api_operations;
    if (!cli_issuer_open(running->args, services) ||
        !cli_cache_open(running->args, services, (size_t)running->config.cache_bytes))
        return false;
    if (!store_replicas_start(services->store, services->cache))
        return refuse(running, SLICE("the system gives no threads to watch the replicas"));
    services->key_usage = key_usage_start(services->store);
    return services->key_usage != NULL ||
           refuse(running, SLICE("the system gives no thread to count the use of keys"));
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
    if (running->server == NULL)
        return refuse(running, complaint);
    return true;
}

static bool start_jobs(struct running *running)
{
    if (running->config.jobs)
        running->jobs = jobs_start(&running->services);
    return !running->config.jobs || running->jobs != NULL ||
           refuse(running, SLICE("the system gives no thread for the jobs"));
}

static void tell_manager(struct slice state)
{
    if (!notify_manager(state))
        log_message(LOG_WARN, "the service manager cannot be told %.*s: %s", SLICE_ARG(state),
                    strerror(errno));
}

/* The line that says where it listens, with the port that was picked for :0. Tests and scripts read it. */
static void announce(const struct running *running)
{
    struct slice host = running->config.listen;
    while (host.len > 0 && host.ptr[host.len - 1] != ':')
        host.len--;
    printf("listening on http://%.*s%u\n", SLICE_ARG(host), server_port(running->server));
    fflush(stdout);
    tell_manager(SLICE("READY=1"));
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
    if (running->jobs != NULL)
        jobs_stop(running->jobs);
    if (running->gateway != NULL)
        gateway_free(running->gateway);
    key_usage_stop(running->services.key_usage);
    cli_observe_stop(running->args->arena);
    cli_services_close(&running->services);
    return true;
}

static int run_serve(const struct args *args)
{
    struct running running = {.args = args};
    if (!cli_config(args, &running.config))
        return EXIT_USAGE;
    cli_claim_signals(&running.ends);
    bool is_good = open_services(&running) && start(&running);
    if (is_good) {
        announce(&running);
        enum cli_wait wait = cli_services_wait(args, &running.services, &running.ends);
        is_good = wait == CLI_ENDED || (wait == CLI_OPEN && start_jobs(&running));
        if (is_good && wait == CLI_OPEN)
            cli_run_until(args, &running.ends);
        tell_manager(SLICE("STOPPING=1"));
        log_message(LOG_INFO, "stopping");
    }
    /* A second Ctrl-C does not wait for what runs. */
    pthread_sigmask(SIG_UNBLOCK, &running.ends, NULL);
    return stop(&running) && is_good ? EXIT_OK : EXIT_FAILED;
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
        "standard error (SOUK_LOG). While a PostgreSQL cannot be reached it answers 503 and waits for it.",
    .options = SERVE_OPTIONS,
    .run = run_serve,
};
