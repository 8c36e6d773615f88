/* What the kinds of account may do in a shop as the migrations make it. */
#pragma once

#include "auth/principal.h"

static inline uint32_t scopes_of_kind(enum role role)
{
    switch (role) {
    case ROLE_CUSTOMER:
        return 0;
    case ROLE_STAFF:
        return SCOPE_CATALOGUE_WRITE | SCOPE_INVENTORY_WRITE | SCOPE_ORDERS_READ | SCOPE_ORDERS_WRITE |
               SCOPE_CUSTOMERS_READ | SCOPE_SETTINGS_READ;
    case ROLE_ADMIN:
        break;
    }
    return scopes_all();
}
