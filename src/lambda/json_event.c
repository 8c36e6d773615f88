/* Reading events. */
#include "lambda/json_event.h"

void lambda_fail(struct lambda_result *result, struct slice type, struct slice message)
{
    *result = (struct lambda_result){.failed = true, .error_type = type, .error_message = message};
}

json_t *lambda_event_object(const struct invocation *invocation, struct lambda_result *result)
{
    json_t *event = json_loadb(invocation->event.ptr, invocation->event.len,
                               JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (json_is_object(event))
        return event;
    json_decref(event);
    lambda_fail(result, SLICE("Event.Malformed"), SLICE("the event must be a JSON object"));
    return NULL;
}

struct slice lambda_event_text(struct arena *arena, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value)
               ? arena_copy(arena, (struct slice){json_string_value(value), json_string_length(value)})
               : SLICE_ABSENT;
}
