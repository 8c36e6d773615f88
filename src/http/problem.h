/* Errors as RFC 9457 problems. One table (problem.c) gives each code its status and title. */
#pragma once

#include "base/slice.h"
#include "data/db.h"
#include "http/status.h"

struct response;

/* Code, status, title. The code is what clients switch on; it never changes its meaning. */
#define PROBLEM_TABLE(X)                                                                                     \
    X(VALIDATION_ERROR, 400, "The request is not valid")                                                     \
    X(MALFORMED_REQUEST, 400, "The request is malformed")                                                    \
    X(INVALID_TOKEN, 400, "The token is not valid")                                                          \
    X(UNAUTHENTICATED, 401, "Authentication is required")                                                    \
    X(INVALID_CREDENTIALS, 401, "The credentials are not valid")                                             \
    X(MFA_REQUIRED, 401, "A code is required")                                                               \
    X(PAYMENT_DECLINED, 402, "The payment was declined")                                                     \
    X(EXTERNAL_IDENTITY, 403, "The identity provider does this")                                             \
    X(FORBIDDEN, 403, "You may not do this")                                                                 \
    X(MFA_ENROLLMENT_REQUIRED, 403, "Enrol a second factor first")                                           \
    X(NOT_FOUND, 404, "There is nothing here")                                                               \
    X(CATEGORY_NOT_FOUND, 404, "There is no such category")                                                  \
    X(PRODUCT_NOT_FOUND, 404, "There is no such product")                                                    \
    X(VARIANT_NOT_FOUND, 404, "There is no such variant")                                                    \
    X(USER_NOT_FOUND, 404, "There is no such user")                                                          \
    X(SESSION_NOT_FOUND, 404, "There is no such session")                                                    \
    X(MFA_NOT_FOUND, 404, "No second factor is enrolled")                                                    \
    X(ROLE_NOT_FOUND, 404, "There is no such role")                                                          \
    X(ADDRESS_NOT_FOUND, 404, "There is no such address")                                                    \
    X(CART_NOT_FOUND, 404, "There is no such cart")                                                          \
    X(CART_ITEM_NOT_FOUND, 404, "There is no such item in the cart")                                         \
    X(ORDER_NOT_FOUND, 404, "There is no such order")                                                        \
    X(PLAN_NOT_FOUND, 404, "There is no such plan")                                                          \
    X(API_KEY_NOT_FOUND, 404, "There is no such key")                                                        \
    X(MEDIA_NOT_FOUND, 404, "There is no such picture")                                                      \
    X(METHOD_NOT_ALLOWED, 405, "This path does not take this method")                                        \
    X(NOT_ACCEPTABLE, 406, "The reply would be JSON")                                                        \
    X(CONFLICT, 409, "The state has changed meanwhile")                                                      \
    X(SLUG_TAKEN, 409, "The slug is taken")                                                                  \
    X(SKU_TAKEN, 409, "The SKU is taken")                                                                    \
    X(EMAIL_TAKEN, 409, "The e-mail address is taken")                                                       \
    X(CATEGORY_NOT_EMPTY, 409, "The category is not empty")                                                  \
    X(CATEGORY_CYCLE, 409, "A category cannot stand below itself")                                           \
    X(LAST_VARIANT, 409, "A product keeps at least one variant")                                             \
    X(LAST_ADMIN, 409, "The last administrator cannot be removed")                                           \
    X(MFA_ENABLED, 409, "The second factor is enabled")                                                      \
    X(ROLE_EXISTS, 409, "The name is taken by another role")                                                 \
    X(ROLE_IN_USE, 409, "Accounts have this role")                                                           \
    X(ROLE_BUILT_IN, 409, "The role came with souk")                                                         \
    X(PLAN_NAME_TAKEN, 409, "The name is taken by another plan")                                             \
    X(PLAN_IN_USE, 409, "Keys are on this plan")                                                             \
    X(API_KEY_INACTIVE, 409, "The key is revoked or expired")                                                \
    X(OUT_OF_STOCK, 409, "Not enough stock")                                                                 \
    X(PRODUCT_UNAVAILABLE, 409, "The product is not for sale")                                               \
    X(CART_CONVERTED, 409, "The cart has become an order")                                                   \
    X(CART_EMPTY, 409, "The cart is empty")                                                                  \
    X(CART_LIMIT, 409, "The cart is full")                                                                   \
    X(CHECKOUT_IN_PROGRESS, 409, "The cart is being checked out")                                            \
    X(OPEN_ORDER_LIMIT, 409, "Too many open unpaid orders")                                                  \
    X(INVALID_TRANSITION, 409, "The order's status does not allow this")                                     \
    X(PAYMENT_EXCEEDS_TOTAL, 409, "The amount is more than is due")                                          \
    X(REFUND_EXCEEDS_PAYMENT, 409, "The amount is more than was paid")                                       \
    X(INSUFFICIENT_STOCK, 409, "The stock on hand does not allow this")                                      \
    X(VARIANT_EXISTS, 409, "A variant with these options exists")                                            \
    X(ADDRESS_LIMIT, 409, "The address book is full")                                                        \
    X(LIMIT_REACHED, 409, "A limit is reached")                                                              \
    X(IDEMPOTENCY_IN_PROGRESS, 409, "The first request with this key is still running")                      \
    X(PRECONDITION_FAILED, 412, "The resource has changed")                                                  \
    X(BODY_TOO_LARGE, 413, "The body is too large")                                                          \
    X(REPLY_TOO_LARGE, 413, "The reply is too large for this front")                                         \
    X(URI_TOO_LONG, 414, "The URI is too long")                                                              \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "The body must be application/json")                                      \
    X(HEADERS_TOO_LARGE, 431, "The header is too large")                                                     \
    X(IDEMPOTENCY_KEY_REUSED, 422, "The idempotency key was used for another request")                       \
    X(QUOTA_EXCEEDED, 429, "The key's quota is used up")                                                     \
    X(RATE_LIMIT_EXCEEDED, 429, "Too many requests")                                                         \
    X(INTERNAL_ERROR, 500, "Something failed on our side")                                                   \
    X(UNAVAILABLE, 503, "The shop is busy; try again")

enum problem_code {
#define X(code, status, title) PROBLEM_##code,
    PROBLEM_TABLE(X)
#undef X
};

/* Replaces what the response holds (headers, tags and effects too) by the problem; returns its status, so
 * that a handler says `return problem(...)`. `detail` is a printf format for people; it tells nothing of the
 * inside. */
enum http_status problem(struct response *response, enum problem_code code, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));

/* As problem, under another status than the table's: an INVALID_TOKEN is 401 where the token is the
 * credential itself. */
enum http_status problem_with_status(struct response *response, enum problem_code code,
                                     enum http_status status, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));

/* One bad field: name as in the request ("items[2].quantity"), rule code ("MAX", "REQUIRED", ...), message.
 */
struct field_error {
    struct slice field;
    const char *code;
    struct slice message;
};

/* VALIDATION_ERROR with its list. */
enum http_status problem_fields(struct response *response, const struct field_error *errors, size_t count);
/* VALIDATION_ERROR on one field, found by a handler. */
enum http_status problem_field(struct response *response, const char *field, const char *code,
                               const char *message, ...) __attribute__((format(printf, 4, 5)));
/* The member `errors` of a problem just made that is not a VALIDATION_ERROR: lines out of stock, say. */
void problem_errors(struct response *response, const struct field_error *errors, size_t count);
/* An extra member of the problem just made (orderNumber, retryAfterSeconds). */
void problem_extra_string(struct response *response, const char *key, struct slice value);
void problem_extra_int(struct response *response, const char *key, int64_t value);
/* A statement said DB_ERROR (503) or an unforeseen DB_CONFLICT (409 CONFLICT). */
enum http_status problem_database(struct response *response, enum db_result result);

const char *problem_code_name(enum problem_code code);
/* Ends the JSON of a problem with the request's id; the gateway's last touch, after the handler's extra
 * members. */
void problem_close(struct response *response, struct slice request_id);
