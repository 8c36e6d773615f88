/* What main does, given the commands of its binary. */
#pragma once

#include "cli/args.h"

/* Finds the command of `argv` in the table, which ends with NULL, and runs it, or shows help. Returns the
 * process's exit code. */
int cli_run(const struct cli_command *const *commands, int argc, char *const *argv);
