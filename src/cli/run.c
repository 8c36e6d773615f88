/* Runs the command that the command line names, or shows help. */
#include "cli/run.h"

#include "cli/context.h"

#include "base/crypto.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int show_help(const struct cli_command *const *commands, const struct args *args)
{
    struct buf out;
    buf_init(&out, args->arena);
    if (args->command != NULL)
        args_command_help(args->command, &out);
    else
        args_help(commands, args->group, &out);
    printf("%.*s", SLICE_ARG(buf_slice(&out)));
    return EXIT_OK;
}

static int run(const struct cli_command *const *commands, int argc, char *const *argv, struct arena *arena)
{
    struct args args;
    struct slice complaint = SLICE_ABSENT;
    switch (args_parse(commands, argc, argv, arena, &args, &complaint)) {
    case ARGS_RUN:
        return args.command->run(&args);
    case ARGS_HELP:
        return show_help(commands, &args);
    case ARGS_WRONG:
        break;
    }
    if (args.command != NULL)
        return cli_misused(&args, complaint);
    fprintf(stderr, "souk: %.*s (see: souk help)\n", SLICE_ARG(complaint));
    return EXIT_USAGE;
}

/* Lambda starts the file `bootstrap`, without a word behind it: that is `souk lambda`. */
static bool is_bootstrap(int argc, char *const *argv)
{
    const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
    return argc == 1 && strcmp(name != NULL ? name + 1 : argv[0], "bootstrap") == 0;
}

int cli_run(const struct cli_command *const *commands, int argc, char *const *argv)
{
    static char lambda[] = "lambda";
    char *const as_lambda[] = {argc > 0 ? argv[0] : lambda, lambda, NULL};
    if (is_bootstrap(argc, argv)) {
        argc = 2;
        argv = as_lambda;
    }
    struct arena arena;
    signal(SIGPIPE, SIG_IGN); /* a client that goes away is an error of write(2), not our end */
    crypto_start();
    if (!arena_init(&arena, COMMAND_ARENA_BYTES)) {
        fprintf(stderr, "souk: the system gives no memory\n");
        return EXIT_FAILED;
    }
    int code = run(commands, argc, argv, &arena);
    arena_release(&arena);
    return code;
}
