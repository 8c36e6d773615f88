/* The common beginning of commands. */
#include "cli/context.h"

#include "base/clock.h"
#include "data/copy.h"
#include "data/migrations.h"
#include "net/secrets.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SQLITE_SCHEME "sqlite:"
#define ENDING_SESSIONS_US INT64_C(1000000)

int cli_fail(const struct args *args, enum exit_code code, struct slice complaint)
{
    fprintf(stderr, "souk %s: %.*s\n", args->command->name, SLICE_ARG(complaint));
    return (int)code;
}

int cli_misused(const struct args *args, struct slice complaint)
{
    fprintf(stderr, "souk %s: %.*s (see: souk help %s)\n", args->command->name, SLICE_ARG(complaint),
            args->command->name);
    return EXIT_USAGE;
}

/* What AWS keeps: made when the settings name a secret, and there for the life of the process, since every
 * new connection to the database may ask. */
static struct secrets *secrets;

static bool is_of_one_piece(const struct config *config, struct slice *complaint)
{
    *complaint = SLICE("DATABASE_SECRET_ARN is for a PostgreSQL: DATABASE_URL must be postgresql://...");
    return config->database_secret_arn.len == 0 || slice_starts_with(config->database_url, SLICE("postgres"));
}

static bool load_config(const struct args *args, struct config *config, struct slice *complaint)
{
    struct config_flag flags[ARGS_OPTIONS_MAX];
    struct config_sources sources = {.flags = flags, .flag_count = args_config_flags(args, flags)};
    if (!config_load(config, args->arena, &sources, complaint))
        return false;
    if (secrets == NULL && (config->secrets_arn.len > 0 || config->database_secret_arn.len > 0))
        secrets = secrets_new(config);
    if (config->secrets_arn.len == 0)
        return true;
    return secrets_read_settings(secrets, args->arena, &sources.secret, &sources.secret_count, complaint) &&
           config_load(config, args->arena, &sources, complaint);
}

bool cli_config_try(const struct args *args, struct config *config, struct slice *complaint)
{
    if (!load_config(args, config, complaint) || !is_of_one_piece(config, complaint))
        return false;
    log_start(config->log_level);
    return true;
}

bool cli_config(const struct args *args, struct config *config)
{
    struct slice complaint;
    bool is_good = cli_config_try(args, config, &complaint);
    if (!is_good)
        cli_fail(args, EXIT_USAGE, complaint);
    return is_good;
}

static bool read_login(void *arg, struct login *login, bool is_refused)
{
    return secrets_read_login(arg, login, is_refused);
}

struct store *cli_store_try(const struct args *args, const struct config *config, struct slice *complaint)
{
    const struct store_options options = {
        .url = config->database_url,
        .timeout_ms = config->database_timeout_ms,
        .is_unprepared = !config->database_prepare,
        .replica_urls = config->replica_urls,
        .replica_lag_ms = config->replica_lag_ms,
        .logins = {.read = config->database_secret_arn.len > 0 ? read_login : NULL, .arg = secrets},
    };
    return store_open(&options, args->arena, complaint);
}

struct store *cli_store_create(const struct args *args, const struct config *config)
{
    struct slice complaint;
    struct store *store = cli_store_try(args, config, &complaint);
    if (store == NULL)
        cli_fail(args, EXIT_FAILED, complaint);
    return store;
}

/* Whether there may be a shop behind the URL: of an embedded database, whether its file is there. */
static bool shop_may_exist(const struct args *args, const struct config *config)
{
    struct slice scheme = SLICE(SQLITE_SCHEME);
    if (!slice_starts_with(config->database_url, scheme))
        return true;
    struct slice path = arena_copy(args->arena, slice_skip(config->database_url, scheme.len));
    return access(path.ptr, F_OK) == 0;
}

struct store *cli_store_open_any(const struct args *args, const struct config *config)
{
    if (!shop_may_exist(args, config)) {
        cli_fail(args, EXIT_FAILED,
                 arena_format(args->arena,
                              "there is no shop at %.*s; \"souk serve\" or \"souk migrate up\" makes one",
                              SLICE_ARG(config->database_url)));
        return NULL;
    }
    struct slice complaint;
    struct store *store = cli_store_create(args, config);
    if (store == NULL || store_engine(store) == DB_SQLITE || store_reach(store, args->arena, &complaint))
        return store;
    cli_fail(args, EXIT_FAILED, complaint);
    store_close(store);
    return NULL;
}

bool cli_shop_is_whole(struct store *store, struct slice *complaint)
{
    bool is_unfinished;
    if (copy_is_unfinished(store, &is_unfinished) != DB_DONE) {
        *complaint = SLICE("the database cannot be read");
        return false;
    }
    *complaint =
        SLICE("the database holds an unfinished copy of a shop: run the same \"souk copy\" again, or "
              "\"souk migrate reset\" to empty it");
    return !is_unfinished;
}

enum cli_schema cli_schema_check(const struct args *args, struct store *store, struct slice *complaint)
{
    int64_t current = migrations_current(store);
    int64_t latest = migrations_latest();
    *complaint = SLICE("the database cannot be read");
    if (current == latest || current < 0)
        return current < 0 ? CLI_SCHEMA_UNKNOWN : CLI_SCHEMA_CURRENT;
    *complaint =
        arena_format(args->arena, "the database is at version %lld, this souk needs version %lld: %s",
                     (long long)current, (long long)latest,
                     current < latest ? "run \"souk migrate up\"" : "use the newer souk that changed it");
    return current < latest ? CLI_SCHEMA_BEHIND : CLI_SCHEMA_AHEAD;
}

struct store *cli_store_open(const struct args *args, const struct config *config)
{
    struct slice complaint;
    struct store *store = cli_store_open_any(args, config);
    if (store == NULL || (cli_schema_check(args, store, &complaint) == CLI_SCHEMA_CURRENT &&
                          cli_shop_is_whole(store, &complaint)))
        return store;
    cli_fail(args, EXIT_FAILED, complaint);
    store_close(store);
    return NULL;
}

DB_STATEMENT(OTHER_SESSIONS) = {
    .sql_postgres = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'souk' AND pid <> pg_backend_pid()",
    .columns = {DB_INT},
};

/* On PostgreSQL. The sessions of a process that has just ended take a moment to go. */
static bool is_alone_on_server(const struct args *args, const struct config *config)
{
    struct store *store = cli_store_open_any(args, config);
    if (store == NULL)
        return false;
    struct db *db = store_connect(store);
    int64_t give_up_us = clock_monotonic_us() + ENDING_SESSIONS_US;
    int64_t others = 0;
    enum db_result result;
    while ((result = db_one_int(db, &OTHER_SESSIONS, DB_NO_ARGS, &others)) == DB_ROW && others > 0 &&
           clock_monotonic_us() < give_up_us)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    store_disconnect(db);
    store_close(store);
    if (result != DB_ROW)
        cli_fail(args, EXIT_FAILED, SLICE("the database cannot be read"));
    else if (others > 0)
        cli_fail(
            args, EXIT_FAILED,
            SLICE("a souk process has the database open (or a pooler keeps its connections); stop it first"));
    return result == DB_ROW && others == 0;
}

bool cli_is_alone(const struct args *args, const struct config *config)
{
    struct slice scheme = SLICE(SQLITE_SCHEME);
    if (!slice_starts_with(config->database_url, scheme))
        return is_alone_on_server(args, config);
    struct slice path = slice_skip(config->database_url, scheme.len);
    if (path.len > 3 && memcmp(path.ptr + path.len - 3, ".db", 3) == 0)
        path.len -= 3;
    /* The store's own lock, held shared by whoever has it open (data/sqlite_store.c). */
    int fd = open(arena_format(args->arena, "%.*s.lock", SLICE_ARG(path)).ptr, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return true;
    bool is_alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    if (!is_alone)
        cli_fail(args, EXIT_FAILED,
                 arena_format(args->arena, "a souk process has %.*s open; stop it first",
                              SLICE_ARG(config->database_url)));
    return is_alone;
}

bool cli_confirmed(const struct args *args, const char *question)
{
    if (args_has(args, "yes"))
        return true;
    if (!isatty(STDIN_FILENO)) {
        cli_fail(args, EXIT_USAGE,
                 arena_format(args->arena, "%s Nobody is there to ask: say --yes", question));
        return false;
    }
    char answer[16];
    printf("%s [y/N] ", question);
    fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    printf("Nothing was changed.\n");
    return false;
}
