/* The commands of `souk`, one file each. A command is in the table of main.c only when all of it works. */
#pragma once

#include "cli/args.h"

extern const struct cli_command command_serve;
extern const struct cli_command command_work;
extern const struct cli_command command_lambda;
extern const struct cli_command command_migrate_up;
extern const struct cli_command command_migrate_down;
extern const struct cli_command command_migrate_status;
extern const struct cli_command command_migrate_reset;
extern const struct cli_command command_seed;
extern const struct cli_command command_user_create;
extern const struct cli_command command_keys_rotate;
extern const struct cli_command command_keys_list;
extern const struct cli_command command_backup;
extern const struct cli_command command_restore;
extern const struct cli_command command_copy;
extern const struct cli_command command_health;
extern const struct cli_command command_config;
extern const struct cli_command command_metrics;
extern const struct cli_command command_version;
