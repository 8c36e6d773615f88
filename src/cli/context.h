/* What most commands begin with: settings, log, the store. Each function says on standard error what is
 * wrong, in one line. */
#pragma once

#include "cli/args.h"
#include "data/db.h"

/* Exit codes. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1, /* it was tried and did not work, or nothing was to be changed */
    EXIT_USAGE = 2   /* the command line or a setting is wrong; nothing was tried */
};

/* The whole of a command's own memory: settings, listings, a sample shop's texts. */
#define COMMAND_ARENA_BYTES ((size_t)256 << 20)

/* "souk serve: ..." on standard error; returns `code`. */
int cli_fail(const struct args *args, enum exit_code code, struct slice complaint);
/* As cli_fail, for a wrong use: adds where the help is; returns EXIT_USAGE. */
int cli_misused(const struct args *args, struct slice complaint);

/* Reads the settings, those that a secret of AWS holds too, and starts the log. */
bool cli_config(const struct args *args, struct config *config);
/* The same, with the reason in *complaint in place of saying it. */
bool cli_config_try(const struct args *args, struct config *config, struct slice *complaint);
/* Opens the store, making an empty one where there is none. NULL after saying why not. */
struct store *cli_store_create(const struct args *args, const struct config *config);
/* The same, with the reason in *complaint in place of saying it. */
struct store *cli_store_try(const struct args *args, const struct config *config, struct slice *complaint);
/* Opens a shop that is there and can be reached, with the schema of this binary; a missing, older or newer
 * one is a complaint.
 */
struct store *cli_store_open(const struct args *args, const struct config *config);
/* As cli_store_open, whatever the schema's version. */
struct store *cli_store_open_any(const struct args *args, const struct config *config);

enum cli_schema { CLI_SCHEMA_CURRENT, CLI_SCHEMA_BEHIND, CLI_SCHEMA_AHEAD, CLI_SCHEMA_UNKNOWN };
/* How the database's schema relates to the one that this binary knows; *complaint unless it is current. */
enum cli_schema cli_schema_check(const struct args *args, struct store *store, struct slice *complaint);
/* Whether the shop is all there: no copy of it was interrupted; else *complaint. The schema must be current.
 */
bool cli_shop_is_whole(struct store *store, struct slice *complaint);
/* Whether no other souk process has the database open: for what would pull the ground from under a server. */
bool cli_is_alone(const struct args *args, const struct config *config);

/* Whether somebody says yes to `question` on the terminal, or --yes was given (the command must have that
 * option). Without either, says that --yes is needed. */
bool cli_confirmed(const struct args *args, const char *question);
