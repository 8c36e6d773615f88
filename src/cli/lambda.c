/* souk lambda: one of the functions of souk on AWS Lambda. Opens what its handler needs, and runs the loop
 * until the process shall end. What goes wrong before the first invocation is told to the Runtime API, where
 * it is the reason that callers and the function's log are given. */
#include "api/operations.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/services.h"
#include "lambda/http.h"
#include "lambda/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* In the order of the help. */
static const struct lambda_handler *const HANDLERS[] = {
    &lambda_api,
    &lambda_authorizer,
    &lambda_jobs,
    &lambda_migrate,
};

struct function {
    const struct args *args;
    struct lambda_context context;
    struct lambda_http *http;
    int end_fd;    /* readable when the process shall end */
    bool is_begun; /* the handler's `open` was called */
};

/* ---- which handler ---- */

static struct slice handler_names(struct arena *arena)
{
    struct buf names;
    buf_init(&names, arena);
    for (size_t i = 0; i < COUNT_OF(HANDLERS); i++)
        buf_format(&names, "%s%s", i > 0 ? ", " : "", HANDLERS[i]->name);
    return buf_slice(&names);
}

/* --handler, else _HANDLER, as the function's configuration says it. */
static const struct lambda_handler *choose_handler(const struct args *args, struct slice *complaint)
{
    bool is_flag = args_has(args, "handler");
    struct slice name = is_flag ? args_value(args, "handler") : slice_from(getenv("_HANDLER"));
    for (size_t i = 0; i < COUNT_OF(HANDLERS); i++)
        if (slice_is(name, HANDLERS[i]->name))
            return HANDLERS[i];
    *complaint =
        arena_format(args->arena, "%s must be one of: %.*s; not \"%.*s\"", is_flag ? "--handler" : "_HANDLER",
                     SLICE_ARG(handler_names(args->arena)), SLICE_ARG(name));
    return NULL;
}

/* ---- what it needs ---- */

static void reopen(struct lambda_context *context)
{
    const struct function *function = context->opener;
    struct slice complaint;
    size_t mark = arena_mark(function->args->arena);
    if (cli_services_try(function->args, &context->services, &complaint))
        return;
    log_message(LOG_ERROR, "the shop cannot open: %.*s", SLICE_ARG(complaint));
    arena_rewind(function->args->arena, mark);
}

/* Servers tell each other what to forget by messages that a frozen process would not hear: here memory lives
 * a second, and Redis counts rates alone (docs/lambda.md). */
static bool open_shop(struct function *function, struct slice *complaint)
{
    struct services *services = &function->context.services;
    struct config *config = &function->context.config;
    /* A function never changes the schema of a database that others use. */
    config->migrate_at_start = config->migrate_at_start && store_engine(services->store) == DB_SQLITE;
    services->operations = api_operations;
    if (!cli_services_try(function->args, services, complaint) ||
        !cli_issuer_try(function->args, services, complaint) ||
        (config->redis_url.len > 0 && !cli_redis_open(function->args, services, complaint)))
        return false;
    if (config->cache_bytes > 0) {
        services->cache = cache_new((size_t)config->cache_bytes);
        cache_isolate(services->cache);
    }
    return true;
}

static bool open_context(struct function *function, struct slice *complaint)
{
    struct lambda_context *context = &function->context;
    context->arena = function->args->arena;
    context->reopen = reopen;
    context->opener = function;
    context->handler = choose_handler(function->args, complaint);
    if (context->handler == NULL || !cli_config_try(function->args, &context->config, complaint) ||
        !cli_observe_start(&context->config, TRACE_BY_FLUSH, context->arena, complaint))
        return false;
    enum lambda_needs needs = context->handler->needs;
    if (needs >= LAMBDA_NEEDS_STORE &&
        !cli_services_begin(function->args, &context->config, &context->services, complaint))
        return false;
    context->services.is_single = true;
    context->services.config = &context->config;
    if (needs >= LAMBDA_NEEDS_SHOP && !open_shop(function, complaint))
        return false;
    function->is_begun = true;
    return context->handler->open == NULL || context->handler->open(context, complaint);
}

static void close_context(struct function *function)
{
    struct lambda_context *context = &function->context;
    if (function->is_begun && context->handler->close != NULL)
        context->handler->close(context);
    if (context->db != NULL)
        store_disconnect(context->db);
    cli_services_close(&context->services);
    cli_observe_stop(function->args->arena);
}

/* ---- the process ---- */

static int open_end(void)
{
    sigset_t ends;
    cli_claim_signals(&ends);
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int refuse(const struct function *function, enum exit_code code, struct slice type,
                  struct slice complaint)
{
    if (!lambda_report_init_error(function->http, function->args->arena, type, complaint))
        cli_fail(function->args, code, SLICE("the Runtime API does not take the error that follows"));
    return cli_fail(function->args, code, complaint);
}

static int run_lambda(const struct args *args)
{
    struct function function = {.args = args, .end_fd = open_end()};
    struct slice complaint;
    struct slice api = slice_from(getenv("AWS_LAMBDA_RUNTIME_API"));
    if (slice_is_absent(api))
        return cli_fail(args, EXIT_USAGE,
                        SLICE("AWS_LAMBDA_RUNTIME_API is not set: this runs on AWS Lambda (docs/lambda.md)"));
    function.http = lambda_http_new(api, function.end_fd, args->arena, &complaint);
    if (function.http == NULL)
        return cli_fail(args, EXIT_USAGE, complaint);
    int code = EXIT_OK;
    if (!open_context(&function, &complaint))
        code = refuse(&function, EXIT_FAILED, SLICE("Init.Refused"), complaint);
    else if (!lambda_run(function.http, &function.context, &complaint))
        code = cli_fail(args, EXIT_FAILED, complaint);
    close_context(&function);
    lambda_http_free(function.http);
    if (function.end_fd >= 0)
        (void)close(function.end_fd);
    return code;
}

static const struct cli_option LAMBDA_OPTIONS[] = {
    {"handler", "NAME", "which function this is, in place of _HANDLER: api, authorizer, jobs or migrate"},
    {0},
};

const struct cli_command command_lambda = {
    .name = "lambda",
    .summary = "run as a function on AWS Lambda",
    .details =
        "Asks the Runtime API (AWS_LAMBDA_RUNTIME_API) for invocations and answers them one by one, until\n"
        "SIGTERM. _HANDLER names the function, as Lambda sets it. A file called `bootstrap` that is started\n"
        "without a word behind it does the same. The schema is not changed here: it refuses to start when it is\n"
        "behind.",
    .options = LAMBDA_OPTIONS,
    .run = run_lambda,
};
