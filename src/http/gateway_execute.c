/* Who runs the handler: this thread, a worker, the password pool or the write lane. Where the database is on
 * another machine, transports' threads run nothing that asks it. */
#include "base/clock.h"
#include "http/gateway_private.h"
#include "http/idempotency.h"

#include <stdlib.h>

#define GATHERED_US_MAX INT64_C(200000) /* reads done together wait for each other no longer */

/* ---- each thread's connection ---- */

/* Set on the threads of the pools. */
static _Thread_local bool may_wait;

void gateway_allow_waiting(void)
{
    may_wait = true;
}

struct db *gateway_thread_db(struct gateway *gateway, const struct exchange *x)
{
    CHECK(gateway->reads_inline || may_wait);
    struct thread_context *context = pthread_getspecific(gateway->context_key);
    if (context == NULL) {
        context = calloc(1, sizeof(*context));
        CHECK(context != NULL);
        CHECK(pthread_setspecific(gateway->context_key, context) == 0);
        pthread_mutex_lock(&gateway->contexts_lock);
        context->next = gateway->contexts;
        gateway->contexts = context;
        pthread_mutex_unlock(&gateway->contexts_lock);
    }
    if (context->db == NULL)
        context->db = store_connect(gateway->services->store);
    if (context->db != NULL)
        db_set_deadline(context->db, x->deadline_us);
    return context->db;
}

/* The one place where a read chooses. Staff see what they have just changed. */
struct db *gateway_read_db(struct gateway *gateway, struct exchange *x)
{
    struct db *primary = gateway_thread_db(gateway, x);
    if (!x->request.operation->reads_replica || principal_sees_drafts(&x->request.principal))
        return primary;
    struct thread_context *context = pthread_getspecific(gateway->context_key);
    struct db *replica = store_read_connection(gateway->services->store, &context->replica, &x->cache_ticket);
    if (replica == NULL)
        return primary;
    db_set_deadline(replica, x->deadline_us);
    return replica;
}

void exchange_set_unavailable(struct exchange *x, const char *detail)
{
    x->status = problem(&x->response, PROBLEM_UNAVAILABLE, "%s", detail);
    response_header(&x->response, "Retry-After", SLICE("1"));
}

/* ---- requests with the same Idempotency-Key at the same time ---- */

static struct flight_stripe *flight_stripe(struct exchange *x)
{
    return &x->gateway->flights[x->flight.scope[0] % FLIGHT_STRIPES];
}

/* False when one with the same scope is running. */
static bool flight_begin(struct exchange *x)
{
    if (!x->request.idempotency.is_present)
        return true;
    memcpy(x->flight.scope, x->request.idempotency.scope, sizeof(x->flight.scope));
    struct flight_stripe *stripe = flight_stripe(x);
    bool is_running = false;
    pthread_mutex_lock(&stripe->lock);
    for (const struct flight *other = stripe->first; other != NULL && !is_running; other = other->next)
        is_running = memcmp(other->scope, x->flight.scope, sizeof(x->flight.scope)) == 0;
    if (!is_running) {
        x->flight.next = stripe->first;
        stripe->first = &x->flight;
        x->flight.is_registered = true;
    }
    pthread_mutex_unlock(&stripe->lock);
    return !is_running;
}

static void flight_end(struct exchange *x)
{
    if (!x->flight.is_registered)
        return;
    struct flight_stripe *stripe = flight_stripe(x);
    pthread_mutex_lock(&stripe->lock);
    struct flight **link = &stripe->first;
    while (*link != &x->flight)
        link = &(*link)->next;
    *link = x->flight.next;
    pthread_mutex_unlock(&stripe->lock);
    x->flight.is_registered = false;
}

/* ---- what an idempotency record holds ---- */

/* The reply as a message: its headers, an empty line, what the handler wrote. What the gateway adds it adds
 * again. */
static struct slice record_body(struct exchange *x)
{
    const struct response *response = &x->response;
    struct buf text;
    buf_init(&text, x->arena);
    for (unsigned i = 0; i < response->header_count; i++)
        buf_format(&text, "%s: %.*s\n", response->headers[i].name, SLICE_ARG(response->headers[i].value));
    buf_format(&text, "Version: %lld\n\n", (long long)response->version);
    buf_append(&text, response_content(response));
    return text.overflow ? SLICE_ABSENT : buf_slice(&text);
}

/* Fills the response from a record as record_body wrote it. */
static void record_restore(struct exchange *x, const struct idempotency_record *record)
{
    struct response *response = &x->response;
    struct slice rest = record->body;
    struct slice line;
    while (slice_split(&rest, '\n', &line) && line.len > 0) {
        struct slice value = line;
        struct slice name;
        (void)slice_split(&value, ':', &name);
        value = slice_trim(value);
        long long version;
        if (slice_is(name, "Version") && slice_to_int64(value, &version))
            response_version(response, version);
        else
            response_header(response, arena_copy(x->arena, name).ptr, value);
    }
    if (!slice_is_absent(rest))
        buf_append(&response->body, rest);
    x->is_replay = true;
    x->status = (enum http_status)record->status;
}

/* Whether the gateway keeps the record of this request. */
static bool keeps_record(const struct exchange *x)
{
    return x->request.idempotency.is_present && !x->request.operation->handles_replay;
}

/* Looks for a record. True when the status stands: a replay, a refusal, a failure. */
static bool answer_from_record(struct exchange *x, struct db *db)
{
    if (!keeps_record(x))
        return false;
    enum idempotency_state state;
    struct idempotency_record record;
    if (idempotency_find(&x->request, db, &state, &record) != DB_DONE) {
        x->status = problem_database(&x->response, DB_ERROR);
        return true;
    }
    switch (state) {
    case IDEMPOTENCY_NEW:
        return false;
    case IDEMPOTENCY_REPLAY:
        record_restore(x, &record);
        return true;
    case IDEMPOTENCY_OTHER:
        x->status =
            problem(&x->response, PROBLEM_IDEMPOTENCY_KEY_REUSED, "Use a new key for another request");
        return true;
    }
    return false;
}

static enum db_result store_record(struct exchange *x, struct db *db)
{
    struct slice body = record_body(x);
    if (slice_is_absent(body)) {
        x->status = problem(&x->response, PROBLEM_INTERNAL_ERROR, "The reply is too large");
        return DB_CONFLICT;
    }
    struct idempotency_record record = {.status = x->status, .body = body};
    enum db_result result = idempotency_store(&x->request, db, &record);
    if (result == DB_DONE)
        return DB_DONE;
    if (result == DB_CONFLICT) { /* another node was first: its record will be there for the next try */
        x->status = problem(&x->response, PROBLEM_IDEMPOTENCY_IN_PROGRESS, "Try again in a second");
        response_header(&x->response, "Retry-After", SLICE("1"));
    } else {
        x->status = problem_database(&x->response, DB_ERROR);
    }
    return result;
}

/* ---- running the handler ---- */

static void run_handler(struct exchange *x, struct db *db)
{
    x->request.db = db;
    x->status = x->request.operation->handler(&x->request, &x->response);
    CHECK(x->status >= 400 || x->response.problem_code == NULL);
}

static bool has_database(struct exchange *x, struct db *db)
{
    if (db != NULL)
        return true;
    exchange_set_unavailable(x, "The database cannot be reached; try again");
    return false;
}

/* In one snapshot. */
static void run_read_on(struct exchange *x, struct db *db)
{
    db_read_begin(db);
    run_handler(x, db);
    db_read_end(db);
}

static void run_read_traced(struct exchange *x)
{
    if (x->request.operation->needs_no_database) {
        run_handler(x, NULL);
        return;
    }
    struct db *db = gateway_read_db(x->gateway, x);
    if (!has_database(x, db))
        return;
    run_read_on(x, db);
    struct db *primary = gateway_thread_db(x->gateway, x);
    if (x->response.database_failed && db != primary && primary != NULL) { /* the replica has gone */
        response_init(&x->response, x->arena, x->request.operation->is_bare);
        run_read_on(x, primary);
    }
}

static void run_read(struct exchange *x)
{
    struct trace *before = trace_enter(&x->trace);
    run_read_traced(x);
    (void)trace_enter(before);
}

static enum db_result store_record_closure(struct db *db, void *arg)
{
    return store_record(arg, db);
}

/* The handler opens its own transactions, so the record follows in one more: between the two a crash can lose
 * it, and then the state of what the handler changed is what keeps a repeat from doing it twice. */
static void run_orchestrated(struct exchange *x, struct db *db)
{
    if (!has_database(x, db) || answer_from_record(x, db))
        return;
    run_handler(x, db);
    if (x->status < 400 && keeps_record(x) && db_transaction(db, store_record_closure, x) == DB_ERROR &&
        x->status < 400)
        exchange_set_unavailable(x, "The outcome could not be recorded; try again");
}

/* The whole handler in one transaction, together with its idempotency record. May run again: everything
 * starts afresh. */
static enum db_result run_transaction_traced(struct db *db, struct exchange *x)
{
    response_init(&x->response, x->arena, x->request.operation->is_bare);
    x->is_replay = false;
    if (answer_from_record(x, db))
        return x->response.database_failed ? DB_ERROR : DB_DONE; /* nothing was written */
    run_handler(x, db);
    if (x->response.body.overflow) /* said before it is committed, not after */
        x->status = problem(&x->response, PROBLEM_INTERNAL_ERROR, "The reply is too large");
    if (x->status >= 400)
        return x->response.database_failed ? DB_ERROR : DB_CONFLICT; /* either rolls back */
    return keeps_record(x) ? store_record(x, db) : DB_DONE;
}

static enum db_result run_transaction(struct db *db, void *arg)
{
    struct exchange *x = arg;
    struct trace *before = trace_enter(&x->trace); /* on the write lane there is none yet */
    enum db_result result = run_transaction_traced(db, x);
    (void)trace_enter(before);
    return result;
}

/* ---- handing over ---- */

void gateway_conclude(struct exchange *x)
{
    flight_end(x);
    /* What it changed is dropped, and what it read is kept, before anybody can ask for it again, and by this
     * thread rather than by one that must not wait. */
    if (!x->gateway->reads_inline)
        gateway_finish(x->gateway, x);
    x->complete(x);
}

/* What was not committed did not happen, and what was seen on the way may not have happened either. A success
 * that ends as a conflict met a deferred constraint, which speaks only at the commit. */
static void after_transaction(struct exchange *x, enum db_result result)
{
    if (result == DB_ERROR)
        exchange_set_unavailable(x, "The shop is busy; try again");
    else if (result != DB_DONE && x->status < 400)
        x->status = problem_database(&x->response, DB_CONFLICT);
}

static struct exchange *exchange_of_job(struct worker_job *job)
{
    return (struct exchange *)((char *)job - offsetof(struct exchange, worker_job));
}

/* Its client has given up, or will before there is an answer. */
static bool is_too_late(struct exchange *x)
{
    if (clock_monotonic_us() < x->deadline_us)
        return false;
    exchange_set_unavailable(x, "The shop is busy; try again");
    return true;
}

static void run_traced(struct exchange *x)
{
    if (x->execution == EXECUTION_INLINE || x->execution == EXECUTION_WORKER) {
        if (!gateway_take_shared(x))
            run_read(x);
        return;
    }
    struct db *db = gateway_thread_db(x->gateway, x);
    if (!has_database(x, db))
        return;
    if (x->execution == EXECUTION_TRANSACTION)
        after_transaction(x, db_transaction(db, run_transaction, x));
    else
        run_orchestrated(x, db);
}

/* On a thread of a pool. */
static void run(struct exchange *x)
{
    struct trace *before = trace_enter(&x->trace);
    run_traced(x);
    (void)trace_enter(before);
}

static void worker_run(struct worker_job *job)
{
    struct exchange *x = exchange_of_job(job);
    may_wait = true;
    if (!is_too_late(x))
        run(x);
    gateway_conclude(x);
}

/* An exchange whose caller is not known yet. */
static void worker_check(struct worker_job *job)
{
    struct exchange *x = exchange_of_job(job);
    may_wait = true;
    if (!is_too_late(x)) {
        x->status = gateway_check_caller(x->gateway, x);
        if (x->status == 0 && gateway_execute(x->gateway, x) == GATEWAY_PENDING)
            return; /* another thread may own it already */
    }
    gateway_conclude(x);
}

static void lane_done(void *arg, enum db_result result, bool is_committed)
{
    struct exchange *x = arg;
    after_transaction(x, is_committed ? result : DB_ERROR);
    gateway_conclude(x);
}

static void submit_to_lane(struct exchange *x)
{
    static const unsigned queue_max[PRIORITY_COUNT] = {[PRIORITY_BROWSE] = LANE_BROWSE_MAX,
                                                       [PRIORITY_CART] = LANE_CART_MAX,
                                                       [PRIORITY_CHECKOUT] = LANE_QUEUE_MAX};
    x->lane_job = (struct lane_job){.run = run_transaction,
                                    .done = lane_done,
                                    .arg = x,
                                    .deadline_us = x->deadline_us,
                                    .queue_max = queue_max[x->request.operation->priority]};
    if (store_submit(x->gateway->services->store, &x->lane_job))
        return;
    exchange_set_unavailable(x, "The shop is busy; try again");
    gateway_conclude(x);
}

/* In a queue that is full, or that moves too slowly: answered by the thread that found it so. */
static void exchange_refuse(struct worker_job *job)
{
    struct exchange *x = exchange_of_job(job);
    exchange_set_unavailable(x, "The shop is busy; try again");
    gateway_conclude(x);
}

static void submit_job(struct workers *pool, struct worker_job *job)
{
    struct worker_job *evicted;
    bool is_taken = workers_submit(pool, job, &evicted);
    struct worker_job *refused = is_taken ? evicted : job;
    if (refused != NULL)
        refused->refuse(refused);
}

static void submit_to_pool(struct workers *pool, struct exchange *x, void (*run_job)(struct worker_job *))
{
    x->worker_job = (struct worker_job){
        .run = run_job, .refuse = exchange_refuse, .priority = x->request.operation->priority};
    submit_job(pool, &x->worker_job);
}

void gateway_submit_job(struct gateway *gateway, struct worker_job *job)
{
    submit_job(gateway->workers, job);
}

/* What asks Redis first goes alone: the others would wait for its round trip. So does what may be read on a
 * replica: which one, and what it had seen then, is chosen for each request. */
static bool may_be_gathered(const struct gateway *gateway, const struct exchange *x)
{
    bool asks_redis = x->cache_state == CACHE_MISS && gateway->services->redis != NULL;
    bool asks_replica = x->request.operation->reads_replica && store_has_replicas(gateway->services->store);
    return x->request.operation->expect != NULL && !asks_redis && !asks_replica;
}

void gateway_submit(struct gateway *gateway, struct exchange *x)
{
    submit_to_pool(gateway->workers, x, may_be_gathered(gateway, x) ? NULL : worker_run);
}

/* False when it is answered already. */
static bool expect_read(struct exchange *x)
{
    if (is_too_late(x) || gateway_take_shared(x))
        return false;
    x->request.db = gateway_read_db(x->gateway, x);
    if (x->request.db != NULL)
        x->request.operation->expect(&x->request);
    return true;
}

static void expect_end(struct gateway *gateway)
{
    const struct thread_context *context = pthread_getspecific(gateway->context_key);
    if (context != NULL && context->db != NULL)
        db_expect_end(context->db);
    if (context != NULL && context->replica != NULL)
        db_expect_end(context->replica);
}

/* What they are about to ask leaves together, then each runs as if it were alone. When that takes long the
 * rest of them go to other workers, one by one. */
void gateway_run_gathered(struct worker_job **jobs, size_t count)
{
    struct exchange *waiting[WORKER_GATHER_MAX];
    size_t waiting_count = 0;
    struct gateway *gateway = exchange_of_job(jobs[0])->gateway;
    int64_t patient_until_us = clock_monotonic_us() + GATHERED_US_MAX;
    may_wait = true;
    for (size_t i = 0; i < count; i++) {
        struct exchange *x = exchange_of_job(jobs[i]);
        if (expect_read(x))
            waiting[waiting_count++] = x;
        else
            gateway_conclude(x);
    }
    for (size_t i = 0; i < waiting_count; i++) {
        if (i > 0 && !waiting[i]->is_refresh && clock_monotonic_us() > patient_until_us) {
            expect_end(gateway); /* what it expects points into its arena, and that may soon be another's */
            submit_to_pool(gateway->workers, waiting[i], worker_run);
            continue;
        }
        run_read(waiting[i]);
        gateway_conclude(waiting[i]);
    }
    expect_end(gateway);
}

/* Before it is anywhere where another thread may end it. */
static void suspend(struct exchange *x)
{
    x->is_suspended = true;
    x->deadline_us = clock_monotonic_us() + x->gateway->services->config->request_timeout_ms * 1000;
    if (x->ends_us != 0 && x->ends_us < x->deadline_us)
        x->deadline_us = x->ends_us;
    if (x->suspend != NULL)
        x->suspend(x);
}

void gateway_hand_over(struct workers *pool, struct exchange *x)
{
    suspend(x);
    submit_to_pool(pool, x, worker_check);
}

enum place { PLACE_HERE, PLACE_WORKER, PLACE_PASSWORD, PLACE_LANE };

static enum place place_of(const struct gateway *gateway, const struct exchange *x)
{
    switch (x->execution) {
    case EXECUTION_INLINE:
        return gateway->reads_inline || x->request.operation->needs_no_database ? PLACE_HERE : PLACE_WORKER;
    case EXECUTION_TRANSACTION:
        return store_has_lane(gateway->services->store) ? PLACE_LANE : PLACE_WORKER;
    case EXECUTION_PASSWORD:
        return PLACE_PASSWORD;
    case EXECUTION_WORKER:
    case EXECUTION_ORCHESTRATED:
        break;
    }
    return PLACE_WORKER;
}

enum gateway_progress gateway_execute(struct gateway *gateway, struct exchange *x)
{
    const struct operation *operation = x->request.operation;
    x->execution =
        operation->choose_execution ? operation->choose_execution(&x->request) : operation->execution;
    if (!flight_begin(x)) {
        x->status = problem(&x->response, PROBLEM_IDEMPOTENCY_IN_PROGRESS, "Try again in a second");
        response_header(&x->response, "Retry-After", SLICE("1"));
        return GATEWAY_ANSWERED;
    }
    enum place place = place_of(gateway, x);
    if (place == PLACE_HERE) {
        run_read(x);
        flight_end(x);
        return GATEWAY_ANSWERED;
    }
    if (gateway_take_stale(x))
        return GATEWAY_ANSWERED;
    bool is_on_worker = x->is_suspended;
    if (!is_on_worker)
        suspend(x);
    if (fill_join(x))
        return GATEWAY_PENDING;
    if (place == PLACE_LANE) {
        submit_to_lane(x);
    } else if (place == PLACE_PASSWORD) {
        submit_to_pool(gateway->password_workers, x, worker_run);
    } else if (is_on_worker) {
        run(x);
        return GATEWAY_ANSWERED;
    } else {
        gateway_submit(gateway, x);
    }
    return GATEWAY_PENDING;
}
