/* The erasure of a person (GDPR, article 17) and the export of their data (articles 15 and 20). */
#pragma once

#include "http/response.h"

/* Takes all that is personal out of an account and of what it left behind: name, addresses, sessions, carts,
 * second factor; its orders stay in the books without name, address, e-mail and notes; stored replies and
 * audit entries that hold its data are emptied. What waits to be mailed is not. For good: nothing brings it
 * back. Inside the transaction; `version` is the account's. DB_DONE, DB_CONFLICT when the account changed
 * meanwhile, or DB_ERROR. */
enum db_result account_erase(struct request *request, struct response *response, struct db *db,
                             struct uuid id, int64_t version);
