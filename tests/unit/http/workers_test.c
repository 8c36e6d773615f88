/* The worker pool: order of importance, who is refused when it is full, and that nothing is lost or run
 * twice. */
#include "base/check.h"
#include "base/limits.h"
#include "http/workers.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct work {
    struct worker_job job;
    char name;
};

static sem_t gate;
static sem_t reached;
static char order[64];
static _Atomic int ran;
static struct metric DEPTH = METRIC("souk_test_depth", "Test", NULL, METRIC_GAUGE);

static void run_and_note(struct worker_job *job)
{
    order[ran++] = ((struct work *)job)->name;
}

static void run_at_gate(struct worker_job *job)
{
    (void)job;
    sem_post(&reached);
    sem_wait(&gate);
}

static _Atomic int counted;
static _Atomic int largest;

static bool are_noted; /* they are struct work, and few */

/* Notes them between brackets. */
static void run_gathered(struct worker_job **jobs, size_t count)
{
    counted += (int)count;
    if ((int)count > largest)
        largest = (int)count;
    if (!are_noted)
        return;
    order[ran++] = '(';
    for (size_t i = 0; i < count; i++)
        order[ran++] = ((struct work *)jobs[i])->name;
    order[ran++] = ')';
}

static struct workers *start(unsigned threads, unsigned queue_max)
{
    sem_init(&gate, 0, 0);
    sem_init(&reached, 0, 0);
    memset(order, 0, sizeof(order));
    ran = 0;
    counted = 0;
    largest = 0;
    are_noted = true;
    DEPTH.value = 0;
    struct workers *workers =
        workers_new(&(struct workers_options){.name = "test",
                                              .threads = threads,
                                              .queue_max = queue_max,
                                              .wait_us_max = {[PRIORITY_BROWSE] = 50000},
                                              .depth = &DEPTH,
                                              .run_gathered = run_gathered});
    assert_non_null(workers);
    return workers;
}

static struct work note(char name, enum priority priority)
{
    return (struct work){.job = {.run = run_and_note, .priority = priority}, .name = name};
}

/* With the only worker held at the gate. */
static void test_order_and_eviction(void **state)
{
    (void)state;
    struct workers *workers = start(1, 4);
    struct worker_job *evicted;
    struct work holder = {.job = {.run = run_at_gate, .priority = PRIORITY_BROWSE}};
    assert_true(workers_submit(workers, &holder.job, &evicted));
    sem_wait(&reached);
    struct work a = note('a', PRIORITY_BROWSE), b = note('b', PRIORITY_BROWSE), c = note('c', PRIORITY_CART),
                d = note('d', PRIORITY_CHECKOUT), e = note('e', PRIORITY_BROWSE),
                f = note('f', PRIORITY_CART), g = note('g', PRIORITY_CHECKOUT),
                h = note('h', PRIORITY_CHECKOUT), i = note('i', PRIORITY_CHECKOUT),
                j = note('j', PRIORITY_CHECKOUT), k = note('k', PRIORITY_CART);
    assert_true(workers_submit(workers, &a.job, &evicted));
    assert_true(workers_submit(workers, &b.job, &evicted));
    assert_true(workers_submit(workers, &c.job, &evicted));
    assert_true(workers_submit(workers, &d.job, &evicted));
    assert_null(evicted);
    assert_int_equal(DEPTH.value, 4);
    /* full: the same importance is refused, more pushes out the newest of the least */
    assert_false(workers_submit(workers, &e.job, &evicted));
    assert_null(evicted);
    assert_true(workers_submit(workers, &f.job, &evicted));
    assert_ptr_equal(evicted, &b.job);
    assert_true(workers_submit(workers, &g.job, &evicted));
    assert_ptr_equal(evicted, &a.job);
    assert_true(workers_submit(workers, &h.job, &evicted));
    assert_ptr_equal(evicted, &f.job);
    assert_false(workers_submit(workers, &k.job, &evicted));
    assert_true(workers_submit(workers, &i.job, &evicted));
    assert_ptr_equal(evicted, &c.job);
    assert_false(workers_submit(workers, &j.job, &evicted));
    assert_int_equal(DEPTH.value, 4);
    sem_post(&gate);
    workers_free(workers); /* runs what is queued */
    assert_string_equal(order, "dghi");
    assert_int_equal(DEPTH.value, 0);
}

/* Behind one that has waited for too long nobody of its kind is queued; others are, and when it is served so
 * are they again. */
static void test_slow_queues_shed(void **state)
{
    (void)state;
    struct workers *workers = start(1, 8);
    struct worker_job *evicted;
    struct work blocker = {.job = {.run = run_at_gate, .priority = PRIORITY_CHECKOUT}};
    struct work works[] = {note('a', PRIORITY_BROWSE),   note('b', PRIORITY_BROWSE),
                           note('c', PRIORITY_CART),     note('d', PRIORITY_CART),
                           note('e', PRIORITY_CHECKOUT), note('f', PRIORITY_BROWSE)};
    assert_true(workers_submit(workers, &blocker.job, &evicted));
    sem_wait(&reached);
    assert_true(workers_submit(workers, &works[0].job, &evicted));
    assert_true(workers_submit(workers, &works[2].job, &evicted));
    usleep(60000);
    assert_false(workers_submit(workers, &works[1].job, &evicted)); /* as long as it would wait */
    assert_null(evicted);
    assert_true(workers_submit(workers, &works[3].job, &evicted)); /* no bound for these here */
    assert_true(workers_submit(workers, &works[4].job, &evicted));
    sem_post(&gate);
    while (ran < 4)
        usleep(1000);
    assert_true(workers_submit(workers, &works[5].job, &evicted));
    workers_free(workers);
    assert_string_equal(order, "ecdaf");
}

static void test_importance_first(void **state)
{
    (void)state;
    struct workers *workers = start(1, 10);
    struct worker_job *evicted;
    struct work holder = {.job = {.run = run_at_gate, .priority = PRIORITY_BROWSE}};
    assert_true(workers_submit(workers, &holder.job, &evicted));
    sem_wait(&reached);
    struct work list[] = {note('1', PRIORITY_BROWSE),   note('2', PRIORITY_CART),
                          note('3', PRIORITY_CHECKOUT), note('4', PRIORITY_BROWSE),
                          note('5', PRIORITY_CHECKOUT), note('6', PRIORITY_CART)};
    for (size_t i = 0; i < COUNT_OF(list); i++)
        assert_true(workers_submit(workers, &list[i].job, &evicted));
    sem_post(&gate);
    workers_free(workers);
    assert_string_equal(order, "352614");
}

static struct work gathered(char name, enum priority priority)
{
    return (struct work){.job = {.priority = priority}, .name = name};
}

static void test_gathered(void **state)
{
    (void)state;
    struct workers *workers = start(1, 16);
    struct worker_job *evicted;
    struct work holder = {.job = {.run = run_at_gate, .priority = PRIORITY_BROWSE}};
    assert_true(workers_submit(workers, &holder.job, &evicted));
    sem_wait(&reached);
    /* One behind the other, and of one importance. */
    struct work list[] = {gathered('1', PRIORITY_BROWSE), gathered('2', PRIORITY_BROWSE),
                          note('a', PRIORITY_BROWSE),     gathered('3', PRIORITY_BROWSE),
                          gathered('4', PRIORITY_CART),   gathered('5', PRIORITY_BROWSE)};
    for (size_t i = 0; i < COUNT_OF(list); i++)
        assert_true(workers_submit(workers, &list[i].job, &evicted));
    sem_post(&gate);
    workers_free(workers);
    assert_string_equal(order, "(4)(12)a(35)");
    assert_int_equal(DEPTH.value, 0);
}

static void run_and_post(struct worker_job *job)
{
    (void)job;
    sem_post(&reached);
}

/* While others wait at the gate, whatever is submitted is taken by whoever is free. */
static void test_nobody_waits_for_a_held_worker(void **state)
{
    (void)state;
    struct workers *workers = start(4, 16);
    are_noted = false;
    struct worker_job *evicted;
    struct work holders[3];
    for (size_t i = 0; i < COUNT_OF(holders); i++) {
        holders[i] = (struct work){.job = {.run = run_at_gate, .priority = PRIORITY_CHECKOUT}};
        assert_true(workers_submit(workers, &holders[i].job, &evicted));
        sem_wait(&reached);
    }
    for (int round = 0; round < 200; round++) {
        struct work one = gathered('1', PRIORITY_BROWSE);
        struct work two = {.job = {.run = run_and_post, .priority = PRIORITY_CHECKOUT}};
        int before = counted;
        assert_true(workers_submit(workers, &one.job, &evicted));
        assert_true(workers_submit(workers, &two.job, &evicted));
        sem_wait(&reached);
        while (counted == before)
            (void)usleep(100);
    }
    for (size_t i = 0; i < COUNT_OF(holders); i++)
        sem_post(&gate);
    workers_free(workers);
}

#define SUBMITTERS 4
#define EACH 5000

static void run_and_count(struct worker_job *job)
{
    (void)job;
    counted++;
}

struct submitter {
    struct workers *workers;
    struct worker_job jobs[EACH];
    int refused;
    int evictions;
};

static void *submitter_main(void *arg)
{
    struct submitter *s = arg;
    for (int i = 0; i < EACH; i++) {
        struct worker_job *evicted;
        s->jobs[i] = (struct worker_job){.run = i % 2 ? run_and_count : NULL, /* gathered */
                                         .priority = (enum priority)(i % 3)};
        s->refused += !workers_submit(s->workers, &s->jobs[i], &evicted);
        s->evictions += evicted != NULL;
    }
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    struct workers *workers = start(3, 16);
    are_noted = false;
    static struct submitter submitters[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i].workers = workers;
        assert_int_equal(pthread_create(&threads[i], NULL, submitter_main, &submitters[i]), 0);
    }
    int refused = 0;
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(threads[i], NULL);
        refused += submitters[i].refused + submitters[i].evictions;
    }
    workers_free(workers);
    assert_int_equal(counted + refused, SUBMITTERS * EACH);
    assert_in_range(largest, 1, WORKER_GATHER_MAX);
    assert_int_equal(DEPTH.value, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_eviction), cmocka_unit_test(test_importance_first),
        cmocka_unit_test(test_gathered),           cmocka_unit_test(test_nobody_waits_for_a_held_worker),
        cmocka_unit_test(test_slow_queues_shed),   cmocka_unit_test(test_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
