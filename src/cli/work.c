/* souk work: the background jobs without a server, for a machine of their own or beside `souk serve
 * --no-jobs`. */
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/services.h"
#include "jobs/jobs.h"
#include "jobs/mail.h"

#include <pthread.h>
#include <stdio.h>

static int run_work(const struct args *args)
{
    struct config config;
    struct services services;
    sigset_t ends;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct slice complaint;
    if (!mail_settings_check(&config, args->arena, &complaint))
        return cli_fail(args, EXIT_USAGE, complaint);
    cli_claim_signals(&ends);
    struct jobs *jobs = NULL;
    enum cli_wait wait = CLI_REFUSED;
    /* Its jobs change what servers show: the cache is for telling them. */
    if (cli_services_open(args, &config, &services) && cli_cache_open(args, &services, 0))
        wait = cli_services_wait(args, &services, &ends);
    if (wait == CLI_OPEN) {
        jobs = jobs_start(&services);
        if (jobs == NULL)
            cli_fail(args, EXIT_FAILED, SLICE("the system gives no thread for the jobs"));
    }
    if (jobs != NULL) {
        printf("working\n");
        fflush(stdout);
        cli_run_until(args, &ends);
        log_message(LOG_INFO, "stopping");
        /* A second Ctrl-C does not wait for what runs. */
        pthread_sigmask(SIG_UNBLOCK, &ends, NULL);
        jobs_stop(jobs);
    }
    cli_observe_stop(args->arena);
    cli_services_close(&services);
    return jobs != NULL || wait == CLI_ENDED ? EXIT_OK : EXIT_FAILED;
}

const struct cli_command command_work = {
    .name = "work",
    .summary = "run only the background jobs",
    .details =
        "Delivers the outbox (mail), ends the holds of unpaid orders, asks payment providers about charges without an\n"
        "answer, and sweeps up what is past its time, until SIGTERM or Ctrl-C. `souk serve` does all of it too, unless\n"
        "it is told --no-jobs; both may run on one database at once.",
    .run = run_work,
};
