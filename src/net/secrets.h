/* What a shop keeps in AWS Secrets Manager: settings (SOUK_SECRETS_ARN), and who logs in to its database
 * (DATABASE_SECRET_ARN), whose password AWS changes now and then. Both are read over one connection, once in
 * the process; the log-in again when the database refuses it. */
#pragma once

#include "base/arena.h"
#include "base/config.h"
#include "base/login.h"

#define SECRET_SETTINGS_MAX 128

struct secrets; /* thread-safe */

/* Reaches for nothing. The settings outlive it. */
struct secrets *secrets_new(const struct config *config);
/* Wipes what it holds. NULL is fine. */
void secrets_free(struct secrets *secrets);

/* The members of the secret of SOUK_SECRETS_ARN, a JSON object of texts, into the arena. False: *complaint,
 * one line without a value. Waits for up to 5 s. */
bool secrets_read_settings(struct secrets *secrets, struct arena *arena, const struct config_given **given,
                           size_t *count, struct slice *complaint);

/* The `username` and `password` of the secret of DATABASE_SECRET_ARN. `are_refused`: the database refuses
 * those in *login; then others that another thread has read meanwhile, or that are read now, at most once a
 * second. False: there are no (other) ones; the log says why. Waits for up to 5 s. */
bool secrets_read_login(struct secrets *secrets, struct login *login, bool are_refused);
