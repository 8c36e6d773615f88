/* The mail driver of a shop on AWS: Amazon SES, SendEmail with the whole message (API v2).
 *
 * Nothing is sent twice as far as SES allows: it has no key by which it would know a mail again, and it
 * replaces Message-Id and Date. So a mail that it may have taken (no answer, 5xx) is not sent again at once,
 * only by the outbox, later; one that it did not look at (throttled, never reached) is.
 *
 * https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html */
#include "base/crypto.h"
#include "base/json_writer.h"
#include "jobs/mail.h"
#include "net/aws.h"

#include <stdlib.h>

#define SEND_TIMEOUT_MS INT64_C(15000) /* of one mail, as of SMTP */

struct mailer_ses {
    struct mailer base;
    struct aws *aws;
};

/* {"FromEmailAddress", "Destination": {"ToAddresses": []}, "Content": {"Raw": {"Data"}}} */
static struct slice request_body(struct arena *arena, const struct mail *mail, struct slice text)
{
    struct buf out;
    struct json_writer json;
    buf_init(&out, arena);
    json_init(&json, &out);
    json_object_begin(&json);
    json_field_string(&json, "FromEmailAddress", mail->from.address);
    json_field_object_begin(&json, "Destination");
    json_field_array_begin(&json, "ToAddresses");
    json_text(&json, mail->to.address);
    json_array_end(&json);
    json_object_end(&json);
    json_field_object_begin(&json, "Content");
    json_field_object_begin(&json, "Raw");
    json_field_string(&json, "Data", base64_encode(arena, text));
    json_object_end(&json);
    json_object_end(&json);
    json_object_end(&json);
    return out.overflow ? SLICE_ABSENT : buf_slice(&out);
}

/* Of what SES refuses, only a word about this very mail is final. All else (a sender that is not verified, a
 * sandbox, a paused account, a quota, a missing right) is set right by somebody within the hours that the
 * outbox goes on trying. */
static bool is_about_the_mail(const struct aws_answer *answer)
{
    struct slice unverified = SLICE("not verified");
    if (slice_is(answer->error, "BadRequestException"))
        return true;
    return slice_is(answer->error, "MessageRejected") &&
           (slice_is_absent(answer->message) ||
            memmem(answer->message.ptr, answer->message.len, unverified.ptr, unverified.len) == NULL);
}

static enum mail_result mailer_ses_send(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                                        struct slice *why)
{
    const struct mailer_ses *self = (const struct mailer_ses *)mailer;
    struct aws_answer answer;
    struct buf text;
    buf_init(&text, arena);
    mail_render(&text, mail, MAIL_7BIT);
    struct slice body = text.overflow ? SLICE_ABSENT : request_body(arena, mail, buf_slice(&text));
    if (slice_is_absent(body)) {
        *why = SLICE("the mail is too long");
        return MAIL_REFUSED;
    }
    const struct aws_call call = {
        .service = AWS_SES,
        .path = SLICE("/v2/email/outbound-emails"),
        .operation = SLICE("SendEmail"),
        .body = body,
        .timeout_ms = SEND_TIMEOUT_MS,
    };
    if (aws_call(self->aws, arena, &call, &answer, why) == AWS_DONE)
        return MAIL_SENT;
    return is_about_the_mail(&answer) ? MAIL_REFUSED : MAIL_FAILED;
}

static void mailer_ses_release(struct mailer *mailer)
{
    struct mailer_ses *self = (struct mailer_ses *)mailer;
    aws_free(self->aws);
    free(self);
}

struct mailer *mailer_ses_new(const struct config *config)
{
    struct mailer_ses *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return NULL;
    self->base = (struct mailer){.send = mailer_ses_send, .release = mailer_ses_release};
    self->aws = aws_new(config);
    return &self->base;
}
