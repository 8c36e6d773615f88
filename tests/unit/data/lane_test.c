/* The write lane: group commit, and what happens to the neighbours when a job, a batch or the disk fails. */
#include "fixture.h"

#include "base/clock.h"
#include "fault_vfs.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

DB_STATEMENT(ADD_OR_ROLL_BACK) = {
    .sql = "INSERT OR ROLLBACK INTO counters (id, value) VALUES ($1, 0)",
    .params = {DB_INT},
};

DB_STATEMENT(CHILDREN_TABLE) = {
    .sql =
        "CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES counters DEFERRABLE INITIALLY "
        "DEFERRED)",
};

DB_STATEMENT(CHILD_ADD) = {
    .sql = "INSERT INTO children (parent) VALUES ($1)",
    .params = {DB_INT},
};

DB_STATEMENT(BALLAST_TABLE) = {
    .sql = "CREATE TABLE ballast (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
};

DB_STATEMENT(BALLAST_ADD) = {
    .sql =
        "INSERT INTO ballast (id, bytes) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes",
    .params = {DB_INT, DB_BLOB},
};

DB_STATEMENT(BALLAST_COUNT) = {
    .sql = "SELECT count(*) FROM ballast WHERE length(bytes) > $1",
    .params = {DB_INT},
    .columns = {DB_INT},
};

/* ---- jobs ---- */

enum behaviour {
    INCREMENT,
    REFUSE,           /* writes, then says DB_CONFLICT */
    ROLL_BACK_ALL,    /* the first run makes SQLite roll back the whole transaction */
    READ_FAILS,       /* the first run meets an I/O error */
    DEFERRED_CONFLICT /* breaks a constraint that is checked at the commit */
};

struct job {
    struct lane_job lane_job;
    int64_t counter;
    sem_t *done;
    enum behaviour behaviour;
    int runs;
    enum db_result result;
    bool committed;
    bool is_done;
};

static enum db_result job_run(struct db *db, void *arg)
{
    struct job *job = arg;
    job->runs++;
    enum db_result result = db_run(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(job->counter), db_int(1)));
    if (result != DB_DONE)
        return result;
    switch (job->behaviour) {
    case INCREMENT:
        break;
    case REFUSE:
        return DB_CONFLICT;
    case ROLL_BACK_ALL:
        if (job->runs == 1)
            return db_run(db, &ADD_OR_ROLL_BACK, DB_ARGS(db_int(1)));
        break;
    case READ_FAILS:
        if (job->runs == 1)
            fault_arm(FAULT_READ, 0, 1, SQLITE_IOERR_READ);
        return db_run(db, &BALLAST_ADD, DB_ARGS(db_int(500), db_blob(SLICE("new"))));
    case DEFERRED_CONFLICT:
        return db_run(db, &CHILD_ADD, DB_ARGS(db_int(12345)));
    }
    return DB_DONE;
}

static void job_done(void *arg, enum db_result result, bool committed)
{
    struct job *job = arg;
    job->result = result;
    job->committed = committed;
    job->is_done = true;
    sem_post(job->done);
}

/* Holds the lane until the gate opens, so that all that is submitted meanwhile becomes one batch. */
struct gate {
    struct lane_job lane_job;
    sem_t entered, open, done;
};

static enum db_result gate_run(struct db *db, void *arg)
{
    (void)db;
    struct gate *gate = arg;
    sem_post(&gate->entered);
    sem_wait(&gate->open);
    return DB_CONFLICT; /* nothing to keep */
}

static void gate_done(void *arg, enum db_result result, bool committed)
{
    struct gate *gate = arg;
    CHECK(result == DB_CONFLICT && committed);
    sem_post(&gate->done);
}

static void gate_close(struct gate *gate, struct store *store)
{
    gate->lane_job = (struct lane_job){.run = gate_run, .done = gate_done, .arg = gate};
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->open, 0, 0);
    sem_init(&gate->done, 0, 0);
    assert_true(store_submit(store, &gate->lane_job));
    sem_wait(&gate->entered);
}

static void gate_open(struct gate *gate)
{
    sem_post(&gate->open);
    sem_wait(&gate->done);
}

/* Runs the jobs as one batch and waits for their answers. */
static void run_batch(struct fixture *fixture, struct job *jobs, size_t count)
{
    struct gate gate;
    sem_t done;
    sem_init(&done, 0, 0);
    gate_close(&gate, fixture->store);
    for (size_t i = 0; i < count; i++) {
        jobs[i].done = &done;
        jobs[i].lane_job.run = job_run;
        jobs[i].lane_job.done = job_done;
        jobs[i].lane_job.arg = &jobs[i];
        assert_true(store_submit(fixture->store, &jobs[i].lane_job));
    }
    gate_open(&gate);
    for (size_t i = 0; i < count; i++)
        sem_wait(&done);
}

static void expect(const struct job *job, int runs, enum db_result result, bool committed)
{
    assert_int_equal(job->runs, runs);
    assert_int_equal(job->result, result);
    assert_int_equal(job->committed, committed);
}

/* ---- the tests ---- */

#define THREADS 16
#define ROUNDS 200

static enum db_result increment(struct db *db, void *arg)
{
    return db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(*(int64_t *)arg), db_int(1)));
}

struct client {
    struct store *store;
    int64_t counter;
    pthread_t thread;
};

static void *increment_often(void *arg)
{
    struct client *client = arg;
    struct db *db = store_connect(client->store);
    CHECK(db != NULL);
    for (int i = 0; i < ROUNDS; i++)
        CHECK(db_transaction(db, increment, &client->counter) == DB_DONE);
    store_disconnect(db);
    return NULL;
}

static void increments_of_many_threads_add_up(void **state)
{
    struct fixture *fixture = *state;
    struct client clients[THREADS];
    for (int i = 0; i < THREADS; i++) {
        clients[i] = (struct client){.store = fixture->store, .counter = 1 + i % 4};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, increment_often, &clients[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(clients[i].thread, NULL);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(fixture_counter(fixture, i), THREADS / 4 * ROUNDS);
}

static void a_refusal_does_not_touch_its_neighbours(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[] = {
        {.counter = 1}, {.counter = 2, .behaviour = REFUSE}, {.counter = 3}, {.counter = -1}};
    run_batch(fixture, jobs, COUNT_OF(jobs));
    expect(&jobs[0], 1, DB_DONE, true);
    expect(&jobs[1], 1, DB_CONFLICT, true);
    expect(&jobs[2], 1, DB_DONE, true);
    assert_int_equal(fixture_counter(fixture, 1), 1);
    assert_int_equal(fixture_counter(fixture, 2), 0);
    assert_int_equal(fixture_counter(fixture, 3), 1);
}

static void a_transaction_lost_on_the_way_is_run_again(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[] = {
        {.counter = 1}, {.counter = 2, .behaviour = ROLL_BACK_ALL}, {.counter = 3}, {.counter = 4}};
    run_batch(fixture, jobs, COUNT_OF(jobs));
    expect(&jobs[0], 2, DB_DONE, true);
    expect(&jobs[1], 2, DB_DONE, true);
    expect(&jobs[2], 1, DB_DONE, true);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(fixture_counter(fixture, i), 1);
}

static void make_ballast(struct fixture *fixture)
{
    static char bytes[3000];
    assert_int_equal(db_run(fixture->db, &BALLAST_TABLE, DB_NO_ARGS), DB_DONE);
    for (int i = 1; i <= 1000; i++)
        assert_int_equal(db_run(fixture->db, &BALLAST_ADD,
                                DB_ARGS(db_int(i), db_blob((struct slice){bytes, sizeof(bytes)}))),
                         DB_DONE);
    /* Opened again, the lane's cache is empty and it must read. */
    fixture_close(fixture);
    fixture_open(fixture);
}

static void an_io_error_in_a_job_loses_no_neighbour(void **state)
{
    struct fixture *fixture = *state;
    make_ballast(fixture);
    struct job jobs[] = {
        {.counter = 1}, {.counter = 2}, {.counter = 3, .behaviour = READ_FAILS}, {.counter = 4}};
    run_batch(fixture, jobs, COUNT_OF(jobs));
    assert_int_equal(atomic_load(&fault.hits), 1);
    expect(&jobs[0], 2, DB_DONE, true);
    expect(&jobs[1], 2, DB_DONE, true);
    expect(&jobs[2], 2, DB_DONE, true);
    expect(&jobs[3], 1, DB_DONE, true);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(fixture_counter(fixture, i), 1);
}

/* Every write of the log in turn fails, then every sync: all are told so, nothing is kept, and the next batch
 * goes well. */
static void a_failed_commit_keeps_nothing(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 6; i++) {
        struct job jobs[] = {{.counter = 1}, {.counter = 2}, {.counter = 3}};
        if (i < 4)
            fault_arm(FAULT_LOG_WRITE, i % 2, 1, i < 2 ? SQLITE_FULL : SQLITE_IOERR_WRITE);
        else
            fault_arm(FAULT_LOG_SYNC, 0, 1, SQLITE_IOERR_FSYNC);
        run_batch(fixture, jobs, i % 3 == 0 ? 1 : COUNT_OF(jobs));
        fault_disarm();
        assert_int_equal(atomic_load(&fault.hits), 1);
        for (size_t j = 0; j < (i % 3 == 0 ? 1 : COUNT_OF(jobs)); j++)
            expect(&jobs[j], 1, DB_ERROR, false);
        assert_int_equal(fixture_counter(fixture, 1), i);
        struct job again[] = {{.counter = 1}, {.counter = 2}};
        run_batch(fixture, again, COUNT_OF(again));
        expect(&again[0], 1, DB_DONE, true);
        assert_int_equal(fixture_counter(fixture, 1), i + 1);
        assert_int_equal(fixture_counter(fixture, 3), 0);
    }
}

static void a_deferred_constraint_is_its_own_jobs_conflict(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(db_run(fixture->db, &CHILDREN_TABLE, DB_NO_ARGS), DB_DONE);
    struct job jobs[] = {{.counter = 1}, {.counter = 2, .behaviour = DEFERRED_CONFLICT}, {.counter = 3}};
    run_batch(fixture, jobs, COUNT_OF(jobs));
    expect(&jobs[0], 2, DB_DONE, true);
    expect(&jobs[1], 2, DB_CONFLICT, true);
    expect(&jobs[2], 2, DB_DONE, true);
    assert_int_equal(fixture_counter(fixture, 1), 1);
    assert_int_equal(fixture_counter(fixture, 2), 0);
}

static void a_job_past_its_deadline_is_not_started(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[] = {{.counter = 1}, {.counter = 2}, {.counter = 3}};
    jobs[1].lane_job.deadline_us = clock_monotonic_us() - 1;
    jobs[2].lane_job.deadline_us = clock_monotonic_us() + 60000000;
    run_batch(fixture, jobs, COUNT_OF(jobs));
    expect(&jobs[0], 1, DB_DONE, true);
    expect(&jobs[1], 0, DB_ERROR, false);
    expect(&jobs[2], 1, DB_DONE, true);
    struct job late = {.counter = 2, .lane_job.deadline_us = 1};
    run_batch(fixture, &late, 1);
    expect(&late, 0, DB_ERROR, false);
    assert_int_equal(fixture_counter(fixture, 2), 0);
}

static void a_full_queue_refuses_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct job *jobs = calloc(LANE_QUEUE_MAX + 1, sizeof(*jobs));
    struct gate gate;
    sem_t done;
    sem_init(&done, 0, 0);
    gate_close(&gate, fixture->store);
    for (int i = 0; i <= LANE_QUEUE_MAX; i++) {
        jobs[i] = (struct job){.counter = 5, .done = &done, .lane_job = {.run = job_run, .done = job_done}};
        jobs[i].lane_job.arg = &jobs[i];
        assert_int_equal(store_submit(fixture->store, &jobs[i].lane_job), i < LANE_QUEUE_MAX);
    }
    gate_open(&gate);
    for (int i = 0; i < LANE_QUEUE_MAX; i++)
        sem_wait(&done);
    assert_int_equal(fixture_counter(fixture, 5), LANE_QUEUE_MAX);
    free(jobs);
}

/* What matters less may fill a part of the queue only. */
static void a_part_of_the_queue_is_for_what_matters(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 30, LESSER_MAX = 20 };
    struct job jobs[COUNT];
    struct gate gate;
    sem_t done;
    int taken = 0;
    sem_init(&done, 0, 0);
    gate_close(&gate, fixture->store);
    for (int i = 0; i < COUNT; i++) {
        bool is_lesser = i < LESSER_MAX + 5;
        jobs[i] = (struct job){
            .counter = 5,
            .done = &done,
            .lane_job = {.run = job_run, .done = job_done, .queue_max = is_lesser ? LESSER_MAX : 0}};
        jobs[i].lane_job.arg = &jobs[i];
        bool is_taken = store_submit(fixture->store, &jobs[i].lane_job);
        assert_int_equal(is_taken, !is_lesser || taken < LESSER_MAX);
        taken += is_taken;
    }
    gate_open(&gate);
    for (int i = 0; i < taken; i++)
        sem_wait(&done);
    assert_int_equal(fixture_counter(fixture, 5), LESSER_MAX + 5);
}

static void closing_answers_what_is_queued(void **state)
{
    struct fixture *fixture = *state;
    struct job jobs[300];
    sem_t done;
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        jobs[i] = (struct job){.counter = 6, .done = &done, .lane_job = {.run = job_run, .done = job_done}};
        jobs[i].lane_job.arg = &jobs[i];
        assert_true(store_submit(fixture->store, &jobs[i].lane_job));
    }
    fixture_close(fixture);
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        assert_true(jobs[i].is_done && jobs[i].committed);
    fixture_open(fixture);
    assert_int_equal(fixture_counter(fixture, 6), COUNT_OF(jobs));
}

/* What a souk command does beside a running server: its own lane on the same file. */
static void another_process_writes_too(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    pid_t child = fork();
    assert_true(child >= 0);
    fixture_open(fixture);
    int64_t counter = 7;
    int failures = 0;
    for (int i = 0; i < ROUNDS; i++)
        failures += db_transaction(fixture->db, increment, &counter) != DB_DONE;
    if (child == 0) {
        fixture_close(fixture);
        _exit(failures);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(failures, 0);
    assert_int_equal(fixture_counter(fixture, 7), 2 * ROUNDS);
}

/* Another process that keeps the write lock: for a moment, then for longer than anybody waits. */
static void a_held_write_lock_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    sqlite3 *other;
    assert_int_equal(sqlite3_open(fixture->path, &other), SQLITE_OK);
    struct job jobs[] = {{.counter = 1}, {.counter = 2}};
    sem_t done;
    sem_init(&done, 0, 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        jobs[round].done = &done;
        jobs[round].lane_job = (struct lane_job){.run = job_run, .done = job_done, .arg = &jobs[round]};
        assert_true(store_submit(fixture->store, &jobs[round].lane_job));
        if (round == 0)
            usleep(100000);
        else
            sem_wait(&done);
        assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
        if (round == 0)
            sem_wait(&done);
    }
    sqlite3_close(other);
    expect(&jobs[0], 1, DB_DONE, true);
    expect(&jobs[1], 0, DB_ERROR, false);
    assert_int_equal(db_run(fixture->db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(2), db_int(1))), DB_DONE);
    assert_int_equal(fixture_counter(fixture, 1) + fixture_counter(fixture, 2), 2);
}

struct load {
    struct store *store;
    _Atomic bool is_over;
};

static void *read_all_the_time(void *arg)
{
    struct load *load = arg;
    struct db *db = store_connect(load->store);
    while (!atomic_load(&load->is_over)) {
        int64_t count;
        db_read_begin(db);
        CHECK(db_one_int(db, &BALLAST_COUNT, DB_ARGS(db_int(10)), &count) == DB_ROW);
        db_read_end(db);
    }
    store_disconnect(db);
    return NULL;
}

static enum db_result write_ballast(struct db *db, void *arg)
{
    static char bytes[3000];
    int64_t first = *(int64_t *)arg;
    memset(bytes, (int)first, sizeof(bytes));
    enum db_result result = DB_DONE;
    for (int64_t i = 0; i < 256 && result == DB_DONE; i++)
        result = db_run(db, &BALLAST_ADD,
                        DB_ARGS(db_int((first + i) % 2000), db_blob((struct slice){bytes, sizeof(bytes)})));
    return result;
}

/* 1 MB a transaction, 150 times, while others read: the log must begin anew again and again. */
static void the_log_does_not_grow_for_ever(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(db_run(fixture->db, &BALLAST_TABLE, DB_NO_ARGS), DB_DONE);
    struct load load = {.store = fixture->store};
    pthread_t readers[3];
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, &load), 0);
    size_t most = 0; /* of 150 MB written */
    for (int64_t i = 0; i < 150; i++) {
        int64_t first = i * 256;
        assert_int_equal(db_transaction(fixture->db, write_ballast, &first), DB_DONE);
        size_t now = store_wal_bytes(fixture->store);
        most = now > most ? now : most;
    }
    atomic_store(&load.is_over, true);
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        pthread_join(readers[i], NULL);
    assert_true(most < 2 * WAL_RESTART_BYTES);
}

static void only_so_many_connections(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    struct slice complaint;
    struct store_options options = {.url = slice_from(fixture->url), .connections_max = 2};
    struct store *store = store_open(&options, &fixture->arena, &complaint);
    assert_non_null(store);
    assert_true(store_is_ready(store));
    assert_true(store_has_lane(store));
    assert_int_equal(store_engine(store), DB_SQLITE);
    struct db *first = store_connect(store), *second = store_connect(store);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(store_connect(store));
    store_disconnect(first);
    assert_non_null(store_connect(store));
    store_close(store); /* with the rest */
}

static void bad_files_are_refused_in_one_line(void **state)
{
    struct fixture *fixture = *state;
    fixture_close(fixture);
    FILE *file = fopen(fixture->path, "w");
    fputs("this is no database, and long enough to be looked at: .........................................",
          file);
    fputs("....................................................................................", file);
    fclose(file);
    const char *urls[] = {fixture->url, "mysql://u:secret@h/d",
                          "sqlite:", "sqlite::memory:", "sqlite:/proc/no/x.db"};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct slice complaint = SLICE_ABSENT;
        struct store_options options = {.url = slice_from(urls[i])};
        assert_null(store_open(&options, &fixture->arena, &complaint));
        assert_true(complaint.len > 0);
        assert_null(memchr(complaint.ptr, '\n', complaint.len));
        assert_null(strstr(complaint.ptr, "secret"));
    }
}

static void files_are_for_the_owner_alone(void **state)
{
    struct fixture *fixture = *state;
    struct stat info;
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s/a/b/shop.db", fixture->folder);
    fixture_close(fixture);
    fixture_open(fixture);
    char path[128];
    const char *names[] = {"a/b/shop.db", "a/b/shop.db-wal", "a/b/shop.lock"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", fixture->folder, names[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    snprintf(path, sizeof(path), "%s/a", fixture->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

int main(void)
{
    fault_vfs_install();
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        CASE(another_process_writes_too),
        CASE(increments_of_many_threads_add_up),
        CASE(a_refusal_does_not_touch_its_neighbours),
        CASE(a_transaction_lost_on_the_way_is_run_again),
        CASE(an_io_error_in_a_job_loses_no_neighbour),
        CASE(a_failed_commit_keeps_nothing),
        CASE(a_deferred_constraint_is_its_own_jobs_conflict),
        CASE(a_job_past_its_deadline_is_not_started),
        CASE(a_full_queue_refuses_at_once),
        CASE(a_part_of_the_queue_is_for_what_matters),
        CASE(closing_answers_what_is_queued),
        CASE(a_held_write_lock_is_waited_for),
        CASE(the_log_does_not_grow_for_ever),
        CASE(only_so_many_connections),
        CASE(bad_files_are_refused_in_one_line),
        CASE(files_are_for_the_owner_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
