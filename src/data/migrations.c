/* Applying and undoing the schema's versions. What differs by engine (locks, transactions) is behind the
 * driver's schema_ functions; the order, the refusals and the bookkeeping are here. */
#include "data/migrations_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "data/db_private.h"

#include <stdlib.h>

/* ---- the table of files ---- */

struct file_name {
    int64_t version;
    struct slice name;
    struct slice engine; /* absent: shared */
    bool is_up;
};

static bool is_word(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!((text.ptr[i] >= 'a' && text.ptr[i] <= 'z') || (text.ptr[i] >= '0' && text.ptr[i] <= '9') ||
              text.ptr[i] == '_'))
            return false;
    return text.len > 0;
}

/* NNNN_name[.engine].up|down.sql */
static bool parse_file_name(const char *text, struct file_name *parsed)
{
    *parsed = (struct file_name){.engine = SLICE_ABSENT};
    struct slice rest = slice_from(text);
    struct slice parts[5];
    size_t count = 0;
    while (count < COUNT_OF(parts) && slice_split(&rest, '.', &parts[count]))
        count++;
    if ((count != 3 && count != 4) || !slice_is(parts[count - 1], "sql"))
        return false;
    if (count == 4)
        parsed->engine = parts[1];
    parsed->is_up = slice_is(parts[count - 2], "up");
    if (!parsed->is_up && !slice_is(parts[count - 2], "down"))
        return false;
    struct slice number;
    parsed->name = parts[0];
    long long version;
    if (!slice_split(&parsed->name, '_', &number) || !is_word(number) || !slice_to_int64(number, &version))
        return false;
    parsed->version = version;
    return version > 0 && is_word(parsed->name);
}

static int compare_versions(const void *a, const void *b)
{
    int64_t first = ((const struct migration *)a)->version;
    int64_t second = ((const struct migration *)b)->version;
    return (first > second) - (first < second);
}

static struct migration *find_or_add(struct migration *list, int64_t *count, size_t max,
                                     const struct file_name *file)
{
    for (int64_t i = 0; i < *count; i++)
        if (list[i].version == file->version)
            return &list[i];
    CHECK((size_t)*count < max);
    struct migration *added = &list[(*count)++];
    *added = (struct migration){.version = file->version, .name = file->name};
    return added;
}

int64_t migrations_collect(const struct migration_file *files, const char *engine, struct migration *list,
                           size_t max, struct arena *arena, struct slice *complaint)
{
    int64_t count = 0;
    for (; files->name != NULL; files++) {
        struct file_name file;
        if (!parse_file_name(files->name, &file)) {
            *complaint = arena_format(arena, "migration %s: the name must be NNNN_name.up.sql or .down.sql",
                                      files->name);
            return -1;
        }
        if (!slice_is_absent(file.engine) && !slice_is(file.engine, engine))
            continue;
        struct migration *migration = find_or_add(list, &count, max, &file);
        if (!slice_equals(migration->name, file.name)) {
            *complaint = arena_format(arena, "migration %s: another one has the same number", files->name);
            return -1;
        }
        size_t part = slice_is_absent(file.engine) ? 0 : 1;
        (file.is_up ? migration->up : migration->down)[part] = files->sql;
    }
    qsort(list, (size_t)count, sizeof(*list), compare_versions);
    for (int64_t i = 0; i < count; i++)
        if (list[i].up[0] == NULL && list[i].up[1] == NULL) {
            *complaint =
                arena_format(arena, "migration %lld: there is no file to go up", (long long)list[i].version);
            return -1;
        }
    return count;
}

/* ---- one run ---- */

struct run {
    const struct db_driver *driver;
    struct db_schema *schema;
    struct migration *known;
    int64_t known_count;
    struct schema_version *applied;
    int64_t applied_count;
    struct arena *arena;
    struct slice *complaint;
};

static bool complain(struct run *run, const char *what)
{
    *run->complaint = arena_format(run->arena, "%s: %s", what, run->driver->schema_error(run->schema));
    return false;
}

static bool run_open(struct run *run, struct store *store, const struct migration_file *files,
                     struct arena *arena, struct slice *complaint)
{
    *run = (struct run){.driver = store->driver, .arena = arena, .complaint = complaint};
    run->known = ARENA_ARRAY(arena, struct migration, MIGRATIONS_MAX);
    run->applied = ARENA_ARRAY(arena, struct schema_version, MIGRATIONS_MAX);
    run->known_count =
        migrations_collect(files, run->driver->name, run->known, MIGRATIONS_MAX, arena, complaint);
    if (run->known_count < 0)
        return false;
    run->schema = run->driver->schema_open(store, arena, complaint);
    return run->schema != NULL;
}

/* Reads which versions are applied, and refuses a database that a newer binary has changed. */
static bool read_applied(struct run *run)
{
    run->applied_count = run->driver->schema_versions(run->schema, run->applied, MIGRATIONS_MAX);
    if (run->applied_count < 0)
        return complain(run, "the schema's version cannot be read");
    int64_t latest = run->known_count > 0 ? run->known[run->known_count - 1].version : 0;
    int64_t current = run->applied_count > 0 ? run->applied[run->applied_count - 1].version : 0;
    if (current <= latest)
        return true;
    *run->complaint = arena_format(run->arena,
                                   "the database is at version %lld, this souk knows versions up to %lld: "
                                   "use the newer souk that changed it",
                                   (long long)current, (long long)latest);
    return false;
}

static int64_t applied_at(const struct run *run, int64_t version)
{
    for (int64_t i = 0; i < run->applied_count; i++)
        if (run->applied[i].version == version)
            return run->applied[i].applied_at_ms;
    return 0;
}

static const struct migration *first_pending(const struct run *run)
{
    for (int64_t i = 0; i < run->known_count; i++)
        if (applied_at(run, run->known[i].version) == 0)
            return &run->known[i];
    return NULL;
}

static const struct migration *last_applied(const struct run *run)
{
    for (int64_t i = run->known_count - 1; i >= 0; i--)
        if (applied_at(run, run->known[i].version) != 0)
            return &run->known[i];
    return NULL;
}

static bool exec_part(struct run *run, const struct migration *migration, const char *sql,
                      const char *direction)
{
    if (sql == NULL || run->driver->schema_exec(run->schema, sql))
        return true;
    struct slice what = arena_format(run->arena, "migration %lld (%.*s) %s failed",
                                     (long long)migration->version, SLICE_ARG(migration->name), direction);
    return complain(run, what.ptr);
}

static bool apply(struct run *run, const struct migration *migration)
{
    /* The name is a word of letters, digits and underscores: parse_file_name saw to it. */
    struct slice record = arena_format(
        run->arena, "INSERT INTO schema_migrations (version, name, applied_at) VALUES (%lld, '%.*s', %lld)",
        (long long)migration->version, SLICE_ARG(migration->name), (long long)clock_now_ms());
    return exec_part(run, migration, migration->up[0], "up") &&
           exec_part(run, migration, migration->up[1], "up") && exec_part(run, migration, record.ptr, "up");
}

static bool undo(struct run *run, const struct migration *migration)
{
    if (migration->down[0] == NULL && migration->down[1] == NULL) {
        *run->complaint =
            arena_format(run->arena, "migration %lld (%.*s) cannot be undone: it has no .down.sql",
                         (long long)migration->version, SLICE_ARG(migration->name));
        return false;
    }
    struct slice record = arena_format(run->arena, "DELETE FROM schema_migrations WHERE version = %lld",
                                       (long long)migration->version);
    return exec_part(run, migration, migration->down[1], "down") &&
           exec_part(run, migration, migration->down[0], "down") &&
           exec_part(run, migration, record.ptr, "down");
}

/* One version up or down, in a transaction that begins with the lock and looks again at what is applied:
 * another process may have come first. *is_finished when there was nothing left to do. */
static bool step(struct run *run, bool is_up, bool *is_finished)
{
    if (!run->driver->schema_begin(run->schema))
        return complain(run, "the schema cannot be locked");
    const struct migration *migration = NULL;
    bool ok = read_applied(run);
    if (ok)
        migration = is_up ? first_pending(run) : last_applied(run);
    *is_finished = ok && migration == NULL;
    if (migration != NULL)
        ok = is_up ? apply(run, migration) : undo(run, migration);
    if (ok && !run->driver->schema_commit(run->schema)) {
        struct slice what = migration == NULL
                                ? SLICE("the schema's version cannot be kept")
                                : arena_format(run->arena, "migration %lld (%.*s) failed at its end",
                                               (long long)migration->version, SLICE_ARG(migration->name));
        ok = complain(run, what.ptr);
    }
    if (!ok)
        run->driver->schema_rollback(run->schema);
    else if (migration != NULL)
        log_message(LOG_INFO, "migration %lld (%.*s) %s", (long long)migration->version,
                    SLICE_ARG(migration->name), is_up ? "applied" : "undone");
    return ok;
}

bool migrations_run_up(struct store *store, const struct migration_file *files, struct arena *arena,
                       int64_t *applied, struct slice *complaint)
{
    *applied = 0;
    struct run run;
    if (!run_open(&run, store, files, arena, complaint))
        return false;
    /* Without the lock first: at nearly every start there is nothing to do, and nobody need wait for that. */
    bool ok = read_applied(&run);
    bool is_finished = ok && first_pending(&run) == NULL;
    while (ok && !is_finished) {
        ok = step(&run, true, &is_finished);
        if (ok && !is_finished)
            (*applied)++;
    }
    run.driver->schema_close(run.schema);
    return ok;
}

bool migrations_run_down(struct store *store, const struct migration_file *files, int64_t steps,
                         struct arena *arena, int64_t *applied, struct slice *complaint)
{
    *applied = 0;
    struct run run;
    if (!run_open(&run, store, files, arena, complaint))
        return false;
    bool ok = true, is_finished = false;
    while (ok && !is_finished && *applied < steps) {
        ok = step(&run, false, &is_finished);
        if (ok && !is_finished)
            (*applied)++;
    }
    run.driver->schema_close(run.schema);
    return ok;
}

size_t migrations_list(struct store *store, const struct migration_file *files, struct arena *arena,
                       struct migration_status *list, size_t max)
{
    struct run run;
    struct slice complaint;
    if (!run_open(&run, store, files, arena, &complaint))
        return 0;
    run.applied_count = run.driver->schema_versions(run.schema, run.applied, MIGRATIONS_MAX);
    run.driver->schema_close(run.schema);
    size_t count = 0;
    for (; count < max && count < (size_t)run.known_count; count++) {
        const struct migration *migration = &run.known[count];
        list[count] = (struct migration_status){migration->version, migration->name,
                                                applied_at(&run, migration->version)};
    }
    return count;
}

/* ---- what the binary carries ---- */

int64_t migrations_latest(void)
{
    int64_t latest = 0;
    for (const struct migration_file *file = migration_files; file->name != NULL; file++) {
        struct file_name parsed;
        if (parse_file_name(file->name, &parsed) && parsed.version > latest)
            latest = parsed.version;
    }
    return latest;
}

int64_t migrations_current(struct store *store)
{
    struct arena arena;
    CHECK(arena_init(&arena, (size_t)64 << 10));
    int64_t current = -1;
    struct slice complaint;
    struct db_schema *schema = store->driver->schema_open(store, &arena, &complaint);
    if (schema != NULL) {
        struct schema_version *list = ARENA_ARRAY(&arena, struct schema_version, MIGRATIONS_MAX);
        int64_t count = store->driver->schema_versions(schema, list, MIGRATIONS_MAX);
        current = count > 0 ? list[count - 1].version : count;
        store->driver->schema_close(schema);
    }
    arena_release(&arena);
    return current;
}

bool migrations_up(struct store *store, struct arena *arena, int64_t *applied, struct slice *complaint)
{
    return migrations_run_up(store, migration_files, arena, applied, complaint);
}

bool migrations_down(struct store *store, int64_t steps, struct arena *arena, int64_t *applied,
                     struct slice *complaint)
{
    return migrations_run_down(store, migration_files, steps, arena, applied, complaint);
}

size_t migrations_status(struct store *store, struct arena *arena, struct migration_status *list, size_t max)
{
    return migrations_list(store, migration_files, arena, list, max);
}
