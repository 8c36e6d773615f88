/* Which driver carries mail, and whether it can. */
#include "jobs/mail.h"
#include "net/smtp_client.h"

struct mailer *mailer_new(const struct config *config)
{
    switch (config->mail_driver) {
    case MAIL_DRIVER_SMTP:
        return mailer_smtp_new(config);
    case MAIL_DRIVER_SES:
        return mailer_ses_new(config);
    case MAIL_DRIVER_FILE:
        break;
    }
    return mailer_file_new(config);
}

bool mail_settings_check(const struct config *config, struct arena *arena, struct slice *complaint)
{
    if (config->mail_from.len > 0 && !mail_address_is_sane(config->mail_from)) {
        *complaint = SLICE("SOUK_MAIL_FROM must be an address, such as shop@example.com");
        return false;
    }
    if (config->mail_driver == MAIL_DRIVER_SMTP && config->smtp_url.len == 0) {
        *complaint = SLICE("SOUK_SMTP_URL must be set where SOUK_MAIL is smtp");
        return false;
    }
    if (config->mail_driver == MAIL_DRIVER_SES && config->aws.region.len == 0) {
        *complaint = SLICE("AWS_REGION must be set where SOUK_MAIL is ses");
        return false;
    }
    const char *rule = config->smtp_url.len > 0 ? smtp_url_rule(config->smtp_url, !config->smtp_tls) : NULL;
    if (rule != NULL)
        *complaint = arena_format(arena, "SOUK_SMTP_URL %s", rule);
    return rule == NULL;
}
