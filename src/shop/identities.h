/* Who an identity provider's users are in this shop: its accounts, made at the first log-in. */
#pragma once

#include "auth/issuer.h"
#include "http/request.h"

/* The account and the session that a good token stands for, made where they are new; the role follows the
 * token's groups, newest token first, where the settings map them. DB_ROW with the ids in *principal; DB_DONE
 * when what it stands for was ended before; DB_ERROR. Whether the session still stands, and what its user may
 * do, is session_check's question, every time.
 *
 * A new identity is a new account. It is an existing one's only where the provider has verified the e-mail
 * address and the shop has too. An address that is taken otherwise, or not verified, is not written down: the
 * account has one of USER_PLACEHOLDER_DOMAIN.
 *
 * At the first log-in the provider is asked once: may wait. Outside any transaction. */
enum db_result identity_admit(const struct services *services, struct db *db, struct arena *arena,
                              struct issued_token *issued, int64_t now_ms, struct principal *principal);

/* No token of the user's that was issued before counts any more, seen or not; and the sessions end. Inside a
 * transaction; the caller drops user:ID. DB_DONE or DB_ERROR. */
enum db_result identity_end_tokens(struct db *db, struct uuid user_id, int64_t now_ms);

/* What is left of an erased account's identities - issuer and subject - stays until no token that was issued
 * before can be good any more: with it, such a token would make the account anew. From this time on ... */
int64_t identities_forgettable_ms(int64_t erased_at_ms);
/* ... this forgets them; before it, and for an account that is not erased, it does nothing. DB_DONE or
 * DB_ERROR.
 */
enum db_result identities_forget(struct db *db, struct uuid user_id, int64_t now_ms);
