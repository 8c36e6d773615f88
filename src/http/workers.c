/* The worker pool: three queues under one lock. Whoever became idle last is woken first: while there is
 * little to do few threads do it, on connections whose caches are warm, and the others sleep. */
#include "http/workers.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

#define PRIORITY_COUNT (PRIORITY_CHECKOUT + 1)

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

static void queue_remove(struct queue *queue, struct worker_job *job)
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

static void depth_add(struct workers *workers, int amount)
{
    workers->queued += (unsigned)amount;
    if (workers->options.depth != NULL)
        metric_add(workers->options.depth, amount);
}

/* The oldest of the most important, or NULL. With the lock held. */
static struct worker_job *job_take(struct workers *workers)
{
    for (int i = PRIORITY_COUNT - 1; i >= 0; i--) {
        struct worker_job *job = workers->queues[i].first;
        if (job != NULL) {
            queue_remove(&workers->queues[i], job);
            depth_add(workers, -1);
            return job;
        }
    }
    return NULL;
}

/* With the lock held. */
static void wake_one(struct workers *workers)
{
    struct worker *worker = workers->idle;
    if (worker == NULL)
        return;
    workers->idle = worker->next_idle;
    worker->is_idle = false;
    pthread_cond_signal(&worker->work_waits);
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

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct workers *workers = worker->pool;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct worker_job *job = job_take(workers);
        if (job != NULL) {
            pthread_mutex_unlock(&workers->lock);
            job->run(job);
            pthread_mutex_lock(&workers->lock);
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
    CHECK(options->threads > 0 && options->queue_max > 0);
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

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    while (workers->idle != NULL)
        wake_one(workers);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++) {
        pthread_join(workers->list[i].thread, NULL);
        pthread_cond_destroy(&workers->list[i].work_waits);
    }
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}

/* The newest of the least important, if it is less important than `priority`. With the lock held. */
static struct worker_job *job_evict(struct workers *workers, enum priority priority)
{
    for (int i = 0; i < (int)priority; i++) {
        struct worker_job *job = workers->queues[i].last;
        if (job != NULL) {
            queue_remove(&workers->queues[i], job);
            depth_add(workers, -1);
            return job;
        }
    }
    return NULL;
}

bool workers_submit(struct workers *workers, struct worker_job *job, struct worker_job **evicted)
{
    *evicted = NULL;
    bool is_taken = true;
    pthread_mutex_lock(&workers->lock);
    CHECK(!workers->is_stopping);
    if (workers->queued == workers->options.queue_max) {
        *evicted = job_evict(workers, job->priority);
        is_taken = *evicted != NULL;
    }
    if (is_taken) {
        queue_push(&workers->queues[job->priority], job);
        depth_add(workers, 1);
        wake_one(workers);
    }
    pthread_mutex_unlock(&workers->lock);
    return is_taken;
}
