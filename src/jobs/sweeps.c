/* The sweeps. What is deleted is decided by the resource's own purge function; here it is only cut into
 * batches. */
#include "jobs/sweeps.h"

#include "auth/session.h"
#include "http/audit.h"
#include "http/idempotency.h"
#include "jobs/outbox_delivery.h"
#include "shop/accounts.h"
#include "shop/cart.h"
#include "shop/login_guard.h"
#include "shop/mfa.h"
#include "shop/settings.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct sweep {
    enum db_result (*purge)(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
    int64_t now_ms;
    int64_t deleted;
};

static enum db_result sweep_batch(struct db *db, void *arg)
{
    struct sweep *sweep = arg;
    return sweep->purge(db, sweep->now_ms, SWEEP_BATCH, &sweep->deleted);
}

static enum db_result sweep_run(struct step *step, enum db_result (*purge)(struct db *db, int64_t now_ms,
                                                                           int64_t limit, int64_t *deleted))
{
    struct sweep sweep = {.purge = purge, .now_ms = step->now_ms};
    for (int i = 0; i < SWEEP_BATCHES_MAX && !step_must_end(step); i++) {
        if (db_transaction(step->db, sweep_batch, &sweep) != DB_DONE)
            return DB_ERROR;
        step->has_more = sweep.deleted >= SWEEP_BATCH;
        if (!step->has_more)
            break;
    }
    return DB_DONE;
}

enum db_result sweep_idempotency_records(struct step *step)
{
    return sweep_run(step, idempotency_purge);
}

enum db_result sweep_sessions(struct step *step)
{
    return sweep_run(step, sessions_purge);
}

enum db_result sweep_account_tokens(struct step *step)
{
    return sweep_run(step, accounts_purge);
}

enum db_result sweep_outbox(struct step *step)
{
    return sweep_run(step, outbox_purge);
}

enum db_result sweep_signing_keys(struct step *step)
{
    return sweep_run(step, keys_purge);
}

/* By the setting how long they are kept. */
enum db_result sweep_audit_log(struct step *step)
{
    struct step aged = *step;
    aged.now_ms -= step->services->config->audit_days * DAY_MS;
    enum db_result result = sweep_run(&aged, audit_purge);
    step->has_more = aged.has_more;
    return result;
}

enum db_result sweep_attempts(struct step *step)
{
    return sweep_run(step, attempts_purge);
}

enum db_result sweep_login_challenges(struct step *step)
{
    return sweep_run(step, mfa_purge);
}

/* Carts have no index on their age (every change of a cart would write it): they are walked through in the
 * order of their making, some at each beat, from the oldest to the first that is too young. */
enum db_result sweep_carts(struct step *step)
{
    struct shop_settings settings;
    if (shop_settings_read(step->db, step->arena, &settings) != DB_DONE)
        return DB_ERROR;
    int64_t before_ms = step->now_ms - settings.cart_ttl_days * DAY_MS;
    for (int i = 0; i < SWEEP_BATCHES_MAX && !step_must_end(step); i++) {
        int64_t deleted = 0;
        enum db_result result = carts_purge(step->db, before_ms, SWEEP_BATCH, &step->cart_position, &deleted);
        if (result != DB_DONE)
            return result;
        /* Where there was something there may be more; else the walk goes on at the next beat. */
        step->has_more = deleted > 0;
        if (step->cart_position == 0) {
            step->has_more = false;
            break;
        }
    }
    return DB_DONE;
}
