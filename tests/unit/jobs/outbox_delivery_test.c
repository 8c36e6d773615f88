/* Delivering the outbox: leases, retries, giving up, and that of two processes only one delivers. */
#include "jobs/fixture.h"

/* ---- a mailer that does what a test says ---- */

struct scripted_mailer {
    struct mailer base;
    enum mail_result answer;
    _Atomic int sent[512]; /* by outbox id */
    struct slice last_key;
    char key_text[256];                     /* the mail's own memory goes with its round */
    void (*meanwhile)(struct bench *bench); /* what happens elsewhere while it sends */
    struct bench *bench;
};

/* "20231114T221320Z-17-order.placed" -> 17 */
static int key_id(struct slice key)
{
    struct slice part;
    long long id = -1;
    assert_true(slice_split(&key, '-', &part) && slice_split(&key, '-', &part) && slice_to_int64(part, &id));
    return (int)id;
}

static enum mail_result scripted_send(struct mailer *base, struct arena *arena, const struct mail *mail,
                                      struct slice *why)
{
    struct scripted_mailer *mailer = (struct scripted_mailer *)base;
    (void)arena;
    atomic_fetch_add(&mailer->sent[key_id(mail->key)], 1);
    assert_in_range(mail->key.len, 1, sizeof(mailer->key_text));
    memcpy(mailer->key_text, mail->key.ptr, mail->key.len);
    mailer->last_key = (struct slice){mailer->key_text, mail->key.len};
    if (mailer->meanwhile != NULL)
        mailer->meanwhile(mailer->bench);
    *why = SLICE("the server is away");
    return mailer->answer;
}

static struct scripted_mailer scripted(enum mail_result answer)
{
    return (struct scripted_mailer){.base = {.send = scripted_send}, .answer = answer};
}

/* An order to write about, and a message about it that is due. */
static struct slice some_payload(struct bench *bench)
{
    struct stock_line line = {uuid_v4(), uuid_v4(), 1};
    shop_stock(bench->shop, line.product_id, line.variant_id, 10, true, false);
    return bench_order_payload(bench, bench_order(bench, line, "manual", 0).id);
}

static void deliver(struct bench *bench, struct mailer *mailer, int64_t now_ms)
{
    struct step step = bench_step(bench);
    step.now_ms = now_ms;
    if (mailer != NULL)
        step.mailer = mailer;
    assert_int_equal(outbox_deliver(&step), DB_DONE);
}

static struct slice read_file(struct bench *bench, const char *name)
{
    struct slice path = arena_format(&bench->shop->arena, "%s/mail/%s", bench->shop->folder, name);
    struct stat status;
    FILE *file = fopen(path.ptr, "r");
    if (file == NULL)
        fail_msg("there is no %s", path.ptr);
    assert_int_equal(fstat(fileno(file), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    char *text = arena_alloc(&bench->shop->arena, (size_t)status.st_size + 1);
    assert_int_equal(fread(text, 1, (size_t)status.st_size, file), status.st_size);
    text[status.st_size] = '\0';
    fclose(file);
    return (struct slice){text, (size_t)status.st_size};
}

/* ---- delivered ---- */

static void test_order_mail(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 17, "order.placed", some_payload(bench), now_ms, 0);
    bench_message(bench, 18, "order.placed", SLICE("{}"), now_ms + 60000, 0);
    deliver(bench, NULL, now_ms);
    struct slice text = read_file(bench, "20231114T221320Z-17-order.placed.eml");
    assert_non_null(
        strstr(text.ptr, "\r\nMessage-Id: <20231114T221320Z-17-order.placed@shop.example.com>\r\n"));
    assert_non_null(strstr(text.ptr, "\r\nHello Amïna Haddad,\r\n"));
    assert_non_null(strstr(text.ptr, "  1 x Linen shirt (Size: M) "));
    assert_non_null(strstr(text.ptr, " 12.50 USD\r\n"));
    assert_non_null(strstr(text.ptr, "\r\n  69003 Lyon\r\n"));
    struct bench_row row = bench_row(bench, 17);
    assert_true(row.has_delivered && !row.has_due && row.error.ptr == NULL);
    assert_int_equal(row.attempts, 1);
    row = bench_row(bench, 18);
    assert_true(row.has_due && !row.has_delivered);
    assert_int_equal(row.attempts, 0);
    deliver(bench, NULL, now_ms); /* nothing more */
    assert_int_equal(bench_row(bench, 17).attempts, 1);
}

DB_STATEMENT(TEST_USER) = {
    TEST_TIMES("INSERT INTO users (id, email, email_folded, first_name, created_at, updated_at)"
               " VALUES ($1, 'bob@example.com', 'bob@example.com', 'Bob', "),
    .params = {DB_UUID},
};
DB_STATEMENT(TEST_USER_DELETE) = {
    .sql = "UPDATE users SET deleted_at = created_at WHERE id = $1",
    .params = {DB_UUID},
};

static struct slice user_payload(struct bench *bench, struct uuid user_id, const char *token)
{
    struct arena *arena = &bench->shop->arena;
    char id[UUID_TEXT_LEN];
    uuid_format(user_id, id);
    struct slice sealed =
        base64url_encode(arena, secret_seal(arena, bench->services.seal_key, slice_from(token)));
    return arena_format(arena, "{\"userId\":\"%.36s\",\"sealedToken\":\"%.*s\"}", id, SLICE_ARG(sealed));
}

static void test_account_mails(void **state)
{
    struct bench *bench = *state;
    struct uuid user_id = uuid_v7(1);
    int64_t now_ms = clock_now_ms();
    shop_write(bench->shop, &TEST_USER, DB_ARGS(db_uuid(user_id)));
    bench_message(bench, 1, "user.verify_email", user_payload(bench, user_id, "tok-en_1"), now_ms, 0);
    bench_message(bench, 2, "user.password_reset", user_payload(bench, user_id, "tok-en_2"), now_ms, 0);
    bench_message(bench, 3, "user.registered", user_payload(bench, user_id, "tok-en_3"), now_ms, 0);
    deliver(bench, NULL, now_ms);
    assert_non_null(strstr(read_file(bench, "20231114T221320Z-1-user.verify_email.eml").ptr,
                           "\r\nhttps://shop.example.com/store/verify?token=tok-en_1\r\n"));
    assert_non_null(strstr(read_file(bench, "20231114T221320Z-2-user.password_reset.eml").ptr,
                           "\r\nhttps://shop.example.com/store/reset?token=tok-en_2\r\n"));
    assert_non_null(strstr(read_file(bench, "20231114T221320Z-3-user.registered.eml").ptr,
                           "To: \"Bob\" <bob@example.com>\r\n"));
    /* Under another secret the token stays shut: nothing is sent, and it is tried again. */
    bench_message(bench, 4, "user.password_reset", user_payload(bench, user_id, "tok-en_4"), now_ms, 0);
    bench->services.seal_key[0] ^= 1;
    deliver(bench, NULL, now_ms);
    struct bench_row row = bench_row(bench, 4);
    assert_true(row.has_due && !row.has_delivered);
    assert_non_null(strstr(row.error.ptr, "does not open"));
    /* An account that is gone is told nothing, and nothing waits for it. */
    bench_message(bench, 5, "user.verify_email", user_payload(bench, user_id, "tok-en_5"), now_ms, 0);
    shop_write(bench->shop, &TEST_USER_DELETE, DB_ARGS(db_uuid(user_id)));
    deliver(bench, NULL, now_ms);
    assert_true(bench_row(bench, 5).has_delivered);
}

static void test_every_order_topic(void **state)
{
    struct bench *bench = *state;
    static const char *const TOPICS[] = {"order.placed",        "order.paid",      "order.cancelled",
                                         "order.shipped",       "order.delivered", "order.refunded",
                                         "order.payment_failed"};
    struct slice payload = some_payload(bench);
    int64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < COUNT_OF(TOPICS); i++)
        bench_message(bench, (int64_t)i + 1, TOPICS[i], payload, now_ms, 0);
    deliver(bench, NULL, now_ms);
    for (size_t i = 0; i < COUNT_OF(TOPICS); i++)
        assert_true(bench_row(bench, (int64_t)i + 1).has_delivered);
}

/* ---- failed ---- */

static void test_retry_and_give_up(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_FAILED);
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    for (int attempt = 1; attempt < OUTBOX_ATTEMPTS_MAX; attempt++) {
        int64_t before_ms = clock_now_ms();
        deliver(bench, &mailer.base, now_ms);
        struct bench_row row = bench_row(bench, 1);
        assert_int_equal(row.attempts, attempt);
        assert_int_equal(mailer.sent[1], attempt);
        assert_true(row.has_due && !row.has_delivered);
        assert_string_equal(row.error.ptr, "the server is away");
        assert_true(row.due_at_ms - before_ms >= outbox_backoff_ms(attempt, 0));
        deliver(bench, &mailer.base, row.due_at_ms - 1); /* not before its time */
        assert_int_equal(mailer.sent[1], attempt);
        now_ms = row.due_at_ms;
    }
    deliver(bench, &mailer.base, now_ms);
    struct bench_row row = bench_row(bench, 1);
    assert_true(!row.has_due && !row.has_delivered); /* kept, for somebody to look at */
    assert_int_equal(row.attempts, OUTBOX_ATTEMPTS_MAX);
    deliver(bench, &mailer.base, now_ms + INT64_C(1000) * 3600 * 1000);
    assert_int_equal(mailer.sent[1], OUTBOX_ATTEMPTS_MAX);
}

static void test_recovers(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_FAILED);
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    deliver(bench, &mailer.base, now_ms);
    struct slice first_key = arena_copy(&bench->shop->arena, mailer.last_key);
    mailer.answer = MAIL_SENT;
    deliver(bench, &mailer.base, bench_row(bench, 1).due_at_ms);
    assert_true(slice_equals(first_key, mailer.last_key)); /* the same Message-Id */
    struct bench_row row = bench_row(bench, 1);
    assert_true(row.has_delivered && !row.has_due && row.error.ptr == NULL);
    assert_int_equal(row.attempts, 2);
}

static void test_refused_and_unknown(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_REFUSED);
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    bench_message(bench, 2, "coupon.invented", SLICE("{}"), now_ms, 0);
    bench_message(bench, 3, "order.placed", SLICE("{\"orderId\":7}"), now_ms, 0);
    char id[UUID_TEXT_LEN];
    uuid_format(uuid_v4(), id);
    bench_message(bench, 4, "order.placed", arena_format(&bench->shop->arena, "{\"orderId\":\"%.36s\"}", id),
                  now_ms, 0);
    deliver(bench, &mailer.base, now_ms);
    struct bench_row row = bench_row(bench, 1);
    assert_true(!row.has_due && !row.has_delivered);
    assert_true(bench_row(bench, 2).has_due); /* a newer souk may know it */
    assert_true(bench_row(bench, 3).has_due);
    assert_true(bench_row(bench, 4).has_delivered); /* there is nobody to tell */
    for (int i = 2; i <= 4; i++)
        assert_int_equal(mailer.sent[i], 0);
}

static void test_backoff(void **state)
{
    (void)state;
    assert_int_equal(outbox_backoff_ms(1, 0), 22500);
    assert_int_equal(outbox_backoff_ms(1, 15000), 37500);
    assert_int_equal(outbox_backoff_ms(2, 0), 45000);
    assert_int_equal(outbox_backoff_ms(11, 0), INT64_C(6) * 3600 * 750);
    assert_int_equal(outbox_backoff_ms(1000000, 0), INT64_C(6) * 3600 * 750);
    for (int64_t attempts = 1; attempts <= 20; attempts++) {
        int64_t low_ms = outbox_backoff_ms(attempts, 0);
        for (int i = 0; i < 200; i++) {
            int64_t wait_ms = outbox_backoff_ms(attempts, random_u64());
            assert_true(wait_ms >= low_ms && wait_ms <= low_ms / 3 * 5);
        }
    }
}

/* ---- leases ---- */

static void second_process(struct bench *bench)
{
    struct arena arena;
    assert_true(arena_init(&arena, (size_t)4 << 20));
    struct db *db = store_connect(bench->shop->store);
    struct scripted_mailer other = scripted(MAIL_SENT);
    struct step step = bench_step(bench);
    step.db = db;
    step.arena = &arena;
    step.mailer = &other.base;
    assert_int_equal(outbox_deliver(&step), DB_DONE);
    assert_int_equal(other.sent[1], 0);
    store_disconnect(db);
    arena_release(&arena);
}

static void test_lease_keeps_others_out(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_SENT);
    mailer.bench = bench;
    mailer.meanwhile = second_process;
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    deliver(bench, &mailer.base, now_ms);
    assert_int_equal(mailer.sent[1], 1);
    assert_true(bench_row(bench, 1).has_delivered);
}

DB_STATEMENT(TEST_STEAL) = {
    TEST_SQL("UPDATE outbox SET attempts = attempts + 1, due_at = ", "4102444800000",
             "to_timestamp(4102444800)", " WHERE id = 1"),
};

static void steal(struct bench *bench)
{
    shop_write(bench->shop, &TEST_STEAL, DB_NO_ARGS);
}

/* Whose lease ended while it was sending says nothing about the message any more. */
static void test_lost_lease(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_FAILED);
    mailer.bench = bench;
    mailer.meanwhile = steal;
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    deliver(bench, &mailer.base, now_ms);
    struct bench_row row = bench_row(bench, 1);
    assert_int_equal(row.due_at_ms, 4102444800000);
    assert_int_equal(row.attempts, 2);
    assert_null(row.error.ptr);
}

static void test_crash(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_SENT);
    int64_t now_ms = clock_now_ms();
    struct slice payload = some_payload(bench);
    /* Claimed by a process that died: the lease still runs. */
    bench_message(bench, 1, "order.placed", payload, now_ms + OUTBOX_LEASE_MS, 1);
    /* One that kills whoever delivers it. */
    bench_message(bench, 2, "order.placed", payload, now_ms, OUTBOX_ATTEMPTS_MAX);
    deliver(bench, &mailer.base, now_ms);
    assert_int_equal(mailer.sent[1], 0);
    assert_int_equal(mailer.sent[2], 0);
    struct bench_row row = bench_row(bench, 2);
    assert_true(!row.has_due && !row.has_delivered && row.error.ptr != NULL);
    /* Then the lease ends. */
    deliver(bench, &mailer.base, now_ms + OUTBOX_LEASE_MS);
    assert_int_equal(mailer.sent[1], 1);
    assert_true(bench_row(bench, 1).has_delivered);
}

static void test_stop_gives_back(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = scripted(MAIL_SENT);
    _Atomic bool is_stopping = true;
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 3);
    struct step step = bench_step(bench);
    step.mailer = &mailer.base;
    step.now_ms = now_ms;
    step.is_stopping = &is_stopping;
    assert_int_equal(outbox_deliver(&step), DB_DONE);
    struct bench_row row = bench_row(bench, 1);
    assert_int_equal(mailer.sent[1], 0);
    assert_int_equal(row.attempts, 3);
    assert_int_equal(row.due_at_ms, now_ms);
}

/* ---- several processes ---- */

#define MESSAGES 300
#define PROCESSES 6

struct process {
    pthread_t thread;
    struct bench *bench;
    struct scripted_mailer *mailer;
};

static void *run_process(void *arg)
{
    struct process *process = arg;
    struct arena arena;
    CHECK(arena_init(&arena, (size_t)8 << 20)); /* cmocka's assertions are for its own thread */
    struct db *db = store_connect(process->bench->shop->store);
    for (int quiet = 0; quiet < 5;) {
        arena_reset(&arena);
        struct step step = bench_step(process->bench);
        step.db = db;
        step.arena = &arena;
        step.mailer = &process->mailer->base;
        CHECK(outbox_deliver(&step) == DB_DONE);
        quiet = step.has_more ? 0 : quiet + 1;
    }
    store_disconnect(db);
    arena_release(&arena);
    return NULL;
}

static enum mail_result count_send(struct mailer *base, struct arena *arena, const struct mail *mail,
                                   struct slice *why)
{
    (void)arena;
    (void)why;
    atomic_fetch_add(&((struct scripted_mailer *)base)->sent[key_id(mail->key)], 1);
    return MAIL_SENT;
}

static void test_many_processes(void **state)
{
    struct bench *bench = *state;
    struct scripted_mailer mailer = {.base = {.send = count_send}};
    struct slice payload = some_payload(bench);
    int64_t now_ms = clock_now_ms();
    for (int i = 1; i <= MESSAGES; i++)
        bench_message(bench, i, "order.placed", payload, now_ms - 1000, 0);
    struct process processes[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        processes[i] = (struct process){.bench = bench, .mailer = &mailer};
        assert_int_equal(pthread_create(&processes[i].thread, NULL, run_process, &processes[i]), 0);
    }
    for (int i = 0; i < PROCESSES; i++)
        pthread_join(processes[i].thread, NULL);
    for (int i = 1; i <= MESSAGES; i++) {
        if (mailer.sent[i] != 1)
            fail_msg("message %d was sent %d times", i, mailer.sent[i]);
        assert_true(bench_row(bench, i).has_delivered);
    }
}

/* ---- the driver ---- */

static void test_file_driver_fails(void **state)
{
    struct bench *bench = *state;
    int64_t now_ms = clock_now_ms();
    bench_message(bench, 1, "order.placed", some_payload(bench), now_ms, 0);
    struct slice folder = arena_format(&bench->shop->arena, "%s/mail", bench->shop->folder);
    FILE *file = fopen(folder.ptr, "w"); /* a file where the folder should be */
    assert_non_null(file);
    fclose(file);
    deliver(bench, NULL, now_ms);
    struct bench_row row = bench_row(bench, 1);
    assert_true(row.has_due && !row.has_delivered);
    assert_non_null(strstr(row.error.ptr, "cannot be"));
    assert_int_equal(remove(folder.ptr), 0);
    deliver(bench, NULL, row.due_at_ms);
    assert_true(bench_row(bench, 1).has_delivered);
    assert_true(read_file(bench, "20231114T221320Z-1-order.placed.eml").len > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_mail),
        TEST(test_account_mails),
        TEST(test_every_order_topic),
        TEST(test_retry_and_give_up),
        TEST(test_recovers),
        TEST(test_refused_and_unknown),
        cmocka_unit_test(test_backoff),
        TEST(test_lease_keeps_others_out),
        TEST(test_lost_lease),
        TEST(test_crash),
        TEST(test_stop_gives_back),
        TEST(test_many_processes),
        TEST(test_file_driver_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
