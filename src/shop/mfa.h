/* The optional second factor of a log-in: one-time passwords (auth/totp.h) and recovery codes. */
#pragma once

#include "http/response.h"
#include "shop/accounts_session.h"

#define MFA_CHALLENGE_MS (INT64_C(5) * 60 * 1000)
#define MFA_CHALLENGE_TRIES 5

/* A log-in whose password was right and whose account asks for a code. */
struct mfa_challenge {
    struct uuid user_id;
    bool is_cookie;
    bool has_cart;
    struct uuid cart_id;
    struct slice token; /* given to the client, never stored */
};

/* Makes one; inside the transaction of the log-in. DB_DONE or DB_ERROR. */
enum db_result mfa_challenge_make(struct request *request, struct db *db, struct mfa_challenge *challenge);
/* 401 MFA_REQUIRED with the challenge: the log-in is not done yet. */
enum http_status mfa_challenge_answer(struct response *response, const struct mfa_challenge *challenge);

/* Uses a code of the account up: of the authenticator, or a recovery code. Inside a transaction. DB_DONE,
 * DB_CONFLICT when it is wrong or was used before, or DB_ERROR. */
enum db_result mfa_code_use(struct request *request, struct db *db, struct uuid user_id, struct slice code);
/* Takes the second factor away, with its codes; inside a transaction. DB_DONE, also when there was none. */
enum db_result mfa_remove(struct db *db, struct uuid user_id);
/* Ends log-ins that wait for a code: what their password was is right no more. Inside a transaction. */
enum db_result mfa_challenges_end(struct db *db, struct uuid user_id);
/* Deletes up to `limit` challenges that are past their time; for the sweep, inside a transaction. */
enum db_result mfa_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
