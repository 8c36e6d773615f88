/* The PostgreSQL store, and the driver's table. Opening it reaches for nothing: a server may start while its
 * database is away. */
#include "data/postgres_private.h"

#include <stdlib.h>

void postgres_server_init(struct postgres_server *server, struct slice url, const char *session_attributes,
                          const struct store_options *options)
{
    server->url = strndup(url.ptr, url.len);
    CHECK(server->url != NULL);
    server->session_attributes = session_attributes;
    server->logins = options->logins;
    server->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DATABASE_TIMEOUT_MS_DEFAULT;
    server->is_prepared = !options->is_unprepared;
}

void postgres_server_copy(struct postgres_server *server, const struct postgres_server *other,
                          int64_t timeout_ms)
{
    server->url = strdup(other->url);
    CHECK(server->url != NULL);
    server->session_attributes = other->session_attributes;
    server->logins = other->logins;
    server->timeout_ms = other->timeout_ms < timeout_ms ? other->timeout_ms : timeout_ms;
    server->is_prepared = other->is_prepared;
    server->is_optional = true;
}

void postgres_server_release(struct postgres_server *server)
{
    free((char *)(uintptr_t)server->url);
}

static bool names_login(const PQconninfoOption *options)
{
    for (; options->keyword != NULL; options++) {
        bool is_login = strcmp(options->keyword, "user") == 0 || strcmp(options->keyword, "password") == 0;
        if (is_login && options->val != NULL)
            return true;
    }
    return false;
}

/* Whether libpq understands the URL, which names no log-in where a secret does; else *complaint, without what
 * it complains of, which may be a password. */
static bool check_url(struct slice url, bool has_logins, struct slice *complaint)
{
    char *text = strndup(url.ptr, url.len);
    CHECK(text != NULL);
    PQconninfoOption *options = PQconninfoParse(text, NULL);
    free(text);
    if (options == NULL)
        *complaint = SLICE("DATABASE_URL: must be postgresql://[user[:password]@]host[:port][,...]/database"
                           "[?parameter=value&...]");
    bool is_good = options != NULL && !(has_logins && names_login(options));
    if (options != NULL && !is_good)
        *complaint = SLICE("DATABASE_URL: must name no user and no password where DATABASE_SECRET_ARN does");
    PQconninfoFree(options);
    return is_good;
}

static void postgres_store_close(struct store *base)
{
    struct postgres_store *store = (struct postgres_store *)base;
    postgres_replicas_stop(base);
    postgres_replicas_free(store->replicas);
    postgres_connection_free(store->keeper);
    pthread_mutex_destroy(&store->mutex);
    postgres_batches_release(&store->batches);
    postgres_server_release(&store->primary);
    free(store);
}

static struct store *postgres_store_open(const struct store_options *options, struct arena *arena,
                                         struct slice *complaint)
{
    if (!check_url(options->url, options->logins.read != NULL, complaint))
        return NULL;
    struct postgres_store *store = calloc(1, sizeof(*store));
    CHECK(store != NULL);
    store->base.driver = &postgres_driver;
    postgres_server_init(&store->primary, options->url, "read-write", options);
    pthread_mutex_init(&store->mutex, NULL);
    postgres_batches_init(&store->batches);
    store->keeper = postgres_connection_new(&store->base, &store->primary);
    if (options->replica_urls.len > 0)
        store->replicas = postgres_replicas_new(store, options, arena, complaint);
    if (options->replica_urls.len == 0 || store->replicas != NULL)
        return &store->base;
    postgres_store_close(&store->base);
    return NULL;
}

static struct db *postgres_store_connect(struct store *base)
{
    struct postgres_store *store = (struct postgres_store *)base;
    return &postgres_connection_new(base, &store->primary)->base;
}

static void postgres_store_disconnect(struct db *db)
{
    postgres_connection_free((struct postgres_connection *)db);
}

static bool postgres_store_is_ready(struct store *base)
{
    struct postgres_store *store = (struct postgres_store *)base;
    const struct postgres_flight flight = {.control = "SELECT 1"};
    enum db_result result;
    pthread_mutex_lock(&store->mutex);
    PQclear(postgres_fly(store->keeper, &flight, &result));
    pthread_mutex_unlock(&store->mutex);
    return result == DB_DONE;
}

static size_t postgres_store_wal_bytes(const struct store *base)
{
    (void)base;
    return 0;
}

/* There is no lane for whole requests: each worker writes on its own connection. */
static bool postgres_submit(struct store *store, struct lane_job *job)
{
    (void)store;
    (void)job;
    return false;
}

/* Each statement has its own snapshot. A request's reads need none in common: what it caches is dropped by
 * whoever changes it, and what it changes carries the version that it was decided on (docs/decisions). */
static void postgres_read_begin(struct db *db)
{
    (void)db;
}

static void postgres_read_end(struct db *db)
{
    postgres_close_open_rows((struct postgres_connection *)db, 0);
}

const struct db_driver postgres_driver = {
    .engine = DB_POSTGRES,
    .scheme = "postgres",
    .name = "postgres",
    .has_lane = false,
    .reads_inline = false,
    .open = postgres_store_open,
    .close = postgres_store_close,
    .connect = postgres_store_connect,
    .disconnect = postgres_store_disconnect,
    .is_ready = postgres_store_is_ready,
    .has_replicas = postgres_has_replicas,
    .read_connection = postgres_read_connection,
    .cache_link = postgres_cache_link,
    .replicas_start = postgres_replicas_start,
    .replicas_stop = postgres_replicas_stop,
    .wal_bytes = postgres_store_wal_bytes,
    .submit = postgres_submit,
    .prepare = postgres_prepare,
    .query = postgres_query,
    .expect = postgres_expect,
    .expect_end = postgres_expect_end,
    .next = postgres_next,
    .close_rows = postgres_close_rows,
    .run = postgres_run,
    .changes = postgres_changes,
    .is_null = postgres_is_null,
    .get_integer = postgres_get_integer,
    .get_uuid = postgres_get_uuid,
    .get_bytes = postgres_get_bytes,
    .transaction = postgres_transaction,
    .transaction_batched = postgres_transaction_batched,
    .read_begin = postgres_read_begin,
    .read_end = postgres_read_end,
    .in_transaction = postgres_in_transaction,
    .schema_open = postgres_schema_open,
    .schema_close = postgres_schema_close,
    .schema_begin = postgres_schema_begin,
    .schema_exec = postgres_schema_exec,
    .schema_commit = postgres_schema_commit,
    .schema_rollback = postgres_schema_rollback,
    .schema_versions = postgres_schema_versions,
    .schema_error = postgres_schema_error,
    .snapshot_begin = postgres_snapshot_begin,
    .snapshot_end = postgres_snapshot_end,
    .bulk_open = postgres_bulk_open,
    .bulk_close = postgres_bulk_close,
    .bulk_begin = postgres_bulk_begin,
    .bulk_row = postgres_bulk_row,
    .bulk_commit = postgres_bulk_commit,
    .bulk_rollback = postgres_bulk_rollback,
    .bulk_finish = postgres_bulk_finish,
    .bulk_error = postgres_bulk_error,
};
