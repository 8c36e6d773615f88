/* Mail: what a message holds, how it is written (RFC 5322), and the drivers that carry it: one writes files,
 * one hands each mail to a mail server, one to Amazon SES. */
#pragma once

#include "base/buf.h"
#include "base/config.h"

struct mailbox {
    struct slice name;    /* for people; may be absent */
    struct slice address; /* checked by mail_address_is_sane */
};

struct mail {
    struct slice key; /* letters, digits, '-', '.', '_': the same at every try, and of no other mail ever. The
                         Message-Id's left half, the file's name */
    int64_t date_ms;
    struct mailbox from;
    struct mailbox to;
    struct slice subject; /* one line; control characters become spaces */
    struct slice body;    /* UTF-8; lines end with LF */
};

/* Whether it can stand in a header and in an envelope: one '@', no space, no control character, none of
 * <>,;:"()[]\ . */
bool mail_address_is_sane(struct slice address);

/* Whether the body may hold bytes above 127: a mail server need not take them (RFC 6152), a file may. */
enum mail_transport {
    MAIL_8BIT,
    MAIL_7BIT /* a body that is not ASCII becomes base64 */
};

/* The whole message with CRLF line ends. Header text that is not ASCII becomes encoded words (RFC 2047), long
 * headers are folded, lines of the body longer than the 998 bytes that mail allows are broken. Nothing in a
 * name or subject can begin a header. */
void mail_render(struct buf *out, const struct mail *mail, enum mail_transport transport);

enum mail_result {
    MAIL_SENT,
    MAIL_FAILED, /* not now: try again later */
    MAIL_REFUSED /* never will be: do not try again */
};

struct mail_chooser {
    bool (*is_chosen)(const struct mail_chooser *chooser, struct arena *arena, struct slice address);
};

struct mailer {
    /* Hands one mail over, durably. Unless MAIL_SENT, *why is one line for the log and the outbox; it holds
     * no address and no token. Repeating a mail (same key) does no harm where the medium allows it. */
    enum mail_result (*send)(struct mailer *mailer, struct arena *arena, const struct mail *mail,
                             struct slice *why);
    /* Takes back what it still holds of mails to the addresses that `chooser` chooses; false when that failed
     * (*why as above). NULL: what was sent is out of its hands. */
    bool (*forget)(struct mailer *mailer, struct arena *arena, const struct mail_chooser *chooser,
                   struct slice *why);
    void (*release)(struct mailer *mailer);
};

/* Writes each mail to DATA/mail/KEY.eml, mode 0600, whole or not at all; the same key overwrites the same
 * file. NULL without memory. */
struct mailer *mailer_file_new(const struct config *config);

/* The other two. The settings passed mail_settings_check and outlive the driver. NULL without memory. */
struct mailer *mailer_smtp_new(const struct config *config);
struct mailer *mailer_ses_new(const struct config *config);

/* The driver that the settings ask for (SOUK_MAIL). The settings passed mail_settings_check. NULL without
 * memory.
 */
struct mailer *mailer_new(const struct config *config);
/* Whether mail can be sent with these settings; else what is wrong, in one line without a password. */
bool mail_settings_check(const struct config *config, struct arena *arena, struct slice *complaint);
