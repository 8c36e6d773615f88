/* What keeps guessing slow without keeping the owner out.
 *
 * Failures are counted by account and network (an IPv4 address, the /64 of an IPv6 one), and by account over
 * all networks; past a limit the answer is 429 until the window ends. An attacker with many addresses would
 * lock the owner out by the second, so a client that logged in to the account before is counted apart: it
 * brings a device token (OWASP, "device cookies"), signed, made for that address of mail, with its own
 * counter. Whether the account exists is never asked: an address without one is counted alike.
 *
 * Counters stand in the database, under keyed hashes: all servers see them, and what is past its time is
 * swept. */
#pragma once

#include "http/request.h"

/* Who tries; filled by login_guard_open. */
struct login_guard {
    uint8_t account[SHA256_LEN]; /* the counters' keys */
    uint8_t network[SHA256_LEN];
    uint8_t device[SHA256_LEN];
    bool is_known_device;
};

enum attempt_kind {
    ATTEMPT_MFA,      /* codes of one account */
    ATTEMPT_PASSWORD, /* the password of one who is logged in, asked again */
    ATTEMPT_MAIL      /* messages asked for one address of mail */
};

/* 0 when this client may try now, else how long it has to wait. `device_token` may be absent or anything.
 * DB_DONE or DB_ERROR. */
enum db_result login_guard_open(struct request *request, struct slice email_folded, struct slice device_token,
                                struct login_guard *guard, int64_t *wait_ms);
/* The password was wrong. A transaction of its own; DB_DONE or DB_ERROR. */
enum db_result login_guard_failed(struct request *request, struct login_guard *guard);
/* It was right: what this client failed before is forgotten. Inside a transaction. */
enum db_result login_guard_passed(struct db *db, const struct login_guard *guard);
/* A new device token for an account that was just entered. */
struct slice device_token_make(struct request *request, struct slice email_folded);

/* The same counting of other things, `subject` naming whose: counts one more and says whether it is within
 * the limit of its kind. Inside a transaction that commits. */
enum db_result attempt_count(struct request *request, struct db *db, enum attempt_kind kind,
                             struct slice subject, bool *is_within);
/* How long until another may be tried: 0 when now. */
enum db_result attempt_wait(struct request *request, struct db *db, enum attempt_kind kind,
                            struct slice subject, int64_t *wait_ms);
/* Starts anew; inside a transaction. */
enum db_result attempt_forget(struct request *request, struct db *db, enum attempt_kind kind,
                              struct slice subject);
/* After a new password: whoever proved that they own the account is not kept out. Inside a transaction. */
enum db_result login_guard_forget(struct request *request, struct db *db, struct slice email_folded);

/* 429 with Retry-After. */
enum http_status refuse_attempts(struct response *response, int64_t wait_ms);
/* Deletes up to `limit` counters whose window has ended; for the sweep, inside a transaction. */
enum db_result attempts_purge(struct db *db, int64_t now_ms, int64_t limit, int64_t *deleted);
