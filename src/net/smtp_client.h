/* Handing mail to a mail server (RFC 5321), by libcurl: smtps://, or smtp:// with STARTTLS (RFC 3207), with
 * a login (RFC 4954). The certificate is checked. libcurl dot-stuffs the text; addresses are checked here, so
 * that nothing in one can be a command.
 *
 * Blocks for up to the time limit. */
#pragma once

#include "base/arena.h"

#include <stdint.h>

struct smtp_client; /* one thread at a time; keeps its connection for mails that follow at once */

struct smtp_options {
    struct slice url;     /* smtp[s]://[user:password@]host[:port]; escaped as URLs are */
    struct slice ca_file; /* the authorities to trust in place of the system's (PEM); empty: the system's */
    struct slice hello;   /* the domain that EHLO names; one that is none becomes localhost */
    bool allows_clear;    /* smtp:// goes on where the server has no STARTTLS; never with a password, but to
                             this machine */
    int64_t timeout_ms;   /* for one mail, from the look-up of the name to the server's last word */
};

/* NULL when it can be used, else the rule that the URL (with allows_clear) breaks ("must ..."). */
const char *smtp_url_rule(struct slice url, bool allows_clear);
/* The options must keep the rule. What they point to is copied. */
struct smtp_client *smtp_client_new(const struct smtp_options *options);
/* Says QUIT to a server that is still connected. NULL is fine. */
void smtp_client_free(struct smtp_client *client);

enum smtp_result {
    SMTP_SENT,   /* the server has taken it over */
    SMTP_FAILED, /* not now: it cannot be reached, said 4xx, or is set up otherwise (TLS, login). Where the
                    connection broke after the text was sent it may have taken the mail all the same */
    SMTP_REFUSED /* it said 5xx about this very mail: it never will */
};

/* Sends one mail to one address. `text` is the whole message with CRLF line ends. Unless SMTP_SENT, *why is
 * one line with the server's code, without what it said (which repeats addresses). */
enum smtp_result smtp_send(struct smtp_client *client, struct arena *arena, struct slice from,
                           struct slice to, struct slice text, struct slice *why);
