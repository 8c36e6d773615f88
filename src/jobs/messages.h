/* From a message of the outbox to the mail that it becomes. */
#pragma once

#include "jobs/mail.h"
#include "jobs/step.h"

struct outbox_message {
    int64_t id;
    struct slice topic;   /* order.placed */
    struct slice payload; /* JSON object */
    int64_t created_at_ms;
};

enum message_result {
    MESSAGE_READY,
    MESSAGE_MOOT,  /* there is nobody to tell any more: the order or account is gone */
    MESSAGE_FAILED /* *why says so; trying again may help */
};

/* Reads what the message is about, as it stands now, and writes the mail into the step's arena. */
enum message_result message_make(const struct step *step, const struct outbox_message *message,
                                 struct mail *mail, struct slice *why);
