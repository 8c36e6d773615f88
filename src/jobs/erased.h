/* What is left to do of an erasure when its transaction is through: see shop/erasure.h. */
#pragma once

#include "jobs/messages.h"

bool is_erasure(const struct outbox_message *message);
/* Takes back mails to the person, where mail goes to files, and forgets who they were at another provider,
 * when the time for that has come. Doing it again does no harm. MESSAGE_READY when it is done, or
 * MESSAGE_FAILED with *why; in *why stands nothing personal. */
enum message_result erasure_finish(const struct step *step, const struct outbox_message *message,
                                   struct slice *why);
