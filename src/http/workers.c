/* The worker pool: three queues under one lock. Whoever became idle last is woken first: while there is
 * little to do few threads do it, on connections whose caches are warm, and the others sleep. */
#include "http/workers.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdlib.h>

static struct metric SHED[PRIORITY_COUNT] = {
    METRIC("souk_requests_shed_total", "Requests refused because too much waited, or for too long",
           "priority=\"browse\"", METRIC_COUNTER),
    METRIC("souk_requests_shed_total", "", "priority=\"cart\"", METRIC_COUNTER),
    METRIC("souk_requests_shed_total", "", "priority=\"checkout\"", METRIC_COUNTER),
};
HISTOGRAM_DEFINE(WAITS, "souk_worker_wait_seconds", "How long a request waited for a worker");
METRIC_LIST(SHED_browse, SHED[PRIORITY_BROWSE]);
METRIC_LIST(SHED_cart, SHED[PRIORITY_CART]);
METRIC_LIST(SHED_checkout, SHED[PRIORITY_CHECKOUT]);

struct queue {
    struct worker_job *first;
    struct worker_job *last;
};

struct worker {
    struct workers *pool;
    pthread_t thread;
    pthread_cond_t work_waits;
    bool is_idle;
    struct worker *next_idle;
};

struct workers {
    struct workers_options options;
    pthread_mutex_t lock;
    struct queue queues[PRIORITY_COUNT];
    struct worker *idle; /* the newest first */
    unsigned queued;
    /* Of jobs that are gathered: */
    unsigned gathered_queued;
    unsigned gatherers;        /* workers that run some now */
    unsigned gatherers_called; /* woken for some, and not yet there */
    bool is_stopping;
    unsigned started;
    struct worker list[];
};

static void queue_push(struct queue *queue, struct worker_job *job)
{
    job->next = NULL;
    job->previous = queue->last;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static void queue_unlink(struct queue *queue, struct worker_job *job)
{
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        queue->first = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        queue->last = job->previous;
    job->previous = NULL;
    job->next = NULL;
}

static bool is_gathered(const struct worker_job *job)
{
    return job->run == NULL;
}

/* With the lock held, as all that follows. */
static void job_push(struct workers *workers, struct worker_job *job)
{
    queue_push(&workers->queues[job->priority], job);
    workers->queued++;
    workers->gathered_queued += is_gathered(job);
    if (workers->options.depth != NULL)
        metric_add(workers->options.depth, 1);
}

static void job_remove(struct workers *workers, struct worker_job *job)
{
    queue_unlink(&workers->queues[job->priority], job);
    workers->queued--;
    workers->gathered_queued -= is_gathered(job);
    if (workers->gathered_queued == 0)
        workers->gatherers_called = 0; /* whoever comes for them finds none */
    if (workers->options.depth != NULL)
        metric_add(workers->options.depth, -1);
}

/* The oldest of the most important, and what may be gathered with it. */
static size_t jobs_take(struct workers *workers, struct worker_job *jobs[WORKER_GATHER_MAX])
{
    size_t count = 0;
    int i = PRIORITY_COUNT - 1;
    while (i > 0 && workers->queues[i].first == NULL)
        i--;
    struct worker_job *job;
    while (count < WORKER_GATHER_MAX && (job = workers->queues[i].first) != NULL) {
        if (count > 0 && !is_gathered(job))
            break;
        job_remove(workers, job);
        jobs[count++] = job;
        if (!is_gathered(job))
            break;
    }
    return count;
}

/* False when none is idle: one of those at work will look for more before it rests. */
static bool wake_one(struct workers *workers)
{
    struct worker *worker = workers->idle;
    if (worker == NULL)
        return false;
    workers->idle = worker->next_idle;
    worker->is_idle = false;
    pthread_cond_signal(&worker->work_waits);
    return true;
}

/* For the job that was pushed, unless one that gathers will take it soon. */
static void wake_for(struct workers *workers, const struct worker_job *job)
{
    if (!is_gathered(job))
        (void)wake_one(workers);
    else if (workers->gatherers + workers->gatherers_called < WORKER_GATHERERS ||
             workers->gathered_queued >= WORKER_GATHER_MAX / 2)
        workers->gatherers_called += wake_one(workers);
}

static void sleep_until_woken(struct worker *worker)
{
    struct workers *workers = worker->pool;
    worker->is_idle = true;
    worker->next_idle = workers->idle;
    workers->idle = worker;
    while (worker->is_idle)
        pthread_cond_wait(&worker->work_waits, &workers->lock);
}

static void jobs_run(struct workers *workers, struct worker_job **jobs, size_t count)
{
    bool gathers = is_gathered(jobs[0]);
    if (gathers) {
        workers->gatherers++;
        workers->gatherers_called -= workers->gatherers_called > 0;
    } else if (workers->gathered_queued > 0) {
        (void)wake_one(workers); /* this one may have been woken for them */
    }
    pthread_mutex_unlock(&workers->lock);
    int64_t now_us = clock_monotonic_us();
    for (size_t i = 0; i < count; i++)
        histogram_observe_us(&WAITS, now_us - jobs[i]->queued_us);
    if (gathers)
        workers->options.run_gathered(jobs, count);
    else
        jobs[0]->run(jobs[0]);
    pthread_mutex_lock(&workers->lock);
    workers->gatherers -= gathers;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct workers *workers = worker->pool;
    struct worker_job *jobs[WORKER_GATHER_MAX];
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        size_t count = jobs_take(workers, jobs);
        if (count > 0) {
            jobs_run(workers, jobs, count);
        } else if (workers->is_stopping) {
            break;
        } else {
            sleep_until_woken(worker);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

struct workers *workers_new(const struct workers_options *options)
{
    CHECK(options->queue_max > 0);
    struct workers *workers = calloc(1, sizeof(*workers) + options->threads * sizeof(workers->list[0]));
    CHECK(workers != NULL);
    workers->options = *options;
    pthread_mutex_init(&workers->lock, NULL);
    for (unsigned i = 0; i < options->threads; i++) {
        struct worker *worker = &workers->list[i];
        worker->pool = workers;
        pthread_cond_init(&worker->work_waits, NULL);
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            pthread_cond_destroy(&worker->work_waits);
            workers_free(workers);
            return NULL;
        }
        workers->started++;
        (void)pthread_setname_np(worker->thread, options->name);
    }
    return workers;
}

bool workers_run_waiting(struct workers *workers)
{
    struct worker_job *jobs[WORKER_GATHER_MAX];
    CHECK(workers->options.threads == 0);
    pthread_mutex_lock(&workers->lock);
    size_t count = jobs_take(workers, jobs);
    if (count > 0)
        jobs_run(workers, jobs, count);
    pthread_mutex_unlock(&workers->lock);
    return count > 0;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    while (workers->options.threads == 0 && workers_run_waiting(workers))
        ;
    pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    while (wake_one(workers))
        ;
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++) {
        pthread_join(workers->list[i].thread, NULL);
        pthread_cond_destroy(&workers->list[i].work_waits);
    }
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

/* The newest of the least important, if it is less important than `priority`. */
static struct worker_job *job_evict(struct workers *workers, enum priority priority)
{
    for (int i = 0; i < (int)priority; i++) {
        struct worker_job *job = workers->queues[i].last;
        if (job != NULL) {
            job_remove(workers, job);
            return job;
        }
    }
    return NULL;
}

static bool is_too_slow(const struct workers *workers, enum priority priority, int64_t now_us)
{
    const struct worker_job *oldest = workers->queues[priority].first;
    int64_t wait_us_max = workers->options.wait_us_max[priority];
    return wait_us_max > 0 && oldest != NULL && now_us - oldest->queued_us > wait_us_max;
}

bool workers_submit(struct workers *workers, struct worker_job *job, struct worker_job **evicted)
{
    *evicted = NULL;
    job->queued_us = clock_monotonic_us();
    pthread_mutex_lock(&workers->lock);
    CHECK(!workers->is_stopping);
    bool is_taken = !is_too_slow(workers, job->priority, job->queued_us);
    if (is_taken && workers->queued == workers->options.queue_max) {
        *evicted = job_evict(workers, job->priority);
        is_taken = *evicted != NULL;
    }
    if (is_taken) {
        job_push(workers, job);
        wake_for(workers, job);
    }
    const struct worker_job *shed = is_taken ? *evicted : job;
    if (shed != NULL)
        metric_add(&SHED[shed->priority], 1);
    pthread_mutex_unlock(&workers->lock);
    return is_taken;
}
