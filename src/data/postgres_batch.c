/* Transactions of one kind that wait at the same time, done as one: the lane of PostgreSQL. It has no thread
 * and no connection of its own. Whoever comes while nobody leads becomes the leader, takes what waits and
 * does it on its own connection; while it does, the next ones gather. So one alone waits for nobody, and the
 * busier the shop, the larger the batch: a row that all want is locked, changed and written once for all.
 *
 * When its work is done and only the COMMIT is left, the lead passes on: the next batch works while the disk
 * writes this one. Who wants the same rows meets their locks there, and goes on when they are free. */
#include "data/postgres_private.h"

#include "base/clock.h"
#include "base/metrics.h"

/* After a batch of many its callers come back one by one: the first of them waits for the others, but for no
 * longer than a part of what a batch takes. Without it batches of one and of all the others took turns. */
#define GATHER_US_MAX 1000
#define GATHER_PART 4

METRIC_DEFINE(BATCHES, "souk_postgres_batches_total", "Transactions that did the work of several callers",
              NULL, METRIC_COUNTER);
METRIC_DEFINE(CALLS, "souk_postgres_batched_calls_total", "Calls done together with others, or ready to be",
              NULL, METRIC_COUNTER);
METRIC_DEFINE(ALONE, "souk_postgres_batched_calls_alone_total",
              "Calls that could not be done together and ran alone", NULL, METRIC_COUNTER);

/* A caller, on its own stack. */
struct postgres_waiter {
    const struct db_batch *batch;
    void *arg;
    uint64_t keys[DB_BATCH_KEYS];
    int64_t deadline_us; /* monotonic; 0: none */
    enum db_result result;
    bool is_done;
    bool is_taken;          /* some leader is at it */
    pthread_cond_t changed; /* it is done, or it shall lead, or enough others came */
    struct postgres_waiter *next;
};

/* What one leader does at once. */
struct gathering {
    struct postgres_batches *batches;
    bool has_passed_on;
    struct postgres_waiter *waiters[DB_BATCH_MAX];
    void *args[DB_BATCH_MAX];
    enum db_result results[DB_BATCH_MAX];
    size_t count;
};

void postgres_batches_init(struct postgres_batches *batches)
{
    pthread_mutex_init(&batches->mutex, NULL);
    batches->first = NULL;
    batches->waiting = 0;
    batches->is_led = false;
    batches->gatherer = NULL;
    batches->usual = 0;
    batches->usual_us = 0;
}

void postgres_batches_release(struct postgres_batches *batches)
{
    CHECK(batches->first == NULL);
    pthread_mutex_destroy(&batches->mutex);
}

static bool shares_a_key(const struct gathering *gathering, const struct postgres_waiter *waiter)
{
    for (size_t i = 0; i < gathering->count; i++) {
        const uint64_t *taken = gathering->waiters[i]->keys;
        for (size_t k = 0; k < DB_BATCH_KEYS; k++) {
            if (waiter->keys[k] != 0 && waiter->keys[k] == taken[k])
                return true;
        }
    }
    return false;
}

/* Takes from the queue what may be done together with its first; the others keep their order. */
static void gather(struct postgres_batches *batches, struct gathering *gathering)
{
    gathering->count = 0;
    struct postgres_waiter **link = &batches->first;
    while (*link != NULL && gathering->count < DB_BATCH_MAX) {
        struct postgres_waiter *waiter = *link;
        bool fits = gathering->count == 0 ||
                    (waiter->batch == gathering->waiters[0]->batch && !shares_a_key(gathering, waiter));
        if (!fits) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        batches->waiting--;
        waiter->is_taken = true;
        gathering->args[gathering->count] = waiter->arg;
        gathering->waiters[gathering->count++] = waiter;
    }
}

/* With the mutex held. */
static void pass_on(struct postgres_batches *batches)
{
    batches->is_led = false;
    if (batches->first != NULL)
        pthread_cond_signal(&batches->first->changed);
}

static enum db_result run_together(struct db *db, void *arg)
{
    struct gathering *gathering = arg;
    for (size_t i = 0; i < gathering->count; i++)
        gathering->results[i] = DB_CONFLICT;
    enum db_result result =
        gathering->waiters[0]->batch->together(db, gathering->args, gathering->results, gathering->count);
    if (!gathering->has_passed_on) { /* it may run again */
        gathering->has_passed_on = true;
        pthread_mutex_lock(&gathering->batches->mutex);
        pass_on(gathering->batches);
        pthread_mutex_unlock(&gathering->batches->mutex);
    }
    return result;
}

/* The leader works for all: as long as the most patient of them waits. */
static int64_t last_deadline_us(const struct gathering *gathering)
{
    CHECK(gathering->count > 0);
    int64_t last_us = gathering->waiters[0]->deadline_us;
    for (size_t i = 1; i < gathering->count && last_us != 0; i++) {
        int64_t deadline_us = gathering->waiters[i]->deadline_us;
        last_us = deadline_us == 0 || deadline_us > last_us ? deadline_us : last_us;
    }
    return last_us;
}

/* Once: what a batch fails for is one of its calls, and each of them runs alone next. But where it may have
 * been committed none may run again. */
static void run(struct db *db, struct gathering *gathering)
{
    int64_t own_deadline_us = db->deadline_us;
    db->deadline_us = last_deadline_us(gathering);
    enum db_result result = postgres_transaction_at(db, "READ COMMITTED", run_together, gathering);
    db->deadline_us = own_deadline_us;
    enum db_result failure = ((struct postgres_connection *)db)->is_in_doubt ? DB_ERROR : DB_CONFLICT;
    metric_add(&BATCHES, 1);
    metric_add(&CALLS, (int64_t)gathering->count);
    for (size_t i = 0; i < gathering->count; i++)
        gathering->waiters[i]->result = result == DB_DONE ? gathering->results[i] : failure;
}

static void enqueue(struct postgres_batches *batches, struct postgres_waiter *waiter)
{
    struct postgres_waiter **link = &batches->first;
    while (*link != NULL)
        link = &(*link)->next;
    *link = waiter;
    if (++batches->waiting >= batches->wanted && batches->gatherer != NULL)
        pthread_cond_signal(&batches->gatherer->changed);
}

/* Until half of the usual number have come. */
static void wait_for_others(struct postgres_batches *batches, struct postgres_waiter *self)
{
    int64_t patience_us = batches->usual_us / GATHER_PART;
    int64_t until_us = clock_monotonic_us() + (patience_us < GATHER_US_MAX ? patience_us : GATHER_US_MAX);
    batches->wanted = batches->usual / 2;
    batches->gatherer = self;
    while (batches->waiting < batches->wanted &&
           clock_cond_wait(&self->changed, &batches->mutex, until_us) == 0)
        ;
    batches->gatherer = NULL;
}

/* One batch, of what waits. With the mutex held, and nobody leading. */
static void lead(struct postgres_batches *batches, struct db *db, struct postgres_waiter *self)
{
    struct gathering gathering = {.batches = batches};
    batches->is_led = true;
    wait_for_others(batches, self);
    gather(batches, &gathering);
    pthread_mutex_unlock(&batches->mutex);
    int64_t began_us = clock_monotonic_us();
    run(db, &gathering);
    pthread_mutex_lock(&batches->mutex);
    size_t fading = batches->usual * 3 / 4;
    batches->usual = gathering.count > fading ? gathering.count : fading;
    batches->usual_us = clock_monotonic_us() - began_us;
    for (size_t i = 0; i < gathering.count; i++) {
        gathering.waiters[i]->is_done = true;
        pthread_cond_signal(&gathering.waiters[i]->changed);
    }
    if (!gathering.has_passed_on) /* the transaction did not even begin */
        pass_on(batches);
}

/* True when the caller's time is up and nobody is at it: then it is out of the queue, and nothing of it was
 * done. */
static bool wait_for_turn(struct postgres_batches *batches, struct postgres_waiter *self)
{
    if (self->is_taken || self->deadline_us == 0) {
        pthread_cond_wait(&self->changed, &batches->mutex);
        return false;
    }
    if (clock_cond_wait(&self->changed, &batches->mutex, self->deadline_us) == 0 || self->is_taken)
        return false;
    struct postgres_waiter **link = &batches->first;
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    batches->waiting--;
    if (!batches->is_led && batches->first != NULL) /* the wake-up may have been for this one */
        pthread_cond_signal(&batches->first->changed);
    return true;
}

enum db_result postgres_transaction_batched(struct db *db, const struct db_batch *batch,
                                            const uint64_t keys[DB_BATCH_KEYS], void *arg)
{
    struct postgres_batches *batches = &((struct postgres_store *)db->store)->batches;
    struct postgres_waiter self = {
        .batch = batch, .arg = arg, .deadline_us = db->deadline_us, .result = DB_ERROR};
    bool is_too_late = false;
    memcpy(self.keys, keys, sizeof(self.keys));
    CHECK(!postgres_in_transaction(db));
    clock_cond_init(&self.changed);
    pthread_mutex_lock(&batches->mutex);
    enqueue(batches, &self);
    while (!self.is_done && !is_too_late) {
        if (batches->is_led || self.is_taken)
            is_too_late = wait_for_turn(batches, &self);
        else
            lead(batches, db, &self);
    }
    pthread_mutex_unlock(&batches->mutex);
    pthread_cond_destroy(&self.changed);
    if (self.result != DB_CONFLICT)
        return self.result;
    metric_add(&ALONE, 1);
    return postgres_transaction(db, batch->alone, arg);
}
