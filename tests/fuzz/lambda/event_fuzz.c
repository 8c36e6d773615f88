/* Events of any bytes: what becomes of them is a target that the router can read, and an answer that is JSON.
 */
#include "fuzz.h"

#include "lambda/event.h"

#include "base/check.h"

#include <stdlib.h>

static struct arena arena, answers;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return arena_init(&arena, ARENA_REQUEST_BYTES) && arena_init(&answers, ARENA_REQUEST_BYTES) ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lambda_event event;
    struct slice complaint;
    arena_reset(&arena);
    arena_reset(&answers);
    struct exchange *x = exchange_new(&arena);
    enum event_result result = event_read((struct slice){(const char *)data, size}, x, &event, &complaint);
    CHECK(result == EVENT_GOOD || complaint.len > 0);
    if (result == EVENT_MALFORMED)
        return 0;
    CHECK(x->target.len > 0);
    for (size_t i = 0; i < x->target.len; i++)
        CHECK(x->target.ptr[i] > 0x20 && x->target.ptr[i] < 0x7f && x->target.ptr[i] != '#');
    CHECK(slice_is_absent(x->headers[HEADER_X_FORWARDED_FOR]) && !slice_is_absent(x->address));
    struct reply reply = {.status = HTTP_STATUS_OK, .body = x->body};
    if (slice_is_absent(reply.body))
        reply.body = SLICE("");
    CHECK(event_answer(&event, &reply, true, &answers).len > 0);
    return 0;
}
