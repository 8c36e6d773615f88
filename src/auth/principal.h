/* Who asks, and what they may do. One table (roles.c) says which scopes a role grants. */
#pragma once

#include "base/ids.h"

enum role {
    ROLE_CUSTOMER, /* buys; sees what is their own */
    ROLE_STAFF,    /* runs the shop: catalogue, stock, orders, reads customers and settings */
    ROLE_ADMIN     /* all of it, grants roles, changes settings */
};

/* Bits; an operation of the contract names at most one. */
enum scope {
    SCOPE_NONE = 0,
    SCOPE_CATALOGUE_WRITE = 1 << 0,
    SCOPE_INVENTORY_WRITE = 1 << 1,
    SCOPE_ORDERS_READ = 1 << 2,
    SCOPE_ORDERS_WRITE = 1 << 3,
    SCOPE_CUSTOMERS_READ = 1 << 4,
    SCOPE_CUSTOMERS_WRITE = 1 << 5,
    SCOPE_SETTINGS_READ = 1 << 6,
    SCOPE_SETTINGS_WRITE = 1 << 7
};

enum principal_kind { PRINCIPAL_ANONYMOUS, PRINCIPAL_USER };

struct principal {
    enum principal_kind kind;
    enum role role;
    uint32_t scopes; /* bits of enum scope */
    struct uuid user_id;
    struct uuid session_id;
};

uint32_t role_scopes(enum role role);
const char *role_name(enum role role);
bool role_parse(struct slice name, enum role *role);

static inline bool principal_is_user(const struct principal *principal)
{
    return principal->kind == PRINCIPAL_USER;
}
static inline bool principal_has(const struct principal *principal, enum scope scope)
{
    return (principal->scopes & (uint32_t)scope) == (uint32_t)scope;
}
/* Staff or admin: anyone with a scope at all. */
static inline bool principal_is_staff(const struct principal *principal)
{
    return principal->scopes != 0;
}
