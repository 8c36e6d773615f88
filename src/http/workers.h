/* A bounded pool of threads for requests that may block. When its queue is full the least important waits in
 * vain: checkout is served before cart before browse, and what is refused is browse before cart before
 * checkout. */
#pragma once

#include "base/metrics.h"
#include "http/operation.h"

struct workers;

/* One piece of work. It stays the caller's memory until `run` is called or it is handed back as evicted. */
struct worker_job {
    void (*run)(struct worker_job *job); /* on a worker's thread; NULL: gathered with others like it */
    void (*refuse)(
        struct worker_job *job); /* for whoever submits: in place of `run`, when there is no room */
    enum priority priority;
    struct worker_job *previous;
    struct worker_job *next;
};

struct workers_options {
    const char *name; /* of the threads, at most 15 bytes */
    unsigned threads;
    unsigned queue_max;
    struct metric *depth; /* gauge of what waits; may be NULL */
    /* Runs jobs without a `run`, at most WORKER_GATHER_MAX that waited one behind the other. NULL: there are
     * none. A few workers at once take such jobs, so that there is something to gather, and more of them when
     * many wait. */
    void (*run_gathered)(struct worker_job **jobs, size_t count);
};

/* NULL when the system refuses threads. */
struct workers *workers_new(const struct workers_options *options);
/* Runs what is queued, then ends the threads. Nothing may be submitted any more. */
void workers_free(struct workers *workers);

/* Queues the job. False when the queue is full of what is as important: then the job was not taken. When it
 * pushed out a less important one, that is in *evicted (else NULL) and the caller answers for it. */
bool workers_submit(struct workers *workers, struct worker_job *job, struct worker_job **evicted);
