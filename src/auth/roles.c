/* The names of roles and scopes, as the database, the contract and the tokens spell them. Which scopes a role
 * grants stands in the table `roles`. */
#include "auth/principal.h"

#include "base/buf.h"
#include "base/check.h"

static const char *const ROLES[] = {
    [ROLE_CUSTOMER] = "customer",
    [ROLE_STAFF] = "staff",
    [ROLE_ADMIN] = "admin",
};

const char *role_name(enum role role)
{
    CHECK((size_t)role < COUNT_OF(ROLES));
    return ROLES[role];
}

bool role_parse(struct slice name, enum role *role)
{
    for (size_t i = 0; i < COUNT_OF(ROLES); i++) {
        if (slice_is(name, ROLES[i])) {
            *role = (enum role)i;
            return true;
        }
    }
    return false;
}

static const struct {
    enum scope scope;
    const char *name;
} SCOPES[] = {
    {SCOPE_CATALOGUE_WRITE, "catalogue:write"}, {SCOPE_INVENTORY_WRITE, "inventory:write"},
    {SCOPE_ORDERS_READ, "orders:read"},         {SCOPE_ORDERS_WRITE, "orders:write"},
    {SCOPE_CUSTOMERS_READ, "customers:read"},   {SCOPE_CUSTOMERS_WRITE, "customers:write"},
    {SCOPE_SETTINGS_READ, "settings:read"},     {SCOPE_SETTINGS_WRITE, "settings:write"},
    {SCOPE_STAFF_READ, "staff:read"},           {SCOPE_STAFF_WRITE, "staff:write"},
    {SCOPE_AUDIT_READ, "audit:read"},
};

const char *scope_name(enum scope scope)
{
    for (size_t i = 0; i < COUNT_OF(SCOPES); i++) {
        if (SCOPES[i].scope == scope)
            return SCOPES[i].name;
    }
    CHECK(false);
    return NULL;
}

bool scope_parse(struct slice name, enum scope *scope)
{
    for (size_t i = 0; i < COUNT_OF(SCOPES); i++) {
        if (slice_is(name, SCOPES[i].name)) {
            *scope = SCOPES[i].scope;
            return true;
        }
    }
    return false;
}

uint32_t scopes_all(void)
{
    uint32_t scopes = 0;
    for (size_t i = 0; i < COUNT_OF(SCOPES); i++)
        scopes |= (uint32_t)SCOPES[i].scope;
    return scopes;
}

uint32_t scopes_parse(struct slice names)
{
    uint32_t scopes = 0;
    struct slice name;
    if (slice_is(names, "*"))
        return scopes_all();
    while (slice_split(&names, ' ', &name)) {
        enum scope scope;
        if (scope_parse(name, &scope))
            scopes |= (uint32_t)scope;
    }
    return scopes;
}

struct slice scopes_format(struct arena *arena, uint32_t scopes)
{
    struct buf text;
    buf_init(&text, arena);
    for (size_t i = 0; i < COUNT_OF(SCOPES); i++) {
        if ((scopes & (uint32_t)SCOPES[i].scope) == 0)
            continue;
        if (text.len > 0)
            buf_append_char(&text, ' ');
        buf_append(&text, slice_from(SCOPES[i].name));
    }
    return buf_slice(&text);
}
