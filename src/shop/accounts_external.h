/* /auth where another identity provider keeps the accounts. With Cognito each operation is one of the user
 * pool's, and clients see the same shape as with the shop's own accounts; with any other OpenID Connect
 * issuer they are told to go there. What exists at the provider is told to nobody: an unknown address, a
 * wrong password and an unconfirmed account answer alike.
 *
 * All of them wait for the provider, for one of its time limits a call: on the password pool. */
#pragma once

#include "http/response.h"

static inline bool accounts_are_external(const struct request *request)
{
    return request->services->issuer != NULL;
}

enum http_status external_register(struct request *request, struct response *response);
enum http_status external_login(struct request *request, struct response *response);
enum http_status external_refresh(struct request *request, struct response *response);
/* Also with a plain issuer: the token's session ends in this shop. */
enum http_status external_logout(struct request *request, struct response *response);
enum http_status external_password_change(struct request *request, struct response *response);
enum http_status external_password_forgot(struct request *request, struct response *response);
enum http_status external_password_reset(struct request *request, struct response *response);
enum http_status external_email_verify(struct request *request, struct response *response);
enum http_status external_verification_send(struct request *request, struct response *response);
