/* A bounded pool of threads for requests that may block. When its queue is full the least important waits in
 * vain: checkout is served before cart before browse, and what is refused is browse before cart before
 * checkout. A queue that moves too slowly refuses before it is full: what waits long is answered too late,
 * and keeps everything behind it waiting. */
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
    int64_t queued_us; /* the pool's own, monotonic */
    struct worker_job *previous;
    struct worker_job *next;
};

#define PRIORITY_COUNT (PRIORITY_CHECKOUT + 1)

struct workers_options {
    const char *name; /* of the threads, at most 15 bytes */
    unsigned threads; /* 0: whoever calls workers_run_waiting */
    unsigned queue_max;
    /* While the oldest job of a priority has waited for longer, no further one of it is taken: whoever comes
     * now would wait as long, and is better told at once. 0: no bound. */
    int64_t wait_us_max[PRIORITY_COUNT];
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

/* Without threads: runs on the calling thread what waits longest of the most important. False when nothing
 * waits. */
bool workers_run_waiting(struct workers *workers);

/* Queues the job. False when the queue is full of what is as important, or moves too slowly for it: then the
 * job was not taken. When it pushed out a less important one, that is in *evicted (else NULL) and the caller
 * answers for it. */
bool workers_submit(struct workers *workers, struct worker_job *job, struct worker_job **evicted);
