/* The erasure of a person (GDPR, article 17) and the export of their data (articles 15 and 20). */
#pragma once

#include "http/response.h"

/* What the transaction of an erasure cannot reach is done by a job, twice: at once, and when the last token
 * of another provider has expired. The message's payload: {"userId": ..., "addressMark": ...}. */
#define ERASED_TOPIC "user.erased"
/* Stands for an address of mail where the address itself may not: a keyed hash, in hexadecimal. */
struct slice erasure_address_mark(const struct services *services, struct arena *arena, struct slice address);

/* Takes all that is personal out of an account and of what it left behind: name, addresses, sessions, carts,
 * second factor; its orders stay in the books without name, address, e-mail and notes; stored replies and
 * audit entries that hold its data are emptied. What waits to be mailed is not. For good: nothing brings it
 * back. Inside the transaction; `version` is the account's. DB_DONE, DB_CONFLICT when the account changed
 * meanwhile, or DB_ERROR. */
enum db_result account_erase(struct request *request, struct response *response, struct db *db,
                             struct uuid id, int64_t version);
