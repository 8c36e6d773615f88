/* The worker pool: three queues under one lock. */
#include "http/workers.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

#define PRIORITY_COUNT (PRIORITY_CHECKOUT + 1)

struct queue {
    struct worker_job *first;
    struct worker_job *last;
};

struct workers {
    struct workers_options options;
    pthread_mutex_t lock;
    pthread_cond_t work_waits;
    struct queue queues[PRIORITY_COUNT];
    unsigned queued;
    bool is_stopping;
    unsigned started;
    pthread_t threads[];
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

static void *worker_main(void *arg)
{
    struct workers *workers = arg;
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
            pthread_cond_wait(&workers->work_waits, &workers->lock);
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

struct workers *workers_new(const struct workers_options *options)
{
    CHECK(options->threads > 0 && options->queue_max > 0);
    struct workers *workers = calloc(1, sizeof(*workers) + options->threads * sizeof(workers->threads[0]));
    CHECK(workers != NULL);
    workers->options = *options;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work_waits, NULL);
    for (unsigned i = 0; i < options->threads; i++) {
        if (pthread_create(&workers->threads[i], NULL, worker_main, workers) != 0) {
            workers_free(workers);
            return NULL;
        }
        workers->started++;
        (void)pthread_setname_np(workers->threads[i], options->name);
    }
    return workers;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->is_stopping = true;
    pthread_cond_broadcast(&workers->work_waits);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->started; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->work_waits);
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
        pthread_cond_signal(&workers->work_waits);
    }
    pthread_mutex_unlock(&workers->lock);
    return is_taken;
}
