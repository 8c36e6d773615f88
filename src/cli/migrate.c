/* souk migrate up | down [N] | status | reset: the version of the database's schema. */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/clock.h"
#include "data/migrations.h"

#include <stdio.h>

#define MIGRATIONS_SHOWN_MAX 512

static const struct cli_option ASKING_OPTIONS[] = {{"yes", NULL, "do it without asking"}, {0}};

/* The end of every run: what stands now, or what is wrong. Versions done before a failing one stay. */
static int report(const struct args *args, struct store *store, bool done, int64_t count, const char *what,
                  struct slice complaint)
{
    int64_t version = migrations_current(store);
    store_close(store);
    if (count == 0 && done)
        printf("nothing to do; the database is at version %lld\n", (long long)version);
    else if (count > 0)
        printf("%lld %s %s; the database is at version %lld\n", (long long)count,
               count == 1 ? "migration" : "migrations", what, (long long)version);
    return done ? EXIT_OK : cli_fail(args, EXIT_FAILED, complaint);
}

static int run_up(const struct args *args)
{
    struct config config;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct store *store = cli_store_create(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    int64_t applied = 0;
    struct slice complaint = SLICE_ABSENT;
    bool done = migrations_up(store, args->arena, &applied, &complaint);
    return report(args, store, done, applied, "applied", complaint);
}

static int run_down(const struct args *args)
{
    struct config config;
    struct slice complaint = SLICE_ABSENT;
    int64_t steps = 1;
    if (!args_int(args->arena, "N", args->words[0], 1, MIGRATIONS_SHOWN_MAX, &steps, &complaint))
        return cli_misused(args, complaint);
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    if (!cli_is_alone(args, &config))
        return EXIT_FAILED;
    struct store *store = cli_store_open_any(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    struct slice question = arena_format(
        args->arena,
        "This takes back the newest %lld of the %lld versions at %.*s, with the data that they hold.",
        (long long)steps, (long long)migrations_current(store), SLICE_ARG(config.database_url));
    if (!cli_confirmed(args, question.ptr)) {
        store_close(store);
        return EXIT_USAGE;
    }
    int64_t undone = 0;
    bool done = migrations_down(store, steps, args->arena, &undone, &complaint);
    return report(args, store, done, undone, "undone", complaint);
}

static int run_reset(const struct args *args)
{
    struct config config;
    struct slice complaint = SLICE_ABSENT;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    if (!cli_is_alone(args, &config))
        return EXIT_FAILED;
    struct slice question =
        arena_format(args->arena, "This removes the whole shop at %.*s: products, customers, orders.",
                     SLICE_ARG(config.database_url));
    if (!cli_confirmed(args, question.ptr))
        return EXIT_USAGE;
    struct store *store = cli_store_open_any(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    int64_t undone = 0;
    int64_t applied = 0;
    if (!migrations_down(store, INT64_MAX, args->arena, &undone, &complaint))
        return report(args, store, false, undone, "undone", complaint);
    bool done = migrations_up(store, args->arena, &applied, &complaint);
    return report(args, store, done, applied, "applied to an empty database", complaint);
}

static int run_status(const struct args *args)
{
    struct config config;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct store *store = cli_store_open_any(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    struct migration_status *list = ARENA_ARRAY(args->arena, struct migration_status, MIGRATIONS_SHOWN_MAX);
    size_t count = migrations_status(store, args->arena, list, MIGRATIONS_SHOWN_MAX);
    int64_t current = migrations_current(store);
    store_close(store);
    if (current < 0)
        return cli_fail(args, EXIT_FAILED, SLICE("the database cannot be read"));
    for (size_t i = 0; i < count; i++) {
        char applied_at[CLOCK_RFC3339_LEN];
        clock_format_rfc3339(list[i].applied_at_ms, applied_at);
        printf("%04lld  %-24.*s %.*s\n", (long long)list[i].version, SLICE_ARG(list[i].name),
               list[i].applied_at_ms != 0 ? CLOCK_RFC3339_LEN : 7,
               list[i].applied_at_ms != 0 ? applied_at : "pending");
    }
    printf("The database is at version %lld, this souk knows version %lld.\n", (long long)current,
           (long long)migrations_latest());
    return EXIT_OK;
}

const struct cli_command command_migrate_up = {
    .name = "migrate up",
    .summary = "bring the database's schema up to date",
    .details =
        "Makes the database when there is none. Safe beside a running server and beside another migrate: they wait\n"
        "for each other. `souk serve` does the same at its start.",
    .run = run_up,
};

const struct cli_command command_migrate_down = {
    .name = "migrate down",
    .words = "[N]",
    .summary = "take back the newest version of the schema, or the newest N",
    .details =
        "What the version's tables and columns hold is lost. Not while a souk process has the database\n"
        "open. Asks first, or needs --yes.",
    .options = ASKING_OPTIONS,
    .words_max = 1,
    .run = run_down,
};

const struct cli_command command_migrate_reset = {
    .name = "migrate reset",
    .summary = "remove everything and start with an empty database",
    .details =
        "Takes every version back and applies them all again. Not while a souk process has the database\n"
        "open. Asks first, or needs --yes.",
    .options = ASKING_OPTIONS,
    .run = run_reset,
};

const struct cli_command command_migrate_status = {
    .name = "migrate status",
    .summary = "which versions of the schema are applied",
    .run = run_status,
};
