/* souk version. */
#include "cli/commands.h"
#include "cli/context.h"

#include "data/migrations.h"

#include <stdio.h>

static int run_version(const struct args *args)
{
    (void)args;
    printf("souk %s (schema %lld)\n", SOUK_VERSION, (long long)migrations_latest());
    return EXIT_OK;
}

const struct cli_command command_version = {
    .name = "version",
    .summary = "the version of this binary and of the schema that it knows",
    .run = run_version,
};
