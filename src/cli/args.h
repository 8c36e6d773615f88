/* Reads the command line: which command, its options, its words. Knows nothing of what commands do.
 *
 * An option is `--name VALUE` or `--name=VALUE`, a switch only `--name`; they may stand before and behind the
 * words, each once. Behind `--` all are words. Every command takes --data DIR and --help (-h). */
#pragma once

#include "base/config.h"

#define ARGS_OPTIONS_MAX 12
#define ARGS_WORDS_MAX 4

struct cli_option {
    const char *name;       /* without the dashes */
    const char *value_name; /* what the help calls its value; NULL: a switch */
    const char *help;
};

struct args;

struct cli_command {
    const char *name;                 /* one word, or two: "user create" */
    const char *words;                /* what the usage line shows behind the name and the options, or NULL */
    const char *summary;              /* the line in `souk help` */
    const char *details;              /* the paragraphs of `souk NAME --help`, or NULL */
    const struct cli_option *options; /* its own; ends with a NULL name. NULL: none */
    unsigned words_min;
    unsigned words_max;
    int (*run)(const struct args *args); /* returns the exit code */
};

struct args {
    const struct cli_command *command;
    struct slice group; /* for ARGS_HELP without a command: "migrate", whose commands are asked about; or
                           absent: all */
    struct slice
        option_values[ARGS_OPTIONS_MAX]; /* beside command->options; a switch that is on is an empty text */
    struct slice data;                   /* of --data; absent without */
    struct slice words[ARGS_WORDS_MAX];
    unsigned word_count;
    struct arena *arena; /* of the whole command */
};

enum args_outcome {
    ARGS_RUN,  /* *args is filled, run args->command */
    ARGS_HELP, /* help was asked for; args->command is NULL for a list of commands */
    ARGS_WRONG /* *complaint is one clear line; args->command is the one that was meant, or NULL */
};

/* `commands` ends with NULL. `argv` is main's: argv[0] is skipped, the texts are not copied. */
enum args_outcome args_parse(const struct cli_command *const *commands, int argc, char *const *argv,
                             struct arena *arena, struct args *args, struct slice *complaint);

/* The value of an option of the command; absent when it was not given. Asking for one that is not in its
 * table asserts. */
struct slice args_value(const struct args *args, const char *name);
bool args_has(const struct args *args, const char *name);
/* Reads a whole number from min to max; `what` names it in the complaint ("--products", "N"). An absent text
 * leaves *number alone and is true. */
bool args_int(struct arena *arena, const char *what, struct slice text, int64_t min, int64_t max,
              int64_t *number, struct slice *complaint);
/* The flags that are settings (base/config.h), for config_load; returns how many, at most ARGS_OPTIONS_MAX.
 */
size_t args_config_flags(const struct args *args, struct config_flag flags[ARGS_OPTIONS_MAX]);

/* The help texts: the list of all commands, or of those in `group`; and one command. */
void args_help(const struct cli_command *const *commands, struct slice group, struct buf *out);
void args_command_help(const struct cli_command *command, struct buf *out);
