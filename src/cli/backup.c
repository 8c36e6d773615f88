/* souk backup FILE, souk restore FILE: one consistent copy of the shop's database, and putting it back. */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/clock.h"
#include "data/backup.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_EVERY_US 100000

struct progress {
    int64_t shown_us;
    bool is_shown;
};

static void show_progress(int remaining, int total, void *arg)
{
    struct progress *progress = arg;
    int64_t now_us = clock_monotonic_us();
    if (total <= 0 || now_us - progress->shown_us < PROGRESS_EVERY_US)
        return;
    progress->shown_us = now_us;
    progress->is_shown = true;
    fprintf(stderr, "\rcopied %d %%", (int)(100 * (int64_t)(total - remaining) / total));
}

/* PostgreSQL's own tools do it better than we could: consistent, while the shop runs, by whoever may. */
static bool is_sqlite(const struct args *args, const struct config *config, const char *tool)
{
    if (slice_starts_with(config->database_url, SLICE("sqlite:")))
        return true;
    cli_fail(args, EXIT_USAGE,
             arena_format(args->arena, "this is for SQLite; for a shop on PostgreSQL use %s", tool));
    return false;
}

static int run_backup(const struct args *args)
{
    struct config config;
    struct slice complaint;
    struct progress progress = {.shown_us = clock_monotonic_us()};
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    if (!is_sqlite(args, &config, "pg_dump --format=custom"))
        return EXIT_USAGE;
    struct store *store = cli_store_open_any(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    bool done = store_backup(store, args->words[0], isatty(STDERR_FILENO) ? show_progress : NULL, &progress,
                             args->arena, &complaint);
    store_close(store);
    if (progress.is_shown)
        fprintf(stderr, "\r\033[K");
    if (!done)
        return cli_fail(args, EXIT_FAILED, complaint);
    struct stat file;
    bool is_known = stat(arena_copy(args->arena, args->words[0]).ptr, &file) == 0;
    printf("%.*s holds the shop as it is now (%lld KB).\n", SLICE_ARG(args->words[0]),
           is_known ? (long long)file.st_size / 1024 : 0LL);
    printf("The secret is not in it: keep a copy of %.*s (or SOUK_SECRET) apart.\n",
           SLICE_ARG(arena_format(args->arena, "%.*s/secret", SLICE_ARG(config.data_directory))));
    return EXIT_OK;
}

static int run_restore(const struct args *args)
{
    struct config config;
    struct slice complaint;
    struct slice kept;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    if (!is_sqlite(args, &config, "pg_restore"))
        return EXIT_USAGE;
    if (!cli_is_alone(args, &config))
        return EXIT_FAILED;
    if (!store_verify_file(args->words[0], args->arena, &complaint))
        return cli_fail(args, EXIT_FAILED, complaint);
    struct slice question = arena_format(args->arena, "This puts %.*s in the place of the shop at %.*s.",
                                         SLICE_ARG(args->words[0]), SLICE_ARG(config.database_url));
    if (!cli_confirmed(args, question.ptr))
        return EXIT_USAGE;
    if (!store_restore(args->words[0], config.database_url, args->arena, &kept, &complaint))
        return cli_fail(args, EXIT_FAILED, complaint);
    printf("The shop is as it was in %.*s.\n", SLICE_ARG(args->words[0]));
    if (!slice_is_absent(kept))
        printf("What was there before is kept as %.*s.\n", SLICE_ARG(kept));
    return EXIT_OK;
}

static const struct cli_option RESTORE_OPTIONS[] = {{"yes", NULL, "do it without asking"}, {0}};

const struct cli_command command_backup = {
    .name = "backup",
    .words = "FILE",
    .summary = "copy the shop to a file, while it runs",
    .details =
        "FILE is one consistent SQLite database as of now; it must not exist yet. Try it with `souk restore` into an\n"
        "empty folder. The secret that seals the signing keys is not in it.",
    .words_min = 1,
    .words_max = 1,
    .run = run_backup,
};

const struct cli_command command_restore = {
    .name = "restore",
    .words = "FILE",
    .summary = "put a backup in the place of the shop",
    .details =
        "Checks the file first. Not while a souk process has the database open. What was there is kept beside it.\n"
        "Asks first, or needs --yes.",
    .options = RESTORE_OPTIONS,
    .words_min = 1,
    .words_max = 1,
    .run = run_restore,
};
