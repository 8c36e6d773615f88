/* Users, for those who make or read them beside their own endpoints: the command line, seeds, log-in. */
#pragma once

#include "auth/principal.h"
#include "base/json_writer.h"
#include "contract/inputs.h"
#include "data/db.h"

/* What two spellings of one mailbox have in common: case folded, accents kept. For look-ups and uniqueness.
 */
struct slice email_fold(struct arena *arena, struct slice email);
/* What accounts are sorted and searched by: last and first name, folded, cut to SORT_KEY_BYTES_MAX. */
struct slice user_name_sort(struct arena *arena, struct slice first_name, struct slice last_name);

/* An account whose identity provider vouches for no address has one that no mail can go to: its local part is
 * unique, its domain does not exist (RFC 2606). */
#define USER_PLACEHOLDER_DOMAIN "identity.invalid"
bool user_email_is_placeholder(struct slice email);

struct user_email {
    struct slice typed, folded; /* in the arena */
};
/* The address of an account. DB_ROW, DB_DONE when there is none (or it is deleted), or DB_ERROR. */
enum db_result user_email_read(struct db *db, struct arena *arena, struct uuid id, struct user_email *email);

struct new_user {
    struct slice email;         /* as typed; checked by the caller */
    struct slice password_hash; /* absent: no password log-in */
    struct slice first_name;
    struct slice last_name;
    enum role role;          /* only the command line and admins give one */
    struct slice staff_role; /* of the kind staff: which; absent: the one named so */
    bool is_email_verified;
};

/* DB_DONE with *id; DB_CONFLICT when the e-mail address is taken (the transaction lives on); DB_ERROR. Inside
 * a transaction. */
enum db_result user_insert(struct db *db, struct arena *arena, const struct new_user *user, int64_t now_ms,
                           struct uuid *id);
/* The contract's User. DB_ROW when written, DB_DONE when there is none. *version may be NULL. */
enum db_result user_write(struct json_writer *json, struct db *db, struct uuid id, int64_t *version);
