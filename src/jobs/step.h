/* A step: one bounded piece of one job, run by the jobs' thread (jobs.c) or by a test. */
#pragma once

#include "base/clock.h"
#include "http/services.h"
#include "jobs/mail.h"

#include <stdatomic.h>

struct step {
    const struct services *services;
    struct db *db;
    struct arena *arena; /* empty at the beginning */
    struct mailer *mailer;
    int64_t now_ms;
    const _Atomic bool *is_stopping; /* a step in several parts ends early; NULL: never */
    int64_t ends_us;                 /* monotonic: likewise; 0: never */
    int64_t cart_position;           /* where the sweep of the carts goes on */
    bool has_more;                   /* set by the step: there is work left, run it again soon */
};

static inline bool step_must_end(const struct step *step)
{
    return (step->is_stopping != NULL && atomic_load_explicit(step->is_stopping, memory_order_relaxed)) ||
           (step->ends_us != 0 && clock_monotonic_us() >= step->ends_us);
}
