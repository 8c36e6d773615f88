/* The command line of any words, cut at NUL. */
#include "fuzz.h"

#include "cli/args.h"

#include "base/check.h"

#include <stdlib.h>

#define WORDS_MAX 16

static struct arena arena;

static const struct cli_option OPTIONS[] = {
    {"listen", "HOST:PORT", "where"}, {"no-jobs", NULL, "without"}, {"yes", NULL, "do it"}, {0}};
static const struct cli_command SERVE = {.name = "serve", .options = OPTIONS};
static const struct cli_command UP = {.name = "migrate up"};
static const struct cli_command DOWN = {
    .name = "migrate down", .words = "[N]", .words_max = 1, .options = OPTIONS};
static const struct cli_command *const COMMANDS[] = {&SERVE, &UP, &DOWN, NULL};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return arena_init(&arena, (size_t)1 << 20) ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[WORDS_MAX + 1] = {0};
    int argc = 0;
    struct args args;
    struct slice complaint = SLICE_ABSENT;
    if (size > 4096)
        return 0;
    arena_reset(&arena);
    char *copy = calloc(size + 1, 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    for (size_t at = 0; at < size && argc < WORDS_MAX; at += strlen(copy + at) + 1)
        argv[argc++] = copy + at;
    if (args_parse(COMMANDS, argc, argv, &arena, &args, &complaint) == ARGS_WRONG)
        CHECK(complaint.len > 0);
    free(copy);
    return 0;
}
