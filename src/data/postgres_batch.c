/* Transactions of one kind that wait at the same time, done as one: the lane of PostgreSQL. It has no thread
 * and no connection of its own. Whoever comes while nobody leads becomes the leader, takes what waits and
 * does it on its own connection; while it does, the next ones gather. So one alone waits for nobody, and the
 * busier the shop, the larger the batch: a row that all want is locked, changed and written once for all. */
#include "data/postgres_private.h"

#include "base/metrics.h"

static struct metric BATCHES = METRIC(
    "souk_postgres_batches_total", "Transactions that did the work of several callers", NULL, METRIC_COUNTER);
static struct metric CALLS = METRIC("souk_postgres_batched_calls_total",
                                    "Calls done together with others, or ready to be", NULL, METRIC_COUNTER);
static struct metric ALONE =
    METRIC("souk_postgres_batched_calls_alone_total", "Calls that could not be done together and ran alone",
           NULL, METRIC_COUNTER);

/* A caller, on its own stack. */
struct postgres_waiter {
    const struct db_batch *batch;
    void *arg;
    uint64_t keys[DB_BATCH_KEYS];
    enum db_result result;
    bool is_done;
    pthread_cond_t changed; /* it is done, or it shall lead */
    struct postgres_waiter *next;
};

/* What one leader does at once. */
struct gathering {
    struct postgres_waiter *waiters[DB_BATCH_MAX];
    void *args[DB_BATCH_MAX];
    enum db_result results[DB_BATCH_MAX];
    size_t count;
};

void postgres_batches_init(struct postgres_batches *batches)
{
    pthread_mutex_init(&batches->mutex, NULL);
    batches->first = NULL;
    batches->is_led = false;
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
        gathering->args[gathering->count] = waiter->arg;
        gathering->waiters[gathering->count++] = waiter;
    }
}

static enum db_result run_together(struct db *db, void *arg)
{
    struct gathering *gathering = arg;
    for (size_t i = 0; i < gathering->count; i++)
        gathering->results[i] = DB_CONFLICT;
    return gathering->waiters[0]->batch->together(db, gathering->args, gathering->results, gathering->count);
}

/* Once: what a batch fails for is one of its calls, and each of them runs alone next. */
static void lead(struct db *db, struct gathering *gathering)
{
    enum db_result result = postgres_transaction_at(db, "READ COMMITTED", run_together, gathering);
    metric_add(&BATCHES, 1);
    metric_add(&CALLS, (int64_t)gathering->count);
    for (size_t i = 0; i < gathering->count; i++)
        gathering->waiters[i]->result = result == DB_DONE ? gathering->results[i] : DB_CONFLICT;
}

static void enqueue(struct postgres_batches *batches, struct postgres_waiter *waiter)
{
    struct postgres_waiter **link = &batches->first;
    while (*link != NULL)
        link = &(*link)->next;
    *link = waiter;
}

/* Leads until its own call is done; then whoever waits longest leads. With the mutex held. */
static void lead_until_done(struct postgres_batches *batches, struct db *db, struct postgres_waiter *self)
{
    struct gathering gathering;
    batches->is_led = true;
    while (!self->is_done) {
        gather(batches, &gathering);
        pthread_mutex_unlock(&batches->mutex);
        lead(db, &gathering);
        pthread_mutex_lock(&batches->mutex);
        for (size_t i = 0; i < gathering.count; i++) {
            gathering.waiters[i]->is_done = true;
            pthread_cond_signal(&gathering.waiters[i]->changed);
        }
    }
    batches->is_led = false;
    if (batches->first != NULL)
        pthread_cond_signal(&batches->first->changed);
}

enum db_result postgres_transaction_batched(struct db *db, const struct db_batch *batch,
                                            const uint64_t keys[DB_BATCH_KEYS], void *arg)
{
    struct postgres_batches *batches = &((struct postgres_store *)db->store)->batches;
    struct postgres_waiter self = {.batch = batch, .arg = arg};
    memcpy(self.keys, keys, sizeof(self.keys));
    CHECK(!postgres_in_transaction(db));
    pthread_cond_init(&self.changed, NULL);
    pthread_mutex_lock(&batches->mutex);
    enqueue(batches, &self);
    while (!self.is_done && batches->is_led)
        pthread_cond_wait(&self.changed, &batches->mutex);
    if (!self.is_done)
        lead_until_done(batches, db, &self);
    pthread_mutex_unlock(&batches->mutex);
    pthread_cond_destroy(&self.changed);
    if (self.result != DB_CONFLICT)
        return self.result;
    metric_add(&ALONE, 1);
    return postgres_transaction(db, batch->alone, arg);
}
