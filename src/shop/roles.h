/* Staff roles: sets of scopes, for those who grant them. */
#pragma once

#include "auth/session.h"
#include "http/response.h"

/* A name that an account may carry, and what it stands for. */
struct role_grant {
    enum role kind;
    struct slice name;
    uint32_t scopes;
};

/* Looks a role up, `customer` and `admin` too. DB_ROW with *grant (its name is `name`), DB_DONE when there is
 * none, or DB_ERROR. */
enum db_result role_find(struct db *db, struct slice name, struct role_grant *grant);

/* Whether the caller may still do this, which needs `scope`: the gateway looked before the request waited for
 * its turn to write, and they may have been demoted meanwhile. Role and scopes of the request's principal are
 * those of now afterwards. Inside the transaction that writes. 0, or the refusal. */
enum http_status refuse_former_staff(struct request *request, struct response *response, enum scope scope);

/* Nobody grants, takes away or touches more than they have: 0 when the caller has all of `scopes`, else 403.
 */
enum http_status refuse_greater_scopes(const struct request *request, struct response *response,
                                       uint32_t scopes);
