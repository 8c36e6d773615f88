/* The command line's parser: what it takes, what it refuses and in which words. */
#include "cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

static int run_nothing(const struct args *args)
{
    (void)args;
    return 0;
}

static const struct cli_option SERVE_OPTIONS[] = {
    {"listen", "HOST:PORT", "where to listen"}, {"no-jobs", NULL, "without the jobs"}, {0}};
static const struct cli_option DOWN_OPTIONS[] = {{"yes", NULL, "do not ask"}, {0}};

static const struct cli_command SERVE = {
    .name = "serve", .options = SERVE_OPTIONS, .summary = "s", .run = run_nothing};
static const struct cli_command UP = {.name = "migrate up", .summary = "u", .run = run_nothing};
static const struct cli_command DOWN = {.name = "migrate down",
                                        .words = "[N]",
                                        .words_max = 1,
                                        .options = DOWN_OPTIONS,
                                        .summary = "d",
                                        .run = run_nothing};
static const struct cli_command BACKUP = {
    .name = "backup", .words = "FILE", .words_min = 1, .words_max = 1, .summary = "b", .run = run_nothing};
static const struct cli_command *const COMMANDS[] = {&SERVE, &UP, &DOWN, &BACKUP, NULL};

static struct arena arena;
static struct args args;
static struct slice complaint;

static int set_up(void **state)
{
    (void)state;
    return arena_init(&arena, (size_t)1 << 20) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

#define WORDS_MAX 12

/* Parses a line cut at its spaces. */
static enum args_outcome parse(const char *line)
{
    static char text[256];
    char *argv[WORDS_MAX] = {NULL};
    int argc = 0;
    arena_reset(&arena);
    complaint = SLICE_ABSENT;
    assert_true(strlen(line) < sizeof(text));
    strcpy(text, line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    return args_parse(COMMANDS, argc, argv, &arena, &args, &complaint);
}

static void assert_text(struct slice text, const char *expected)
{
    assert_string_equal(arena_copy(&arena, text).ptr, expected);
}

static void assert_wrong(const char *line, const char *expected)
{
    assert_int_equal(parse(line), ARGS_WRONG);
    assert_text(complaint, expected);
}

static void options_and_words_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(parse("souk serve --listen 127.0.0.1:0 --no-jobs --data=/tmp/a=b"), ARGS_RUN);
    assert_ptr_equal(args.command, &SERVE);
    assert_text(args_value(&args, "listen"), "127.0.0.1:0");
    assert_true(args_has(&args, "no-jobs"));
    assert_text(args.data, "/tmp/a=b");

    assert_int_equal(parse("souk migrate down --yes 3"), ARGS_RUN);
    assert_ptr_equal(args.command, &DOWN);
    assert_text(args.words[0], "3");
    assert_int_equal(parse("souk migrate down 3 --yes"), ARGS_RUN);
    assert_true(args_has(&args, "yes"));
    assert_int_equal(args.word_count, 1);

    assert_int_equal(parse("souk backup -- --odd"), ARGS_RUN);
    assert_text(args.words[0], "--odd");
    assert_int_equal(parse("souk backup -"), ARGS_RUN);
    assert_text(args.words[0], "-");
}

static void options_not_given_are_absent(void **state)
{
    (void)state;
    assert_int_equal(parse("souk serve"), ARGS_RUN);
    assert_true(slice_is_absent(args_value(&args, "listen")));
    assert_false(args_has(&args, "no-jobs"));
    assert_true(slice_is_absent(args.data));
    assert_int_equal(args.word_count, 0);
}

static void only_settings_become_flags(void **state)
{
    (void)state;
    struct config_flag flags[ARGS_OPTIONS_MAX];
    assert_int_equal(parse("souk serve --no-jobs --data d"), ARGS_RUN);
    assert_int_equal(args_config_flags(&args, flags), 2);
    assert_text(flags[0].name, "data");
    assert_text(flags[0].value, "d");
    assert_text(flags[1].name, "no-jobs");
    assert_int_equal(parse("souk migrate down --yes"), ARGS_RUN);
    assert_int_equal(args_config_flags(&args, flags), 0);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_wrong("souk serv", "there is no command serv; did you mean serve?");
    assert_wrong("souk dance", "there is no command dance");
    assert_wrong("souk migrate", "migrate is not a whole command: migrate up, migrate down");
    assert_wrong("souk migrate sideways", "migrate is not a whole command: migrate up, migrate down");
    assert_wrong("souk --data x serve", "the command comes first, then its options: souk COMMAND --data");
    assert_wrong("souk serve --lisen x", "there is no option --lisen; did you mean --listen?");
    assert_wrong("souk serve --yes", "there is no option --yes");
    assert_wrong("souk serve -p", "there is no option -p");
    assert_wrong("souk serve --listen", "--listen needs a value: --listen HOST:PORT");
    assert_wrong("souk serve --listen --no-jobs", "--listen needs a value: --listen HOST:PORT");
    assert_wrong("souk serve --listen=", "--listen needs a value: --listen HOST:PORT");
    assert_wrong("souk serve --data", "--data needs a value: --data DIR");
    assert_wrong("souk serve --data a --data b", "--data is given twice");
    assert_wrong("souk serve --no-jobs --no-jobs", "--no-jobs is given twice");
    assert_wrong("souk serve --no-jobs=off", "--no-jobs takes no value");
    assert_wrong("souk serve now", "\"now\" is more than this command takes");
    assert_wrong("souk backup", "backup needs FILE");
    assert_wrong("souk help serv", "there is no command serv; did you mean serve?");
}

static void help_is_found_everywhere(void **state)
{
    (void)state;
    static const char *const ALL[] = {"souk", "souk help", "souk --help", "souk -h"};
    for (size_t i = 0; i < COUNT_OF(ALL); i++) {
        assert_int_equal(parse(ALL[i]), ARGS_HELP);
        assert_null(args.command);
        assert_true(slice_is_absent(args.group));
    }
    static const char *const OF_DOWN[] = {"souk help migrate down", "souk migrate down --help",
                                          "souk migrate down -h 4"};
    for (size_t i = 0; i < COUNT_OF(OF_DOWN); i++) {
        assert_int_equal(parse(OF_DOWN[i]), ARGS_HELP);
        assert_ptr_equal(args.command, &DOWN);
    }
    assert_int_equal(parse("souk help migrate"), ARGS_HELP);
    assert_text(args.group, "migrate");
    assert_int_equal(parse("souk migrate --help"), ARGS_HELP);
    assert_text(args.group, "migrate");
    assert_int_equal(parse("souk backup --help"), ARGS_HELP); /* help needs no word */
}

static void help_lists_what_there_is(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, &arena);
    args_help(COMMANDS, SLICE("migrate"), &out);
    assert_non_null(strstr(arena_copy(&arena, buf_slice(&out)).ptr, "\n  migrate down "));
    assert_null(strstr(arena_copy(&arena, buf_slice(&out)).ptr, "\n  serve "));
    buf_init(&out, &arena);
    args_command_help(&SERVE, &out);
    assert_non_null(strstr(arena_copy(&arena, buf_slice(&out)).ptr, "\n  --listen HOST:PORT "));
    assert_non_null(strstr(arena_copy(&arena, buf_slice(&out)).ptr, "\n  --data DIR "));
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    int64_t number = 7;
    assert_true(args_int(&arena, "N", SLICE_ABSENT, 1, 9, &number, &complaint));
    assert_int_equal(number, 7);
    assert_true(args_int(&arena, "N", SLICE("3"), 1, 9, &number, &complaint));
    assert_int_equal(number, 3);
    static const char *const BAD[] = {"0", "10", "-1", "x", "", "99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        assert_false(args_int(&arena, "N", slice_from(BAD[i]), 1, 9, &number, &complaint));
    assert_int_equal(number, 3);
    assert_text(complaint, "N is a whole number from 1 to 9, not \"99999999999999999999\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_in_any_order),
        cmocka_unit_test(options_not_given_are_absent),
        cmocka_unit_test(only_settings_become_flags),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_is_found_everywhere),
        cmocka_unit_test(help_lists_what_there_is),
        cmocka_unit_test(numbers_have_bounds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
