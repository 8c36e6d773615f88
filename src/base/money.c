/* Arithmetic on money that could overflow or must round. */
#include "base/money.h"

#include "base/check.h"

int64_t money_rate_half_up(int64_t amount_minor, int64_t rate_basis_points)
{
    CHECK(amount_minor >= 0);
    CHECK(rate_basis_points >= 0 && rate_basis_points <= BASIS_POINTS_ONE);
    /* In two parts, so that no amount overflows: with rate <= 1 the whole part is at most the amount. */
    int64_t whole = amount_minor / BASIS_POINTS_ONE * rate_basis_points;
    int64_t rest = amount_minor % BASIS_POINTS_ONE * rate_basis_points;
    return whole + (rest + BASIS_POINTS_ONE / 2) / BASIS_POINTS_ONE;
}

bool money_multiply(int64_t amount_minor, int64_t quantity, int64_t *out)
{
    CHECK(amount_minor >= 0 && quantity >= 0);
    int64_t product;
    if (__builtin_mul_overflow(amount_minor, quantity, &product) || product > INT64_MAX / 4)
        return false;
    *out = product;
    return true;
}
