/* Who asks, and what they may do. A staff role is a set of scopes and stands in the table `roles`; what a
 * user may do is read from there at each request (session_check), never from the token. */
#pragma once

#include "base/arena.h"
#include "base/ids.h"

/* The kind of an account. Which of the staff roles somebody of the kind `staff` has stands beside it. */
enum role {
    ROLE_CUSTOMER, /* buys; sees what is their own */
    ROLE_STAFF,    /* runs the shop, as far as the scopes of their role go */
    ROLE_ADMIN     /* all of it; nobody can take anything from it */
};

/* Bits; an operation of the contract names at most one. Their names: scope_name. */
enum scope {
    SCOPE_NONE = 0,
    SCOPE_CATALOGUE_WRITE = 1 << 0,
    SCOPE_INVENTORY_WRITE = 1 << 1,
    SCOPE_ORDERS_READ = 1 << 2,
    SCOPE_ORDERS_WRITE = 1 << 3,
    SCOPE_CUSTOMERS_READ = 1 << 4,
    SCOPE_CUSTOMERS_WRITE = 1 << 5,
    SCOPE_SETTINGS_READ = 1 << 6,
    SCOPE_SETTINGS_WRITE = 1 << 7,
    SCOPE_STAFF_READ = 1 << 8,  /* roles and who has them */
    SCOPE_STAFF_WRITE = 1 << 9, /* make roles and grant them, up to one's own scopes */
    SCOPE_AUDIT_READ = 1 << 10
};

enum principal_kind {
    PRINCIPAL_ANONYMOUS,
    PRINCIPAL_USER,
    PRINCIPAL_KEY /* a secret key: has scopes, and nothing of its own (no account, cart or order) */
};

struct principal {
    enum principal_kind kind;
    enum role role;
    uint32_t scopes; /* bits of enum scope */
    bool
        must_enrol; /* staff without the second factor that the shop demands: they have no scope until then */
    struct uuid user_id;
    struct uuid session_id;
    struct uuid key_id; /* of PRINCIPAL_KEY */
};

/* The kinds, as the database and the tokens spell them. */
const char *role_name(enum role role);
bool role_parse(struct slice name, enum role *role);

/* SQL: the name of a user's role: of the staff role, or of the kind. */
#define USER_ROLE_NAME "CASE WHEN role = 'staff' THEN COALESCE(staff_role, 'staff') ELSE role END"

/* "catalogue:write". */
const char *scope_name(enum scope scope);
bool scope_parse(struct slice name, enum scope *scope);
/* Every scope there is. */
uint32_t scopes_all(void);
/* The scopes of a list of names with a space between them; "*" is all of them. A name of a newer version
 * grants nothing here. */
uint32_t scopes_parse(struct slice names);
/* The names, in the order of the table, with a space between them. */
struct slice scopes_format(struct arena *arena, uint32_t scopes);

static inline bool principal_is_user(const struct principal *principal)
{
    return principal->kind == PRINCIPAL_USER;
}
static inline bool principal_has(const struct principal *principal, enum scope scope)
{
    return (principal->scopes & (uint32_t)scope) == (uint32_t)scope;
}
/* Anyone with a scope at all. */
static inline bool principal_is_staff(const struct principal *principal)
{
    return principal->scopes != 0;
}
/* Whether it sees of the catalogue what is not for sale, and reads it fresh: staff, and keys that may change
 * it. What the others see is public. */
static inline bool principal_sees_drafts(const struct principal *principal)
{
    const uint32_t sees = SCOPE_CATALOGUE_WRITE | SCOPE_INVENTORY_WRITE;
    return principal->kind == PRINCIPAL_KEY ? (principal->scopes & sees) != 0 : principal->scopes != 0;
}
/* Who did it, for what is recorded: a user or a key. Nil: nobody who is known. */
static inline struct uuid principal_actor_id(const struct principal *principal)
{
    return principal->kind == PRINCIPAL_KEY ? principal->key_id : principal->user_id;
}
