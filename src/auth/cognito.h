/* The operations of an Amazon Cognito user pool that the endpoints under /auth stand for, as its public API
 * has them: JSON 1.1 over HTTPS, unsigned, with the client's secret hash where the client has a secret. Each
 * is one call within the issuer's time limit. Only with AUTH_PROVIDER=cognito.
 *
 * Cognito's error names are folded into what a caller may act on; which of them the client may learn is the
 * caller's to decide. */
#pragma once

#include "auth/issuer.h"

enum cognito_outcome {
    COGNITO_DONE,
    COGNITO_NOT_AUTHORIZED, /* wrong credentials, unknown or unconfirmed user, a reset is required */
    COGNITO_EXISTS,         /* there is such a user */
    COGNITO_BAD_CODE,       /* the code is wrong, used or expired */
    COGNITO_BAD_PASSWORD,   /* the new password is none that the pool takes */
    COGNITO_BAD_PARAMETER,
    COGNITO_TOO_OFTEN,
    COGNITO_CHALLENGE, /* the password is right, and the pool wants another step */
    COGNITO_AWAY       /* no answer, or one that is none */
};

struct cognito_tokens {
    struct slice access_token;
    struct slice refresh_token; /* absent: the one that was used stays */
    int64_t expires_in_seconds;
};

enum cognito_outcome cognito_sign_up(struct issuer *issuer, struct arena *arena, struct slice email,
                                     struct slice password, struct slice first_name, struct slice last_name,
                                     bool *is_confirmed);
enum cognito_outcome cognito_confirm_sign_up(struct issuer *issuer, struct arena *arena, struct slice email,
                                             struct slice code);
enum cognito_outcome cognito_resend_code(struct issuer *issuer, struct arena *arena, struct slice email);
enum cognito_outcome cognito_log_in(struct issuer *issuer, struct arena *arena, struct slice email,
                                    struct slice password, struct cognito_tokens *tokens);
/* `username` is the access token's claim: the secret hash is made of it. */
enum cognito_outcome cognito_refresh(struct issuer *issuer, struct arena *arena, struct slice username,
                                     struct slice refresh_token, struct cognito_tokens *tokens);
enum cognito_outcome cognito_forgot_password(struct issuer *issuer, struct arena *arena, struct slice email);
enum cognito_outcome cognito_confirm_forgot_password(struct issuer *issuer, struct arena *arena,
                                                     struct slice email, struct slice code,
                                                     struct slice password);
enum cognito_outcome cognito_change_password(struct issuer *issuer, struct arena *arena,
                                             struct slice access_token, struct slice current,
                                             struct slice proposed);
enum cognito_outcome cognito_global_sign_out(struct issuer *issuer, struct arena *arena,
                                             struct slice access_token);
enum cognito_outcome cognito_revoke(struct issuer *issuer, struct arena *arena, struct slice refresh_token);
/* Fills e-mail and names. */
enum cognito_outcome cognito_get_user(struct issuer *issuer, struct arena *arena,
                                      struct issued_token *issued);
