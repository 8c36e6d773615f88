/* Finishing an erasure: see erased.h. */
#include "jobs/erased.h"

#include "base/text.h"
#include "shop/erasure.h"
#include "shop/identities.h"

#include <jansson.h>

bool is_erasure(const struct outbox_message *message)
{
    return slice_is(message->topic, ERASED_TOPIC);
}

/* Chooses the one address that a mark stands for. */
struct by_mark {
    struct mail_chooser base;
    const struct services *services;
    struct slice mark;
};

static bool is_marked(const struct mail_chooser *chooser, struct arena *arena, struct slice address)
{
    const struct by_mark *self = (const struct by_mark *)chooser;
    return text_is_valid(address) &&
           slice_equals(erasure_address_mark(self->services, arena, address), self->mark);
}

struct forgetting {
    struct uuid user_id;
    int64_t now_ms;
};

static enum db_result forget(struct db *db, void *arg)
{
    const struct forgetting *forgetting = arg;
    return identities_forget(db, forgetting->user_id, forgetting->now_ms);
}

static enum message_result finish(const struct step *step, const json_t *payload, struct slice *why)
{
    const char *mark = json_string_value(json_object_get(payload, "addressMark"));
    const char *id = json_string_value(json_object_get(payload, "userId"));
    struct forgetting forgetting = {.now_ms = step->now_ms};
    if (mark == NULL || id == NULL || !uuid_parse(slice_from(id), &forgetting.user_id)) {
        *why = SLICE("the message does not say whose erasure it is");
        return MESSAGE_FAILED;
    }
    struct by_mark chooser = {
        .base.is_chosen = is_marked, .services = step->services, .mark = slice_from(mark)};
    if (step->mailer->forget != NULL && !step->mailer->forget(step->mailer, step->arena, &chooser.base, why))
        return MESSAGE_FAILED;
    if (db_transaction(step->db, forget, &forgetting) == DB_DONE)
        return MESSAGE_READY;
    *why = SLICE("the identities cannot be forgotten");
    return MESSAGE_FAILED;
}

enum message_result erasure_finish(const struct step *step, const struct outbox_message *message,
                                   struct slice *why)
{
    json_t *payload = json_loadb(message->payload.ptr, message->payload.len, 0, NULL);
    enum message_result result = finish(step, payload, why);
    json_decref(payload);
    return result;
}
