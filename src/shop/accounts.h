/* What proves that somebody reads an account's mail: tokens that are mailed, stored as SHA-256 only, good
 * once and for a while. And the purge of those whose time has passed. */
#pragma once

#include "http/request.h"
#include "shop/accounts_session.h"

/* Somebody enters their account: a session begins, the guest's cart comes along. */
struct account_entry {
    struct uuid user_id;
    bool has_cart;
    struct uuid guest_cart_id;
    struct session_answer answer; /* `is_cookie` is given, the rest filled */
};

#define ACCOUNT_ENTER_TRIES 3 /* a cart that somebody else changes at the same moment */

/* Inside a transaction, which may run again. DB_DONE, DB_CONFLICT (try again) or DB_ERROR. */
enum db_result account_enter(struct db *db, struct request *request, struct account_entry *entry);

/* The password of the caller, asked again before something grave; on the password pool. 0 with the account's
 * address of mail, or the refusal. Wrong ones are counted. Defined in mfa.c. */
enum http_status account_password_check(struct request *request, struct response *response,
                                        struct slice password, struct slice *email);

/* Refuses a wrong code of the caller's second factor, and counts it. Defined in mfa.c. */
enum http_status account_code_refuse(struct request *request, struct response *response);

enum account_token_purpose {
    ACCOUNT_VERIFY_EMAIL,  /* 48 hours; topic user.verify_email */
    ACCOUNT_RESET_PASSWORD /* 1 hour; topic user.password_reset; a newer one ends those before it */
};

/* Makes a token and leaves its message in the outbox: {"userId": ..., "sealedToken": base64url of secret_seal
 * under services->seal_key}, so that no table holds a token that works. Inside a transaction. DB_DONE or
 * DB_ERROR. */
enum db_result account_token_send(struct request *request, struct db *db, struct uuid user_id,
                                  enum account_token_purpose purpose);
/* The same work for an address that has no account: a message of the same size that is never delivered, so
 * that the time until the answer does not tell. */
enum db_result account_token_feign(struct request *request, struct db *db,
                                   enum account_token_purpose purpose);
/* Whose token it is: DB_ROW when it can be used, DB_DONE when it is unknown, used, expired or its account is
 * not active, or DB_ERROR. */
enum db_result account_token_find(struct db *db, struct slice token, enum account_token_purpose purpose,
                                  int64_t now_ms, struct uuid *user_id);
/* Uses it up, inside a transaction: DB_DONE with its user, DB_CONFLICT when it is no good (as above, or
 * somebody used it meanwhile), or DB_ERROR. */
enum db_result account_token_use(struct db *db, struct slice token, enum account_token_purpose purpose,
                                 int64_t now_ms, struct uuid *user_id);
/* Ends what tokens of this purpose the account has left. */
enum db_result account_tokens_end(struct db *db, struct uuid user_id, enum account_token_purpose purpose,
                                  int64_t now_ms);

/* Deletes up to `limit` expired tokens; *deleted counts. For the purge job, inside a transaction. */
enum db_result accounts_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
