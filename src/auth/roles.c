/* The one table of roles: their names, as the database and the tokens spell them, and the scopes they grant.
 */
#include "auth/principal.h"

#include "base/check.h"

#define SCOPES_STAFF                                                                                         \
    (SCOPE_CATALOGUE_WRITE | SCOPE_INVENTORY_WRITE | SCOPE_ORDERS_READ | SCOPE_ORDERS_WRITE |                \
     SCOPE_CUSTOMERS_READ | SCOPE_SETTINGS_READ)
#define SCOPES_ADMIN (SCOPES_STAFF | SCOPE_CUSTOMERS_WRITE | SCOPE_SETTINGS_WRITE)

static const struct {
    const char *name;
    uint32_t scopes;
} ROLES[] = {
    [ROLE_CUSTOMER] = {"customer", SCOPE_NONE},
    [ROLE_STAFF] = {"staff", SCOPES_STAFF},
    [ROLE_ADMIN] = {"admin", SCOPES_ADMIN},
};

uint32_t role_scopes(enum role role)
{
    CHECK((size_t)role < COUNT_OF(ROLES));
    return ROLES[role].scopes;
}

const char *role_name(enum role role)
{
    CHECK((size_t)role < COUNT_OF(ROLES));
    return ROLES[role].name;
}

bool role_parse(struct slice name, enum role *role)
{
    for (size_t i = 0; i < COUNT_OF(ROLES); i++) {
        if (slice_is(name, ROLES[i].name)) {
            *role = (enum role)i;
            return true;
        }
    }
    return false;
}
