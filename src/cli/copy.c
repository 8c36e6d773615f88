/* souk copy FROM TO: a whole shop from one database to another. The order of the steps is here; the tables
 * are data/'s, the words of the search are shop/'s. */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/clock.h"
#include "data/copy.h"
#include "data/migrations.h"
#include "shop/search_rebuild.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define SQLITE_SCHEME "sqlite:"
#define TIMEOUT_MS 60000 /* for a statement: of a large shop the counting alone takes a while */
#define BAR_CELLS 16
#define BAR_EVERY_US 100000
#define LINE_EVERY_US 5000000 /* where nobody watches */

/* ---- progress ---- */

struct progress {
    bool is_terminal;
    const char *what;   /* the step that is being told about */
    int64_t began_us;   /* of the step */
    int64_t first_done; /* of the step when it began: an interrupted one goes on */
    int64_t told_us;
    bool has_bar;
};

static volatile sig_atomic_t is_stop_wanted;

static void want_stop(int number)
{
    (void)number;
    is_stop_wanted = 1;
}

/* The first signal ends the copy where it can go on later, a second one ends the process. */
static void claim_signals(void)
{
    struct sigaction action = {.sa_handler = want_stop, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void draw(const struct progress *progress, const char *table, int64_t done, int64_t total,
                 int64_t now_us)
{
    int64_t spent_us = now_us - progress->began_us;
    double rate = spent_us > 0 ? (double)(done - progress->first_done) * 1e6 / (double)spent_us : 0;
    long long left_s = rate > 0 ? (long long)((double)(total - done) / rate) : 0;
    int percent = total > 0 ? (int)(done * 100 / total) : 100;
    if (!progress->is_terminal) {
        printf("%s: %lld of %lld (%d %%, %.0f a second)\n", progress->what, (long long)done, (long long)total,
               percent, rate);
        fflush(stdout);
        return;
    }
    printf("\r%-12s [", progress->what); /* 77 columns in all */
    for (int i = 0; i < BAR_CELLS; i++)
        putchar(i < percent * BAR_CELLS / 100 ? '#' : '.');
    printf("] %3d %% %7.0f/s %3lld:%02lld left %-17.17s", percent, rate, left_s / 60, left_s % 60, table);
    fflush(stdout);
}

static bool tell(const char *what, const char *table, int64_t done, int64_t total, void *arg)
{
    struct progress *progress = arg;
    int64_t now_us = clock_monotonic_us();
    bool is_new = progress->what == NULL || strcmp(progress->what, what) != 0;
    if (is_new) {
        progress->what = what;
        progress->began_us = now_us;
        progress->first_done = done;
        progress->told_us = progress->is_terminal ? 0 : now_us;
    }
    bool is_due = now_us - progress->told_us >= (progress->is_terminal ? BAR_EVERY_US : LINE_EVERY_US);
    if (is_due || (done == total && total > 0)) {
        progress->told_us = now_us;
        draw(progress, table, done, total, now_us);
        progress->has_bar = progress->is_terminal;
    }
    return !is_stop_wanted;
}

static bool tell_search(int64_t done, int64_t total, void *arg)
{
    return tell("search", "product_search", done, total, arg);
}

/* What is printed next begins on a line of its own. */
static void end_bar(struct progress *progress)
{
    if (progress->has_bar)
        printf("\r\033[K");
    progress->has_bar = false;
    fflush(stdout);
}

/* ---- both ends ---- */

struct copy_run {
    const struct args *args;
    struct progress progress;
    struct copy_job job;
    struct slice complaint;
    struct copy_sums *sums;  /* of FROM before */
    struct copy_sums *after; /* of what is compared with it */
};

static bool complain(struct copy_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool complain(struct copy_run *run, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    run->complaint = arena_format_list(run->args->arena, format, list);
    va_end(list);
    return false;
}

static bool is_sqlite(struct slice url)
{
    return slice_starts_with(url, SLICE(SQLITE_SCHEME));
}

/* Opens one end for this process alone and looks whether a souk is connected to it. `name` is FROM or TO. */
static struct store *open_end(struct copy_run *run, const char *name, struct slice url,
                              const struct config *config)
{
    struct arena *arena = run->args->arena;
    struct slice complaint = SLICE_ABSENT;
    const struct store_options options = {.url = url,
                                          .timeout_ms = TIMEOUT_MS,
                                          .is_unprepared = !config->database_prepare,
                                          .is_exclusive = true};
    struct store *store = store_open(&options, arena, &complaint);
    if (store == NULL || !store_reach(store, arena, &complaint)) {
        struct slice setting = SLICE("DATABASE_URL: "); /* what the store believes the URL to come from */
        if (slice_starts_with(complaint, setting))
            complaint = slice_skip(complaint, setting.len);
        complain(run, "%s: %.*s", name, SLICE_ARG(complaint));
    } else {
        int64_t others = copy_others(store);
        if (others == 0)
            return store;
        if (others > 0)
            complain(run, "%s: %lld connections of souk are open to it; stop it first", name,
                     (long long)others);
        else
            complain(run, "%s cannot be read; the log says why", name);
    }
    if (store != NULL)
        store_close(store);
    return NULL;
}

static bool check_source(struct copy_run *run)
{
    int64_t current = migrations_current(run->job.from);
    int64_t latest = migrations_latest();
    bool is_unfinished;
    if (current < 0)
        return complain(run, "FROM cannot be read");
    if (current != latest)
        return complain(run, "FROM is at version %lld, this souk needs version %lld: %s", (long long)current,
                        (long long)latest,
                        current == 0       ? "it is not the database of a shop"
                        : current < latest ? "run \"souk migrate up\" on it"
                                           : "use the newer souk that changed it");
    if (copy_is_unfinished(run->job.from, &is_unfinished) != DB_DONE)
        return complain(run, "FROM cannot be read; the log says why");
    return !is_unfinished || complain(run, "FROM holds an unfinished copy itself");
}

static bool open_from(struct copy_run *run, const struct config *config)
{
    struct slice url = run->args->words[0];
    struct slice path = arena_copy(run->args->arena, slice_skip(url, strlen(SQLITE_SCHEME)));
    if (is_sqlite(url) && access(path.ptr, R_OK | W_OK) != 0)
        return complain(run, "FROM: there is no database %.*s that can be read and written", SLICE_ARG(path));
    run->job.from = open_end(run, "FROM", url, config);
    return run->job.from != NULL && check_source(run);
}

static bool open_to(struct copy_run *run, const struct config *config)
{
    int64_t applied;
    struct slice complaint;
    if (slice_equals(run->args->words[0], run->args->words[1]))
        return complain(run, "FROM and TO are the same");
    run->job.to = open_end(run, "TO", run->args->words[1], config);
    if (run->job.to == NULL)
        return false;
    return migrations_up(run->job.to, run->args->arena, &applied, &complaint) ||
           complain(run, "TO: %.*s", SLICE_ARG(complaint));
}

/* ---- the steps ---- */

static enum copy_result make_search(struct copy_run *run)
{
    bool is_stopped = false;
    struct db *db = store_connect(run->job.to);
    enum db_result result =
        db == NULL ? DB_ERROR
                   : search_rebuild(db, tell_search, &run->progress, run->args->arena, &is_stopped);
    if (db != NULL)
        store_disconnect(db);
    if (result != DB_DONE) {
        complain(run, "the words of the search cannot be written; the log says why");
        return COPY_FAILED;
    }
    return is_stopped ? COPY_STOPPED : COPY_DONE;
}

/* Reads a side and compares it with what FROM held when the copy began. */
static enum copy_result compare(struct copy_run *run, struct store *store, const char *what,
                                const char *verdict)
{
    enum copy_result result = copy_sum(&run->job, store, what, run->after);
    if (result != COPY_DONE)
        return result;
    struct slice differences = copy_differences(run->sums, run->after, run->args->arena);
    if (slice_is_absent(differences))
        return COPY_DONE;
    end_bar(&run->progress);
    fprintf(stderr, "%.*s\n", SLICE_ARG(differences));
    complain(run, "%s", verdict);
    return COPY_FAILED;
}

static enum copy_result check_whole(struct copy_run *run)
{
    enum copy_result result =
        compare(run, run->job.to, "checking",
                "TO is not equal to FROM: it stays marked as unfinished; empty it and copy again");
    /* The embedded database is held by this process alone. */
    if (result == COPY_DONE && store_engine(run->job.from) == DB_POSTGRES)
        result =
            compare(run, run->job.from, "looking back",
                    "FROM has changed while it was copied: stop what writes to it, empty TO and copy again");
    return result;
}

static enum copy_result copy_all(struct copy_run *run)
{
    bool is_continued = false;
    enum copy_result result = copy_sum(&run->job, run->job.from, "reading", run->sums);
    if (result == COPY_DONE)
        result = copy_begin(&run->job, run->sums, &is_continued);
    if (result == COPY_DONE && is_continued) {
        end_bar(&run->progress);
        printf("Going on with the copy that was interrupted.\n");
    }
    if (result == COPY_DONE)
        result = copy_rows(&run->job, run->sums);
    if (result == COPY_DONE)
        result = make_search(run);
    if (result == COPY_DONE)
        result = copy_finish(&run->job);
    if (result == COPY_DONE)
        result = check_whole(run);
    return result == COPY_DONE ? copy_settle(&run->job) : result;
}

/* ---- the report ---- */

/* "DIR/secret" beside the database file. */
static struct slice secret_path(struct arena *arena, struct slice url)
{
    struct slice path = slice_skip(url, strlen(SQLITE_SCHEME));
    size_t len = path.len;
    while (len > 0 && path.ptr[len - 1] != '/')
        len--;
    return arena_format(arena, "%.*ssecret", (int)len, path.ptr);
}

static void tell_secret(const struct args *args)
{
    struct slice from = args->words[0], to = args->words[1];
    printf("The signing keys are sealed under the shop's secret, which is not copied. ");
    if (is_sqlite(from))
        printf("It is what %.*s (or SOUK_SECRET) holds: ", SLICE_ARG(secret_path(args->arena, from)));
    else
        printf("It is the setting SOUK_SECRET: ");
    if (is_sqlite(to))
        printf("put it into %.*s (mode 0600), or set SOUK_SECRET.\n",
               SLICE_ARG(secret_path(args->arena, to)));
    else
        printf("set SOUK_SECRET to it wherever the shop runs on TO.\n");
}

static int report(struct copy_run *run, int64_t began_us)
{
    int64_t rows = 0;
    for (size_t i = 0; i < run->sums->table_count; i++) {
        const struct copy_table_sums *table = &run->sums->tables[i];
        rows += table->rows;
        if (table->rows > 0)
            printf("%-20s %12lld rows  equal\n", table->name, (long long)table->rows);
    }
    printf("The shop is copied: %lld rows; counts, sums and contents are equal on both sides (%.1f s).\n",
           (long long)rows, (double)(clock_monotonic_us() - began_us) / 1e6);
    tell_secret(run->args);
    return EXIT_OK;
}

static int run_copy(const struct args *args)
{
    struct config config;
    struct copy_run run = {.args = args, .progress = {.is_terminal = isatty(STDOUT_FILENO)}};
    int64_t began_us = clock_monotonic_us();
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    run.job = (struct copy_job){
        .arena = args->arena, .complaint = &run.complaint, .watch = tell, .watch_arg = &run.progress};
    run.sums = ARENA_NEW(args->arena, struct copy_sums);
    run.after = ARENA_NEW(args->arena, struct copy_sums);
    claim_signals();
    enum copy_result result = COPY_FAILED;
    if (open_from(&run, &config) && open_to(&run, &config))
        result = copy_all(&run);
    end_bar(&run.progress);
    if (run.job.to != NULL)
        store_close(run.job.to);
    if (run.job.from != NULL)
        store_close(run.job.from);
    if (result == COPY_DONE)
        return report(&run, began_us);
    if (result == COPY_STOPPED)
        run.complaint = SLICE("stopped; run the same command again, and it goes on where it was");
    return cli_fail(args, EXIT_FAILED, run.complaint);
}

const struct cli_command command_copy = {
    .name = "copy",
    .words = "FROM TO",
    .summary = "move the shop between SQLite and PostgreSQL",
    .details =
        "FROM and TO are sqlite:PATH or postgresql://[user[:password]@]host[:port]/database. TO is made where it is not\n"
        "there, and must be empty. Stop the shop first: an open SQLite file is refused, and so is a PostgreSQL database\n"
        "that a souk is connected to; if FROM changes meanwhile, the copy fails in the end. An interrupted copy goes on\n"
        "when the same command runs again; until it is whole, nothing serves from TO. At the end both sides are read and\n"
        "compared: counts, sums and contents of every table. To take a shop out of PostgreSQL as one file:\n"
        "souk copy postgresql://... sqlite:export.db",
    .words_min = 2,
    .words_max = 2,
    .run = run_copy,
};
