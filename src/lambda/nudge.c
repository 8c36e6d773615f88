/* The nudge: SQS, SendMessage. */
#include "lambda/nudge.h"

#include "base/json_writer.h"
#include "base/log.h"
#include "data/outbox.h"
#include "net/aws.h"

#include <stdlib.h>

struct nudge {
    const struct config *config;
    struct aws *aws;
    uint64_t told; /* as many messages of the outbox as were told of */
};

struct nudge *nudge_new(const struct config *config)
{
    if (config->jobs_queue_url.len == 0)
        return NULL;
    struct nudge *nudge = calloc(1, sizeof(*nudge));
    CHECK(nudge != NULL);
    *nudge = (struct nudge){.config = config, .aws = aws_new(config)};
    return nudge;
}

void nudge_free(struct nudge *nudge)
{
    if (nudge != NULL)
        aws_free(nudge->aws);
    free(nudge);
}

void nudge_send(struct nudge *nudge, struct arena *arena)
{
    struct aws_answer answer;
    struct slice why;
    struct buf body;
    struct json_writer json;
    uint64_t appended = outbox_appended();
    if (nudge == NULL || appended == nudge->told)
        return;
    nudge->told = appended;
    buf_init(&body, arena);
    json_init(&json, &body);
    json_object_begin(&json);
    json_field_string(&json, "QueueUrl", nudge->config->jobs_queue_url);
    json_field_string(&json, "MessageBody", SLICE("{\"job\":\"deliver_outbox\"}"));
    json_object_end(&json);
    const struct aws_call call = {
        .service = AWS_SQS,
        .path = SLICE("/"),
        .operation = SLICE("SendMessage"),
        .body = buf_slice(&body),
        .timeout_ms = NUDGE_TIMEOUT_MS,
        .is_repeatable = true, /* one too many finds nothing to do */
    };
    if (aws_call(nudge->aws, arena, &call, &answer, &why) != AWS_DONE)
        log_message(LOG_WARN, "the queue of the jobs was not told: %.*s", SLICE_ARG(why));
}
