/* souk config: every setting with its value, default and meaning. */
#include "cli/commands.h"
#include "cli/context.h"

#include <stdio.h>

static int run_config(const struct args *args)
{
    struct config config;
    struct buf out;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    buf_init(&out, args->arena);
    config_print(&config, &out);
    printf("%.*s", SLICE_ARG(buf_slice(&out)));
    return EXIT_OK;
}

const struct cli_command command_config = {
    .name = "config",
    .summary = "every setting: its value, its default, what it is for",
    .details =
        "Secrets are not printed. A flag beats the environment, which beats .env in the current folder.",
    .run = run_config,
};
