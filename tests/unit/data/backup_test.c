/* Backup while others write, verification, restore. */
#include "fixture.h"

#include "base/clock.h"
#include "data/backup.h"
#include "data/migrations.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

DB_STATEMENT(VERSIONS_TABLE) = {
    .sql =
        "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)",
};

DB_STATEMENT(VERSION_ADD) = {
    .sql = "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, 'test', 1)",
    .params = {DB_INT},
};

DB_STATEMENT(FILLER_TABLE) = {
    .sql = "CREATE TABLE filler (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
};

DB_STATEMENT(FILLER_ADD) = {
    .sql = "INSERT INTO filler (bytes) VALUES ($1)",
    .params = {DB_BLOB},
};

static enum db_result fill(struct db *db, void *arg)
{
    (void)arg;
    static char bytes[4000];
    enum db_result result = DB_DONE;
    for (int i = 0; i < 5000 && result == DB_DONE; i++)
        result = db_run(db, &FILLER_ADD, DB_ARGS(db_blob((struct slice){bytes, sizeof(bytes)})));
    return result;
}

static int begin(void **state)
{
    fixture_begin(state);
    struct fixture *fixture = *state;
    assert_int_equal(db_run(fixture->db, &VERSIONS_TABLE, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_run(fixture->db, &VERSION_ADD, DB_ARGS(db_int(migrations_latest()))), DB_DONE);
    assert_int_equal(db_run(fixture->db, &FILLER_TABLE, DB_NO_ARGS), DB_DONE);
    assert_int_equal(db_transaction(fixture->db, fill, NULL), DB_DONE);
    return 0;
}

/* Moves an amount from one counter to another: their sum is 0 in every consistent copy. */
static enum db_result move(struct db *db, void *arg)
{
    (void)arg;
    enum db_result result = db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(-1)));
    return result == DB_DONE ? db_change(db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(2), db_int(1)))
                             : result;
}

struct writer {
    struct store *store;
    _Atomic bool is_over;
    _Atomic int moves;
};

static void *move_all_the_time(void *arg)
{
    struct writer *writer = arg;
    struct db *db = store_connect(writer->store);
    while (!atomic_load(&writer->is_over)) {
        CHECK(db_transaction(db, move, NULL) == DB_DONE);
        atomic_fetch_add(&writer->moves, 1);
    }
    store_disconnect(db);
    return NULL;
}

static struct slice file_in(struct fixture *fixture, const char *name)
{
    return arena_format(&fixture->arena, "%s/%s", fixture->folder, name);
}

static int files_like(struct fixture *fixture, const char *part)
{
    DIR *folder = opendir(fixture->folder);
    struct dirent *file;
    int count = 0;
    while ((file = readdir(folder)) != NULL)
        count += strstr(file->d_name, part) != NULL;
    closedir(folder);
    return count;
}

static void copy_file(struct slice from, struct slice to)
{
    static char bytes[65536];
    FILE *source = fopen(from.ptr, "rb"), *target = fopen(to.ptr, "wb");
    assert_non_null(source);
    assert_non_null(target);
    size_t len;
    while ((len = fread(bytes, 1, sizeof(bytes), source)) > 0)
        assert_int_equal(fwrite(bytes, 1, len, target), len);
    fclose(source);
    assert_int_equal(fclose(target), 0);
}

static void check_ok(bool ok, struct slice complaint)
{
    if (!ok)
        fail_msg("%.*s", SLICE_ARG(complaint));
}

static void count_calls(int remaining, int total, void *arg)
{
    assert_true(remaining >= 0 && remaining <= total);
    (*(int *)arg)++;
}

static void a_backup_is_one_moment_of_a_busy_shop(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT, kept;
    assert_int_equal(db_run(fixture->db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(1000000))),
                     DB_DONE);
    struct writer writer = {.store = fixture->store};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, move_all_the_time, &writer), 0);
    while (atomic_load(&writer.moves) < 10)
        usleep(1000);
    int calls = 0;
    struct slice copy = file_in(fixture, "copy.db");
    bool ok = store_backup(fixture->store, copy, count_calls, &calls, &fixture->arena, &complaint);
    int moves = atomic_load(&writer.moves);
    while (atomic_load(&writer.moves) < moves + 10)
        usleep(1000);
    atomic_store(&writer.is_over, true);
    pthread_join(thread, NULL);
    check_ok(ok, complaint);
    assert_true(calls > 3);
    check_ok(store_verify_file(copy, &fixture->arena, &complaint), complaint);
    struct stat info;
    assert_int_equal(stat(copy.ptr, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(files_like(fixture, "copy.db"), 1); /* no journal, no log, nothing half made */
    assert_false(store_backup(fixture->store, copy, NULL, NULL, &fixture->arena, &complaint));
    assert_non_null(strstr(complaint.ptr, "exists already"));

    fixture_close(fixture);
    check_ok(store_restore(copy, slice_from(fixture->url), &fixture->arena, &kept, &complaint), complaint);
    fixture_open(fixture);
    int64_t sum = 0;
    assert_int_equal(db_one_int(fixture->db, &FIXTURE_COUNTER_SUM, DB_NO_ARGS, &sum), DB_ROW);
    assert_int_equal(sum, 1000000);
    int64_t moved = fixture_counter(fixture, 2);
    assert_true(moved >= 10 && moved <= moves);
    /* It is a shop's database like any other: it can be written, and its old self stands aside. */
    assert_int_equal(db_transaction(fixture->db, move, NULL), DB_DONE);
    check_ok(store_verify_file(kept, &fixture->arena, &complaint), complaint);
    assert_int_equal(files_like(fixture, "before-restore"), 1);
    assert_int_equal(files_like(fixture, "partial"), 0);
}

static void a_restore_waits_for_no_server(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT, kept;
    struct slice copy = file_in(fixture, "copy.db");
    check_ok(store_backup(fixture->store, copy, NULL, NULL, &fixture->arena, &complaint), complaint);
    assert_false(store_restore(copy, slice_from(fixture->url), &fixture->arena, &kept, &complaint));
    assert_non_null(strstr(complaint.ptr, "has it open"));
    assert_true(slice_is_absent(kept));
    assert_int_equal(fixture_counter(fixture, 1), 0);
    /* An empty place, and one that does not exist yet. */
    struct slice url = arena_format(&fixture->arena, "sqlite:%s/new/place/shop.db", fixture->folder);
    check_ok(store_restore(copy, url, &fixture->arena, &kept, &complaint), complaint);
    assert_true(slice_is_absent(kept));
    check_ok(store_verify_file(slice_skip(url, 7), &fixture->arena, &complaint), complaint);
}

/* What a killed process leaves: committed orders that are only in the log. */
static void the_log_of_a_killed_process_is_kept_too(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT, kept;
    struct slice copy = file_in(fixture, "copy.db"), killed = file_in(fixture, "killed.db");
    check_ok(store_backup(fixture->store, copy, NULL, NULL, &fixture->arena, &complaint), complaint);
    assert_int_equal(db_run(fixture->db, &FIXTURE_COUNTER_INCREMENT, DB_ARGS(db_int(1), db_int(77))),
                     DB_DONE);
    copy_file(slice_from(fixture->path), killed);
    copy_file(arena_format(&fixture->arena, "%s-wal", fixture->path),
              arena_format(&fixture->arena, "%s-wal", killed.ptr));
    check_ok(store_verify_file(killed, &fixture->arena, &complaint), complaint);
    struct slice url = arena_format(&fixture->arena, "sqlite:%s", killed.ptr);
    check_ok(store_restore(copy, url, &fixture->arena, &kept, &complaint), complaint);
    fixture_close(fixture);
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s", killed.ptr);
    fixture_open(fixture);
    assert_int_equal(fixture_counter(fixture, 1), 0);
    fixture_close(fixture);
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s", kept.ptr);
    fixture_open(fixture);
    assert_int_equal(fixture_counter(fixture, 1), 77);
}

static void expect_unsound(struct fixture *fixture, struct slice path, const char *part)
{
    struct slice complaint = SLICE_ABSENT, kept;
    assert_false(store_verify_file(path, &fixture->arena, &complaint));
    if (strstr(complaint.ptr, part) == NULL)
        fail_msg("expected \"%s\" in \"%.*s\"", part, SLICE_ARG(complaint));
    struct slice url = arena_format(&fixture->arena, "sqlite:%s/elsewhere.db", fixture->folder);
    assert_false(store_restore(path, url, &fixture->arena, &kept, &complaint));
    assert_int_equal(files_like(fixture, "elsewhere.db"), 0);
}

static void unsound_files_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct slice complaint = SLICE_ABSENT;
    struct slice copy = file_in(fixture, "copy.db");
    expect_unsound(fixture, copy, "No such file");
    check_ok(store_backup(fixture->store, copy, NULL, NULL, &fixture->arena, &complaint), complaint);
    int fd = open(copy.ptr, O_RDWR);
    char garbage[8192];
    memset(garbage, 0xa5, sizeof(garbage));
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 8 * 4096), (ssize_t)sizeof(garbage));
    close(fd);
    expect_unsound(fixture, copy, "damaged");
    struct slice text = file_in(fixture, "text.db");
    FILE *file = fopen(text.ptr, "w");
    for (int i = 0; i < 100; i++)
        fputs("no database at all\n", file);
    fclose(file);
    expect_unsound(fixture, text, "not a database");
    assert_int_equal(db_run(fixture->db, &VERSION_ADD, DB_ARGS(db_int(999999))), DB_DONE);
    struct slice newer = file_in(fixture, "newer.db");
    check_ok(store_backup(fixture->store, newer, NULL, NULL, &fixture->arena, &complaint), complaint);
    expect_unsound(fixture, newer, "version 999999");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, fixture_end)
    const struct CMUnitTest tests[] = {
        CASE(a_backup_is_one_moment_of_a_busy_shop),
        CASE(a_restore_waits_for_no_server),
        CASE(the_log_of_a_killed_process_is_kept_too),
        CASE(unsound_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
