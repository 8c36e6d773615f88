/* The mail driver of a shop with a mail server. Nothing is sent twice as far as SMTP allows: a mail that the
 * server has taken is settled at once. What remains: the connection breaks, or this process dies, after the
 * server took the mail and before that is written down. Then it goes out again under the same Message-Id, by
 * which servers and readers can tell. */
#include "jobs/mail.h"

#include "net/smtp_client.h"

#include <stdlib.h>

struct mailer_smtp {
    struct mailer base;
    struct smtp_client *client;
};

static enum mail_result mailer_smtp_send(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                                         struct slice *why)
{
    const struct mailer_smtp *self = (const struct mailer_smtp *)mailer;
    struct buf text;
    buf_init(&text, arena);
    mail_render(&text, mail, MAIL_7BIT);
    if (text.overflow) {
        *why = SLICE("the mail is too long");
        return MAIL_REFUSED;
    }
    switch (smtp_send(self->client, arena, mail->from.address, mail->to.address, buf_slice(&text), why)) {
    case SMTP_SENT:
        return MAIL_SENT;
    case SMTP_REFUSED:
        return MAIL_REFUSED;
    case SMTP_FAILED:
        break;
    }
    return MAIL_FAILED;
}

static void mailer_smtp_release(struct mailer *mailer)
{
    struct mailer_smtp *self = (struct mailer_smtp *)mailer;
    smtp_client_free(self->client);
    free(self);
}

/* What stands behind the @ of the sender, else the public URL's host. */
static struct slice hello_of(const struct config *config)
{
    struct slice part, rest = config->mail_from;
    if (rest.len > 0) {
        (void)slice_split(&rest, '@', &part);
        return rest;
    }
    rest = config->public_url;
    for (int slashes = 0; slashes < 2; slashes++)
        (void)slice_split(&rest, '/', &part);
    (void)slice_split(&rest, '/', &part);
    rest = part;
    (void)slice_split(&rest, ':', &part);
    return part;
}

struct mailer *mailer_smtp_new(const struct config *config)
{
    struct mailer_smtp *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return NULL;
    self->base = (struct mailer){.send = mailer_smtp_send, .release = mailer_smtp_release};
    self->client = smtp_client_new(&(struct smtp_options){
        .url = config->smtp_url,
        .ca_file = config->ca_file,
        .hello = hello_of(config),
        .allows_clear = !config->smtp_tls,
        .timeout_ms = config->smtp_timeout_ms,
    });
    return &self->base;
}
