/* souk metrics: every metric that this binary may show. */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/metrics.h"

#include <stdio.h>

static int run_metrics(const struct args *args)
{
    struct buf out;
    buf_init(&out, args->arena);
    metrics_list(&out);
    printf("%.*s\n", SLICE_ARG(buf_slice(&out)));
    return EXIT_OK;
}

const struct cli_command command_metrics = {
    .name = "metrics",
    .summary = "every metric that this binary may show, as JSON",
    .details =
        "Name, kind, unit, labels and meaning of each; GET /metrics shows their values, and docs/monitoring.md\n"
        "what is made of them. Dashboards and alert rules are checked against this list.",
    .run = run_metrics,
};
