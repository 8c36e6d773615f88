/* Calling Cognito. */
#include "auth/cognito.h"

#include "auth/issuer_private.h"

#include "base/check.h"
#include "base/crypto.h"
#include "base/log.h"

#include <sodium.h>
#include <stdlib.h>

#define EXPIRES_IN_SECONDS_MAX (24 * 3600)

static const struct {
    const char *name;
    enum cognito_outcome outcome;
} ERRORS[] = {
    {"NotAuthorizedException", COGNITO_NOT_AUTHORIZED},
    {"UserNotFoundException", COGNITO_NOT_AUTHORIZED},
    {"UserNotConfirmedException", COGNITO_NOT_AUTHORIZED},
    {"PasswordResetRequiredException", COGNITO_NOT_AUTHORIZED},
    {"UsernameExistsException", COGNITO_EXISTS},
    {"AliasExistsException", COGNITO_EXISTS},
    {"CodeMismatchException", COGNITO_BAD_CODE},
    {"ExpiredCodeException", COGNITO_BAD_CODE},
    {"InvalidPasswordException", COGNITO_BAD_PASSWORD},
    {"PasswordHistoryPolicyViolationException", COGNITO_BAD_PASSWORD},
    {"InvalidParameterException", COGNITO_BAD_PARAMETER},
    {"InvalidParameter", COGNITO_BAD_PARAMETER},
    {"UserLambdaValidationException", COGNITO_BAD_PARAMETER},
    {"TooManyRequestsException", COGNITO_TOO_OFTEN},
    {"LimitExceededException", COGNITO_TOO_OFTEN},
    {"TooManyFailedAttemptsException", COGNITO_TOO_OFTEN},
};

/* "com.amazonaws...#NotAuthorizedException" too. */
static enum cognito_outcome outcome_of(const char *operation, const json_t *reply, long status)
{
    struct slice rest = jwt_string(reply, "__type"), name = rest;
    while (slice_split(&rest, '#', &name))
        ;
    for (size_t i = 0; i < COUNT_OF(ERRORS); i++) {
        if (slice_is(name, ERRORS[i].name))
            return ERRORS[i].outcome;
    }
    /* Nothing of the reply's text: it may repeat what was sent. */
    log_message(LOG_WARN, "Cognito's %s failed: %ld %.*s", operation, status, SLICE_ARG(name));
    return COGNITO_AWAY;
}

/* Takes `request` over. *reply is an object unless NULL; the caller's to json_decref. */
static enum cognito_outcome call(struct issuer *issuer, struct arena *arena, const char *operation,
                                 json_t *request, json_t **reply)
{
    struct http_answer answer;
    struct slice why;
    char *body = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    *reply = NULL;
    if (body == NULL)
        return COGNITO_BAD_PARAMETER; /* what was to be sent is no UTF-8 */
    struct http_call http = {
        .url = issuer->settings.endpoint,
        .body = slice_from(body),
        .headers = {{"Content-Type", SLICE("application/x-amz-json-1.1")},
                    {"X-Amz-Target", arena_format(arena, "AWSCognitoIdentityProviderService.%s", operation)}},
        .timeout_ms = issuer->settings.timeout_ms,
        .reply_bytes_max = ISSUER_ANSWER_BYTES_MAX,
    };
    bool is_answered = http_call(issuer->http, arena, &http, &answer, &why);
    sodium_memzero(body, strlen(body)); /* it holds a password */
    free(body);
    if (!is_answered) {
        log_message(LOG_WARN, "Cognito's %s failed: %.*s", operation, SLICE_ARG(why));
        return COGNITO_AWAY;
    }
    if (answer.body.len > 0)
        *reply = json_loadb(answer.body.ptr, answer.body.len, JSON_REJECT_DUPLICATES, NULL);
    return answer.status == 200 ? COGNITO_DONE : outcome_of(operation, *reply, answer.status);
}

/* For operations whose answer says nothing. */
static enum cognito_outcome call_only(struct issuer *issuer, struct arena *arena, const char *operation,
                                      json_t *request)
{
    json_t *reply;
    enum cognito_outcome outcome = call(issuer, arena, operation, request, &reply);
    json_decref(reply);
    return outcome;
}

static json_t *text_of(struct slice text)
{
    return json_stringn(slice_is_absent(text) ? "" : text.ptr, text.len);
}

/* HMAC-SHA256(secret, username and client id), base64; absent for a client without a secret. */
static json_t *secret_hash(struct issuer *issuer, struct arena *arena, struct slice username)
{
    uint8_t mac[SHA256_LEN];
    char text[sodium_base64_ENCODED_LEN(SHA256_LEN, sodium_base64_VARIANT_ORIGINAL)];
    const struct issuer_settings *settings = &issuer->settings;
    if (settings->client_secret.len == 0)
        return NULL;
    hmac_sha256(settings->client_secret,
                arena_format(arena, "%.*s%.*s", SLICE_ARG(username), SLICE_ARG(settings->client_id)), mac);
    sodium_bin2base64(text, sizeof(text), mac, sizeof(mac), sodium_base64_VARIANT_ORIGINAL);
    return json_string(text);
}

/* {"ClientId", "Username", "SecretHash"} */
static json_t *request_about(struct issuer *issuer, struct arena *arena, struct slice username)
{
    return json_pack("{s:o, s:o, s:o*}", "ClientId", text_of(issuer->settings.client_id), "Username",
                     text_of(username), "SecretHash", secret_hash(issuer, arena, username));
}

static void add_attribute(json_t *attributes, const char *name, struct slice value)
{
    if (value.len > 0)
        json_array_append_new(attributes, json_pack("{s:s, s:o}", "Name", name, "Value", text_of(value)));
}

enum cognito_outcome cognito_sign_up(struct issuer *issuer, struct arena *arena, struct slice email,
                                     struct slice password, struct slice first_name, struct slice last_name,
                                     bool *is_confirmed)
{
    json_t *reply, *request = request_about(issuer, arena, email), *attributes = json_array();
    add_attribute(attributes, "email", email);
    add_attribute(attributes, "given_name", first_name);
    add_attribute(attributes, "family_name", last_name);
    json_object_set_new(request, "Password", text_of(password));
    json_object_set_new(request, "UserAttributes", attributes);
    enum cognito_outcome outcome = call(issuer, arena, "SignUp", request, &reply);
    *is_confirmed = outcome == COGNITO_DONE && json_is_true(json_object_get(reply, "UserConfirmed"));
    json_decref(reply);
    return outcome;
}

enum cognito_outcome cognito_confirm_sign_up(struct issuer *issuer, struct arena *arena, struct slice email,
                                             struct slice code)
{
    json_t *request = request_about(issuer, arena, email);
    json_object_set_new(request, "ConfirmationCode", text_of(code));
    return call_only(issuer, arena, "ConfirmSignUp", request);
}

enum cognito_outcome cognito_resend_code(struct issuer *issuer, struct arena *arena, struct slice email)
{
    return call_only(issuer, arena, "ResendConfirmationCode", request_about(issuer, arena, email));
}

/* ---- tokens ---- */

static enum cognito_outcome tokens_read(struct arena *arena, const json_t *reply,
                                        struct cognito_tokens *tokens)
{
    const json_t *result = json_object_get(reply, "AuthenticationResult");
    if (json_object_get(reply, "ChallengeName") != NULL && result == NULL)
        return COGNITO_CHALLENGE;
    *tokens = (struct cognito_tokens){
        .access_token = arena_copy(arena, jwt_string(result, "AccessToken")),
        .refresh_token = arena_copy(arena, jwt_string(result, "RefreshToken")),
        .expires_in_seconds = json_integer_value(json_object_get(result, "ExpiresIn")),
    };
    if (tokens->expires_in_seconds < 0 || tokens->expires_in_seconds > EXPIRES_IN_SECONDS_MAX)
        tokens->expires_in_seconds = 0;
    return tokens->access_token.len > 0 ? COGNITO_DONE : COGNITO_AWAY;
}

static enum cognito_outcome initiate(struct issuer *issuer, struct arena *arena, const char *flow,
                                     json_t *parameters, struct cognito_tokens *tokens)
{
    json_t *reply;
    json_t *request = json_pack("{s:o, s:s, s:o}", "ClientId", text_of(issuer->settings.client_id),
                                "AuthFlow", flow, "AuthParameters", parameters);
    enum cognito_outcome outcome = call(issuer, arena, "InitiateAuth", request, &reply);
    if (outcome == COGNITO_DONE)
        outcome = tokens_read(arena, reply, tokens);
    json_decref(reply);
    return outcome;
}

enum cognito_outcome cognito_log_in(struct issuer *issuer, struct arena *arena, struct slice email,
                                    struct slice password, struct cognito_tokens *tokens)
{
    return initiate(issuer, arena, "USER_PASSWORD_AUTH",
                    json_pack("{s:o, s:o, s:o*}", "USERNAME", text_of(email), "PASSWORD", text_of(password),
                              "SECRET_HASH", secret_hash(issuer, arena, email)),
                    tokens);
}

enum cognito_outcome cognito_refresh(struct issuer *issuer, struct arena *arena, struct slice username,
                                     struct slice refresh_token, struct cognito_tokens *tokens)
{
    return initiate(issuer, arena, "REFRESH_TOKEN_AUTH",
                    json_pack("{s:o, s:o*}", "REFRESH_TOKEN", text_of(refresh_token), "SECRET_HASH",
                              secret_hash(issuer, arena, username)),
                    tokens);
}

enum cognito_outcome cognito_revoke(struct issuer *issuer, struct arena *arena, struct slice refresh_token)
{
    json_t *request = json_pack("{s:o, s:o}", "ClientId", text_of(issuer->settings.client_id), "Token",
                                text_of(refresh_token));
    if (issuer->settings.client_secret.len > 0)
        json_object_set_new(request, "ClientSecret", text_of(issuer->settings.client_secret));
    return call_only(issuer, arena, "RevokeToken", request);
}

/* ---- passwords ---- */

enum cognito_outcome cognito_forgot_password(struct issuer *issuer, struct arena *arena, struct slice email)
{
    return call_only(issuer, arena, "ForgotPassword", request_about(issuer, arena, email));
}

enum cognito_outcome cognito_confirm_forgot_password(struct issuer *issuer, struct arena *arena,
                                                     struct slice email, struct slice code,
                                                     struct slice password)
{
    json_t *request = request_about(issuer, arena, email);
    json_object_set_new(request, "ConfirmationCode", text_of(code));
    json_object_set_new(request, "Password", text_of(password));
    return call_only(issuer, arena, "ConfirmForgotPassword", request);
}

enum cognito_outcome cognito_change_password(struct issuer *issuer, struct arena *arena,
                                             struct slice access_token, struct slice current,
                                             struct slice proposed)
{
    return call_only(issuer, arena, "ChangePassword",
                     json_pack("{s:o, s:o, s:o}", "AccessToken", text_of(access_token), "PreviousPassword",
                               text_of(current), "ProposedPassword", text_of(proposed)));
}

enum cognito_outcome cognito_global_sign_out(struct issuer *issuer, struct arena *arena,
                                             struct slice access_token)
{
    return call_only(issuer, arena, "GlobalSignOut",
                     json_pack("{s:o}", "AccessToken", text_of(access_token)));
}

/* ---- who it is ---- */

enum cognito_outcome cognito_get_user(struct issuer *issuer, struct arena *arena, struct issued_token *issued)
{
    json_t *reply, *claims = json_object();
    enum cognito_outcome outcome =
        call(issuer, arena, "GetUser", json_pack("{s:o}", "AccessToken", text_of(issued->text)), &reply);
    const json_t *attributes = json_object_get(reply, "UserAttributes");
    for (size_t i = 0; outcome == COGNITO_DONE && i < json_array_size(attributes); i++) {
        const json_t *attribute = json_array_get(attributes, i);
        const char *name = json_string_value(json_object_get(attribute, "Name"));
        if (name != NULL)
            json_object_set(claims, name, json_object_get(attribute, "Value"));
    }
    if (outcome == COGNITO_DONE)
        issuer_profile_read(claims, arena, issued);
    json_decref(claims);
    json_decref(reply);
    return outcome;
}
