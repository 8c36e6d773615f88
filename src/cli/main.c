/* The `souk` command: its subcommands. */
#include "cli/commands.h"
#include "cli/run.h"

/* In the order of `souk help`. */
/* clang-format off */
static const struct cli_command *const COMMANDS[] = {
    &command_serve,
    &command_work,
    &command_lambda,
    &command_migrate_up,
    &command_migrate_down,
    &command_migrate_status,
    &command_migrate_reset,
    &command_seed,
    &command_user_create,
    &command_keys_rotate,
    &command_keys_list,
    &command_backup,
    &command_restore,
    &command_copy,
    &command_health,
    &command_config,
    &command_metrics,
    &command_version,
    NULL,
};
/* clang-format on */

int main(int argc, char **argv)
{
    return cli_run(COMMANDS, argc, argv);
}
