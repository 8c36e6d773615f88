/* The handler `jobs`: the background jobs, on a schedule (EventBridge) and when a queue (SQS) says that there
 * is something to do. An event names one job ({"job": "deliver_outbox"}, as it is, or as the `detail` of an
 * event of EventBridge, or as the body of a message), or none: then all of them run.
 *
 * Of SQS's messages each that names a job which failed is told as failed (ReportBatchItemFailures), so that
 * it comes again, and at last to the dead letters. */
#include "base/check.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "jobs/jobs.h"
#include "jobs/mail.h"
#include "lambda/json_event.h"

#define SQS_MESSAGES_MAX 1000 /* of a batch; SQS sends 10, or more where it may wait for them */
/* Whatever was begun (one mail, one question to a payment provider) may take so long; of a short invocation
 * half is kept. */
#define END_MARGIN_US INT64_C(20000000)

static bool jobs_handler_open(struct lambda_context *context, struct slice *complaint)
{
    if (!mail_settings_check(&context->config, context->arena, complaint))
        return false;
    context->own = jobs_open(&context->services);
    *complaint = SLICE("the system gives no memory for the jobs");
    return context->own != NULL;
}

static int64_t ends_us(const struct invocation *invocation)
{
    int64_t now_us = clock_monotonic_us(), left_us = invocation->deadline_us - now_us;
    int64_t margin_us = left_us / 2 < END_MARGIN_US ? left_us / 2 : END_MARGIN_US;
    return invocation->deadline_us - margin_us;
}

/* The job that an event or a message names; absent: all. False: it is none. */
static bool job_of(struct arena *arena, const json_t *event, struct slice *job)
{
    const json_t *detail = json_object_get(event, "detail");
    const json_t *named = json_object_get(json_is_object(detail) ? detail : event, "job");
    *job = named != NULL ? lambda_event_text(arena, json_is_object(detail) ? detail : event, "job")
                         : SLICE_ABSENT;
    return json_is_object(event) && (named == NULL || jobs_has(*job));
}

/* ---- a schedule ---- */

static void run_scheduled(struct lambda_context *context, const struct invocation *invocation,
                          const json_t *event, struct lambda_result *result)
{
    struct slice job;
    struct jobs_outcome outcome;
    if (!job_of(invocation->arena, event, &job)) {
        lambda_fail(result, SLICE("Event.Malformed"), SLICE("job must be the name of a background job"));
        return;
    }
    jobs_run_until(context->own, job, ends_us(invocation), invocation->deadline_us, &outcome);
    if (outcome.failed > 0)
        lambda_fail(result, SLICE("Jobs.Failed"),
                    arena_format(invocation->arena, "%u of %u jobs failed; the log says why", outcome.failed,
                                 outcome.run));
    else
        result->answer = arena_format(invocation->arena, "{\"run\":%u,\"steps\":%u,\"isLeft\":%s}",
                                      outcome.run, outcome.steps, outcome.is_left ? "true" : "false");
}

/* ---- a queue ---- */

/* What was already run for a message of this batch. */
struct batch {
    struct slice jobs[SQS_MESSAGES_MAX]; /* absent: all */
    bool failed[SQS_MESSAGES_MAX];
    size_t count;
};

static bool run_once(struct lambda_context *context, const struct invocation *invocation, struct batch *batch,
                     struct slice job)
{
    struct jobs_outcome outcome;
    for (size_t i = 0; i < batch->count; i++) {
        if (slice_is_absent(batch->jobs[i]) == slice_is_absent(job) && slice_equals(batch->jobs[i], job))
            return !batch->failed[i];
    }
    jobs_run_until(context->own, job, ends_us(invocation), invocation->deadline_us, &outcome);
    batch->jobs[batch->count] = job;
    batch->failed[batch->count++] = outcome.failed > 0;
    return outcome.failed == 0;
}

static bool run_message(struct lambda_context *context, const struct invocation *invocation,
                        struct batch *batch, const json_t *record)
{
    struct slice job, body = lambda_event_text(invocation->arena, record, "body");
    json_t *message = body.len > 0 ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool is_good = job_of(invocation->arena, message, &job);
    json_decref(message);
    if (!is_good)
        log_message(LOG_ERROR, "a message of the jobs' queue names no job");
    return is_good && run_once(context, invocation, batch, job);
}

static void run_queued(struct lambda_context *context, const struct invocation *invocation,
                       const json_t *records, struct lambda_result *result)
{
    struct batch batch = {.count = 0};
    struct buf out;
    struct json_writer json;
    if (json_array_size(records) > SQS_MESSAGES_MAX) {
        lambda_fail(result, SLICE("Event.Malformed"),
                    arena_format(invocation->arena, "Records must be at most %d", SQS_MESSAGES_MAX));
        return;
    }
    buf_init(&out, invocation->arena);
    json_init(&json, &out);
    json_object_begin(&json);
    json_field_array_begin(&json, "batchItemFailures");
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        if (run_message(context, invocation, &batch, record))
            continue;
        json_object_begin(&json);
        json_field_string(&json, "itemIdentifier", lambda_event_text(invocation->arena, record, "messageId"));
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    result->answer = buf_slice(&out);
}

/* ---- the handler ---- */

static void jobs_handle(struct lambda_context *context, const struct invocation *invocation,
                        struct lambda_result *result)
{
    json_t *event = lambda_event_object(invocation, result);
    if (event == NULL)
        return;
    if (atomic_load(&context->services.is_closed))
        context->reopen(context);
    const json_t *records = json_object_get(event, "Records");
    if (atomic_load(&context->services.is_closed))
        lambda_fail(result, SLICE("Jobs.Failed"), SLICE("the database cannot be reached"));
    else if (json_is_array(records))
        run_queued(context, invocation, records, result);
    else
        run_scheduled(context, invocation, event, result);
    json_decref(event);
}

static void jobs_handler_close(struct lambda_context *context)
{
    jobs_close(context->own);
}

const struct lambda_handler lambda_jobs = {
    .name = "jobs",
    .help = "the background jobs, by a schedule or a queue",
    .needs = LAMBDA_NEEDS_SHOP,
    .open = jobs_handler_open,
    .handle = jobs_handle,
    .close = jobs_handler_close,
};
