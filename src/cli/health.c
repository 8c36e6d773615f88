/* souk health: whether the server answers; for containers, service managers and scripts, which have no curl.
 */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/limits.h"
#include "net/http_client.h"
#include "net/url.h"

#include <stdio.h>

/* The server that the settings describe, as this machine reaches it: what listens on every address answers on
 * the loopback one. */
static struct slice own_address(struct arena *arena, struct slice listen)
{
    size_t colon = listen.len;
    while (colon > 0 && listen.ptr[colon - 1] != ':')
        colon--;
    CHECK(colon > 0); /* the table of settings lets nothing else in */
    struct slice host = {listen.ptr, colon - 1};
    if (slice_is(host, "0.0.0.0"))
        host = SLICE("127.0.0.1");
    else if (slice_is(host, "[::]"))
        host = SLICE("[::1]");
    return arena_format(arena, "http://%.*s:%.*s", SLICE_ARG(host), SLICE_ARG(slice_skip(listen, colon)));
}

static int ask(const struct args *args, const struct config *config, struct slice url)
{
    struct slice why = SLICE_ABSENT;
    struct http_answer answer;
    struct http_client *client = http_client_new(config->ca_file);
    if (client == NULL)
        return cli_fail(args, EXIT_FAILED, SLICE("the system gives no memory"));
    const struct http_call call = {
        .url = url, .timeout_ms = HEALTH_TIMEOUT_MS, .reply_bytes_max = HEALTH_REPLY_BYTES_MAX};
    bool answered = http_call(client, args->arena, &call, &answer, &why);
    http_client_free(client);
    if (!answered)
        return cli_fail(args, EXIT_FAILED, why);
    printf("%.*s: %ld\n", SLICE_ARG(url), answer.status);
    return answer.status == 200 ? EXIT_OK : EXIT_FAILED;
}

static int run_health(const struct args *args)
{
    struct config config;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct slice base = args_value(args, "url");
    if (slice_is_absent(base))
        base = own_address(args->arena, config.listen);
    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    struct slice url = arena_format(args->arena, "%.*s/health/%s", SLICE_ARG(base),
                                    args_has(args, "live") ? "live" : "ready");
    const char *rule = url_http_rule(url);
    if (rule != NULL)
        return cli_misused(args, arena_format(args->arena, "the address %.*s %s", SLICE_ARG(base), rule));
    return ask(args, &config, url);
}

static const struct cli_option HEALTH_OPTIONS[] = {
    {"live", NULL, "only whether the process answers, whatever its database does"},
    {"url", "URL", "the server to ask; by default the one that SOUK_LISTEN describes"},
    {0},
};

const struct cli_command command_health = {
    .name = "health",
    .summary = "ask the server whether it is ready",
    .details =
        "Asks /health/ready, or /health/live with --live, and exits with 0 when the answer is 200, else with\n"
        "1. Waits 5 seconds at most.",
    .options = HEALTH_OPTIONS,
    .run = run_health,
};
