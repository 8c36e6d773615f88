/* The jobs' thread: a table of jobs, run in turn. A job does one bounded step at a time, so that none keeps
 * the others waiting; where a step left work behind, the next round begins at once. */
#include "jobs/jobs.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "jobs/outbox_delivery.h"
#include "jobs/step.h"
#include "jobs/sweeps.h"
#include "shop/order.h"

#include <pthread.h>
#include <stdlib.h>

#define ARENA_BYTES ((size_t)64 << 20)
#define BATCH 50
#define SLOW_BEAT_MS INT64_C(60000)
#define TEST_INTERVAL_MS 1000 /* a shorter interval is a test's: then every beat is a slow one too */
/* How many of the provider's time limits pass before it is asked again: what is still being charged must not
 * be taken for refused. */
#define PAYMENT_TIMEOUTS_WAITED 4

METRIC_DEFINE(EXPIRED_ORDERS, "souk_orders_expired_total", "Orders cancelled because their hold ended unpaid",
              NULL, METRIC_COUNTER);
METRIC_DEFINE(RECONCILED, "souk_payments_reconciled_total", "Payments settled by asking the provider again",
              NULL, METRIC_COUNTER);

/* ---- the jobs ---- */

static enum db_result expire_orders(struct step *step)
{
    int64_t expired = 0;
    enum db_result result =
        orders_expire(step->services, step->db, step->arena, step->now_ms, BATCH, &expired);
    metric_add(&EXPIRED_ORDERS, expired);
    step->has_more = expired >= BATCH;
    return result;
}

static enum db_result reconcile_payments(struct step *step)
{
    const struct config *config = step->services->config;
    int64_t settled = 0;
    enum db_result result =
        payments_reconcile(step->services, step->db, step->arena, step->now_ms,
                           config->payment_timeout_ms * PAYMENT_TIMEOUTS_WAITED, BATCH, &settled);
    metric_add(&RECONCILED, settled);
    step->has_more = settled >= BATCH;
    return result;
}

static enum db_result deliver_outbox(struct step *step)
{
    enum db_result result = outbox_deliver(step);
    outbox_measure(step->db);
    return result;
}

struct job {
    enum db_result (*run)(struct step *step); /* DB_DONE or DB_ERROR */
    bool is_slow;                             /* on the slow beat only */
    struct metric runs;
    struct metric failures;
    struct histogram duration;
};

static const char RUNS[] = "souk_jobs_runs_total";
static const char RUNS_HELP[] = "Steps of background jobs";
static const char FAILURES[] = "souk_jobs_failures_total";
static const char FAILURES_HELP[] = "Steps of background jobs that failed";
static const char DURATION[] = "souk_jobs_duration_seconds";
static const char DURATION_HELP[] = "Duration of a step of a background job";
METRIC_FAMILY(runs_of_job, RUNS, RUNS_HELP, "task=\"\"", METRIC_COUNTER);
METRIC_FAMILY(failures_of_job, FAILURES, FAILURES_HELP, "task=\"\"", METRIC_COUNTER);
HISTOGRAM_FAMILY(duration_of_job, DURATION, DURATION_HELP, "task");

#define JOB(name, function, on_slow_beat)                                                                    \
    {                                                                                                        \
        .run = (function), .is_slow = (on_slow_beat),                                                        \
        .runs = METRIC(RUNS, RUNS_HELP, "task=\"" name "\"", METRIC_COUNTER),                                \
        .failures = METRIC(FAILURES, FAILURES_HELP, "task=\"" name "\"", METRIC_COUNTER),                    \
        .duration = HISTOGRAM(DURATION, DURATION_HELP, "task", name)                                         \
    }

static struct job JOBS[] = {
    JOB("expire_orders", expire_orders, false),
    JOB("reconcile_payments", reconcile_payments, false),
    JOB("deliver_outbox", deliver_outbox, false),
    JOB("sweep_idempotency_records", sweep_idempotency_records, true),
    JOB("sweep_carts", sweep_carts, true),
    JOB("sweep_sessions", sweep_sessions, true),
    JOB("sweep_account_tokens", sweep_account_tokens, true),
    JOB("sweep_outbox", sweep_outbox, true),
    JOB("sweep_signing_keys", sweep_signing_keys, true),
    JOB("sweep_audit_log", sweep_audit_log, true),
    JOB("sweep_attempts", sweep_attempts, true),
    JOB("sweep_login_challenges", sweep_login_challenges, true),
};

/* ---- the thread ---- */

struct jobs {
    const struct services *services;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the wait */
    pthread_cond_t stopped;
    _Atomic bool is_stopping;
    struct arena arena;
    struct mailer *mailer;
    struct db *db; /* NULL: to be opened */
    int64_t cart_position;
    int64_t slow_beat_at_us;
    int64_t ends_us;              /* of jobs_run_until; 0: none */
    int64_t deadline_us;          /* likewise, of its statements */
    bool is_left[COUNT_OF(JOBS)]; /* jobs of the slow beat that were not finished */
};

/* A new connection after a failure: the old one may be broken. */
static void drop_connection(struct jobs *jobs)
{
    if (jobs->db != NULL)
        store_disconnect(jobs->db);
    jobs->db = NULL;
}

static bool has_connection(struct jobs *jobs)
{
    if (jobs->db == NULL)
        jobs->db = store_connect(jobs->services->store);
    if (jobs->db != NULL)
        db_set_deadline(jobs->db, jobs->deadline_us);
    return jobs->db != NULL;
}

static enum db_result run_step(struct jobs *jobs, struct job *job, bool *has_more)
{
    int64_t began_us = clock_monotonic_us();
    arena_reset(&jobs->arena);
    struct step step = {
        .services = jobs->services,
        .db = jobs->db,
        .arena = &jobs->arena,
        .mailer = jobs->mailer,
        .now_ms = clock_now_ms(),
        .is_stopping = &jobs->is_stopping,
        .ends_us = jobs->ends_us,
        .cart_position = jobs->cart_position,
    };
    enum db_result result = job->run(&step);
    jobs->cart_position = step.cart_position;
    *has_more = step.has_more;
    metric_add(&job->runs, 1);
    histogram_observe_us(&job->duration, clock_monotonic_us() - began_us);
    if (result == DB_ERROR) {
        metric_add(&job->failures, 1);
        log_message(LOG_WARN, "a background job failed and will be tried again: %s",
                    job->duration.label_value);
    }
    return result;
}

/* Every job that is due, once. Whether another round should follow at once. */
static bool run_round(struct jobs *jobs)
{
    bool is_slow_beat = clock_monotonic_us() >= jobs->slow_beat_at_us;
    bool has_more = false;
    for (size_t i = 0; i < COUNT_OF(JOBS) && !atomic_load(&jobs->is_stopping); i++) {
        if (JOBS[i].is_slow && !is_slow_beat && !jobs->is_left[i])
            continue;
        if (!has_connection(jobs))
            return false;
        /* A job that fails holds up no other. */
        if (run_step(jobs, &JOBS[i], &jobs->is_left[i]) == DB_ERROR) {
            jobs->is_left[i] = false;
            drop_connection(jobs);
        }
        has_more = has_more || jobs->is_left[i];
    }
    if (is_slow_beat) {
        int64_t interval_ms = jobs->services->config->job_interval_ms;
        int64_t beat_ms =
            interval_ms < TEST_INTERVAL_MS || interval_ms > SLOW_BEAT_MS ? interval_ms : SLOW_BEAT_MS;
        jobs->slow_beat_at_us = clock_monotonic_us() + beat_ms * 1000;
    }
    return has_more;
}

/* Until the next round, or until it is to end. */
static void wait_ms(struct jobs *jobs, int64_t duration_ms)
{
    int64_t until_us = clock_monotonic_us() + duration_ms * 1000;
    pthread_mutex_lock(&jobs->lock);
    while (!atomic_load(&jobs->is_stopping) && clock_cond_wait(&jobs->stopped, &jobs->lock, until_us) == 0)
        ;
    pthread_mutex_unlock(&jobs->lock);
}

static void *jobs_run(void *arg)
{
    struct jobs *jobs = arg;
    pthread_setname_np(pthread_self(), "souk-jobs");
    while (!atomic_load(&jobs->is_stopping)) {
        if (!run_round(jobs))
            wait_ms(jobs, jobs->services->config->job_interval_ms);
    }
    drop_connection(jobs);
    return NULL;
}

/* ---- without the thread ---- */

static bool job_is(const struct job *job, struct slice name)
{
    return slice_is_absent(name) || slice_is(name, job->duration.label_value);
}

bool jobs_has(struct slice name)
{
    bool is_there = false;
    for (size_t i = 0; i < COUNT_OF(JOBS) && !slice_is_absent(name); i++)
        is_there = is_there || job_is(&JOBS[i], name);
    return is_there;
}

/* One job to its end: nothing is left, it failed, or the time is over. */
static void run_out(struct jobs *jobs, struct job *job, struct jobs_outcome *outcome)
{
    bool has_more = true, is_good = true;
    while (has_more && is_good && clock_monotonic_us() < jobs->ends_us) {
        is_good = has_connection(jobs) && run_step(jobs, job, &has_more) != DB_ERROR;
        outcome->steps++;
    }
    if (!is_good) {
        drop_connection(jobs);
        outcome->failed++;
    }
    outcome->is_left = outcome->is_left || (is_good && has_more);
}

void jobs_run_until(struct jobs *jobs, struct slice name, int64_t ends_us, int64_t deadline_us,
                    struct jobs_outcome *outcome)
{
    *outcome = (struct jobs_outcome){.run = 0};
    jobs->ends_us = ends_us;
    jobs->deadline_us = deadline_us;
    for (size_t i = 0; i < COUNT_OF(JOBS); i++) {
        if (!job_is(&JOBS[i], name))
            continue;
        outcome->run++;
        run_out(jobs, &JOBS[i], outcome);
    }
}

/* ---- starting and stopping ---- */

void jobs_close(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    drop_connection(jobs);
    if (jobs->mailer != NULL)
        jobs->mailer->release(jobs->mailer);
    arena_release(&jobs->arena);
    pthread_cond_destroy(&jobs->stopped);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

struct jobs *jobs_open(const struct services *services)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (jobs == NULL)
        return NULL;
    pthread_mutex_init(&jobs->lock, NULL);
    clock_cond_init(&jobs->stopped);
    jobs->services = services;
    jobs->mailer = mailer_new(services->config);
    metric_add(&EXPIRED_ORDERS, 0); /* shown from the start */
    metric_add(&RECONCILED, 0);
    for (size_t i = 0; i < COUNT_OF(JOBS); i++)
        metric_add(&JOBS[i].failures, 0);
    if (jobs->mailer == NULL || !arena_init(&jobs->arena, ARENA_BYTES)) {
        jobs_close(jobs);
        return NULL;
    }
    return jobs;
}

struct jobs *jobs_start(const struct services *services)
{
    struct jobs *jobs = jobs_open(services);
    if (jobs == NULL || pthread_create(&jobs->thread, NULL, jobs_run, jobs) == 0)
        return jobs;
    jobs_close(jobs);
    return NULL;
}

void jobs_stop(struct jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    atomic_store(&jobs->is_stopping, true);
    pthread_cond_signal(&jobs->stopped);
    pthread_mutex_unlock(&jobs->lock);
    pthread_join(jobs->thread, NULL);
    jobs_close(jobs);
}
