/* The answer of a log-in, and the cookie that keeps a browser's refresh token.
 *
 * The cookie is sent to /auth only, and a browser adds it to whatever page makes the request. So a request
 * that lives by it must prove that it comes from a page of this server: its Origin is ours, or it is refused.
 * A request without Origin is refused too: every browser sends one with a POST, and who is no browser has no
 * need of a cookie. */
#pragma once

#include "auth/session.h"
#include "http/response.h"

/* A session that was opened or renewed, and what is said about it. */
struct session_answer {
    struct session_grant grant;
    bool is_cookie;             /* the refresh token goes into the cookie */
    enum role role;             /* as of the same transaction, like `user` */
    struct slice user;          /* the contract's User, JSON */
    struct uuid cart_id;        /* nil: no cart was merged */
    struct slice access_token;  /* of another issuer; absent: one of ours is signed */
    int64_t expires_in_seconds; /* of that one */
    struct slice email_folded;  /* read with the user */
    bool is_new_device;         /* logged in now: the client is given a device token */
};

/* Reads role and user of the session just granted, in its transaction. DB_DONE, DB_CONFLICT when the account
 * is gone, or DB_ERROR. */
enum db_result session_answer_read(struct request *request, struct db *db, struct session_answer *answer);
/* The contract's Session, with the cookie. After the commit; `status` is what success is. */
enum http_status session_answer_write(struct request *request, struct response *response,
                                      const struct session_answer *answer, enum http_status status);

/* 0 when the request's Origin is this server's own, else the refusal. */
enum http_status refuse_foreign_origin(const struct request *request, struct response *response);
/* Tells the browser to forget the cookie. */
void refresh_cookie_clear(const struct request *request, struct response *response);

/* The refresh token that a request shows: its body's, else its cookie's; absent without either. */
struct shown_token {
    struct slice text;
    bool is_cookie;
};
/* 0, or the refusal of a cookie that another shop's page sent. */
enum http_status refresh_token_read(const struct request *request, struct response *response, bool has_token,
                                    struct slice token, struct shown_token *shown);

/* Ends a session, on every server once this is committed. DB_DONE (also when it had ended before) or
 * DB_ERROR.
 */
enum db_result session_end(struct request *request, struct response *response, struct uuid session_id);
