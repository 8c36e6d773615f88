/* The binary of an AWS Lambda function: `souk` with the few commands that have a use there. Lambda starts it
 * without a word behind it, which is `souk lambda`. */
#include "cli/commands.h"
#include "cli/run.h"

/* clang-format off */
static const struct cli_command *const COMMANDS[] = {
    &command_lambda,
    &command_migrate_status,
    &command_config,
    &command_version,
    NULL,
};
/* clang-format on */

int main(int argc, char **argv)
{
    return cli_run(COMMANDS, argc, argv);
}
