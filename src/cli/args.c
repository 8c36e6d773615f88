/* The command line's parser and the help that is made from the same tables. */
#include "cli/args.h"

#include "base/check.h"

#define NAME_BYTES_MAX 40   /* a longer word is near to no name */
#define NEAR_DISTANCE_MAX 2 /* typing mistakes that "did you mean" forgives */
#define HELP_COLUMN 26

static const struct cli_option COMMON_OPTIONS[] = {
    {"data", "DIR", "the folder of the shop's data (./data)"},
    {"help", NULL, "this text"},
};

static const struct cli_option NO_OPTIONS[] = {{0}};

static const struct cli_option *own_options(const struct cli_command *command)
{
    return command->options != NULL ? command->options : NO_OPTIONS;
}

/* ---- did you mean ---- */

static size_t least(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Levenshtein's distance, one row at a time. */
static size_t distance(struct slice a, struct slice b)
{
    size_t row[NAME_BYTES_MAX + 1];
    if (a.len > NAME_BYTES_MAX || b.len > NAME_BYTES_MAX)
        return NAME_BYTES_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, replaced);
        }
    }
    return row[b.len];
}

struct nearest {
    struct slice typed;
    const char *name;
    size_t distance;
};

static void nearest_offer(struct nearest *nearest, const char *name)
{
    size_t found = distance(nearest->typed, slice_from(name));
    if (found <= NEAR_DISTANCE_MAX && found < nearest->typed.len && found < nearest->distance) {
        nearest->name = name;
        nearest->distance = found;
    }
}

static struct slice unknown(struct arena *arena, const char *what, const char *dashes,
                            const struct nearest *nearest)
{
    if (nearest->name == NULL)
        return arena_format(arena, "there is no %s %s%.*s", what, dashes, SLICE_ARG(nearest->typed));
    return arena_format(arena, "there is no %s %s%.*s; did you mean %s%s?", what, dashes,
                        SLICE_ARG(nearest->typed), dashes, nearest->name);
}

static struct slice unknown_command(const struct cli_command *const *commands, struct arena *arena,
                                    struct slice typed)
{
    struct nearest nearest = {.typed = typed, .distance = NAME_BYTES_MAX};
    for (; *commands != NULL; commands++)
        nearest_offer(&nearest, (*commands)->name);
    return unknown(arena, "command", "", &nearest);
}

static struct slice unknown_option(const struct cli_command *command, struct arena *arena, struct slice typed)
{
    struct nearest nearest = {.typed = typed, .distance = NAME_BYTES_MAX};
    for (const struct cli_option *option = own_options(command); option->name != NULL; option++)
        nearest_offer(&nearest, option->name);
    for (size_t i = 0; i < COUNT_OF(COMMON_OPTIONS); i++)
        nearest_offer(&nearest, COMMON_OPTIONS[i].name);
    return unknown(arena, "option", "--", &nearest);
}

/* ---- parsing ---- */

struct args_reader {
    int argc;
    char *const *argv;
    int next;
    struct arena *arena;
    struct args *args;
    struct slice *complaint;
    bool wants_help;
    bool only_words; /* `--` was seen */
};

/* The command that argv names from `next` on: the longest name that fits. `*taken` is how many words that is.
 */
static const struct cli_command *find_command(const struct cli_command *const *commands,
                                              const struct args_reader *reader, int *taken)
{
    const struct cli_command *found = NULL;
    *taken = 0;
    for (; *commands != NULL; commands++) {
        struct slice rest = slice_from((*commands)->name);
        struct slice part;
        int count = 0;
        bool fits = true;
        while (fits && slice_split(&rest, ' ', &part)) {
            int at = reader->next + count++;
            fits = at < reader->argc && slice_is(part, reader->argv[at]);
        }
        if (fits && count > *taken) {
            found = *commands;
            *taken = count;
        }
    }
    return found;
}

/* Whether `name` is "group something". */
static bool is_in_group(const char *name, struct slice group)
{
    struct slice rest = slice_from(name);
    struct slice first;
    return slice_split(&rest, ' ', &first) && !slice_is_absent(rest) && slice_equals(first, group);
}

/* The commands of a group in one line: "migrate up, migrate down". Absent when there is no such group. */
static struct slice group_names(const struct cli_command *const *commands, struct arena *arena,
                                struct slice group)
{
    struct slice list = SLICE_ABSENT;
    for (; *commands != NULL; commands++)
        if (is_in_group((*commands)->name, group))
            list = arena_format(arena, "%.*s%s%s", SLICE_ARG(list), slice_is_absent(list) ? "" : ", ",
                                (*commands)->name);
    return list;
}

/* Where the value of `--name` is kept; NULL when the command has no such option. */
static struct slice *option_slot(struct args *args, struct slice name, const struct cli_option **option)
{
    const struct cli_option *own = own_options(args->command);
    for (size_t i = 0; own[i].name != NULL; i++) {
        CHECK(i < ARGS_OPTIONS_MAX);
        if (slice_is(name, own[i].name)) {
            *option = &own[i];
            return &args->option_values[i];
        }
    }
    *option = &COMMON_OPTIONS[0];
    return slice_is(name, "data") ? &args->data : NULL;
}

static bool wrong(struct args_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct args_reader *reader, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    *reader->complaint = arena_format_list(reader->arena, format, list);
    va_end(list);
    return false;
}

/* The value behind `--name`: of the same word, or the next one unless that is an option itself. */
static bool read_value(struct args_reader *reader, const struct cli_option *option, struct slice attached,
                       struct slice *value)
{
    *value = attached;
    if (slice_is_absent(attached) && reader->next < reader->argc &&
        strncmp(reader->argv[reader->next], "--", 2) != 0)
        *value = slice_from(reader->argv[reader->next++]);
    if (value->len == 0)
        return wrong(reader, "--%s needs a value: --%s %s", option->name, option->name, option->value_name);
    return true;
}

/* `text` is what stands behind the dashes. */
static bool read_option(struct args_reader *reader, struct slice text)
{
    struct slice attached = text;
    struct slice name;
    slice_split(&attached, '=', &name);
    if (slice_is(name, "help") && slice_is_absent(attached)) {
        reader->wants_help = true;
        return true;
    }
    const struct cli_option *option;
    struct slice *slot = option_slot(reader->args, name, &option);
    if (slot == NULL) {
        *reader->complaint = unknown_option(reader->args->command, reader->arena, name);
        return false;
    }
    if (!slice_is_absent(*slot))
        return wrong(reader, "--%s is given twice", option->name);
    if (option->value_name != NULL)
        return read_value(reader, option, attached, slot);
    if (!slice_is_absent(attached))
        return wrong(reader, "--%s takes no value", option->name);
    *slot = SLICE("");
    return true;
}

static bool read_word(struct args_reader *reader, const char *word)
{
    struct args *args = reader->args;
    if (args->word_count >= args->command->words_max || args->word_count >= ARGS_WORDS_MAX)
        return wrong(reader, "\"%s\" is more than this command takes", word);
    args->words[args->word_count++] = slice_from(word);
    return true;
}

static bool read_rest(struct args_reader *reader)
{
    while (reader->next < reader->argc) {
        const char *word = reader->argv[reader->next++];
        bool is_long = strncmp(word, "--", 2) == 0 && !reader->only_words;
        bool is_short = word[0] == '-' && word[1] != '\0' && !is_long && !reader->only_words;
        if (is_short && strcmp(word, "-h") == 0)
            reader->wants_help = true;
        else if (is_short)
            return wrong(reader, "there is no option %s", word);
        else if (is_long && word[2] == '\0')
            reader->only_words = true;
        else if (!(is_long ? read_option(reader, slice_from(word + 2)) : read_word(reader, word)))
            return false;
    }
    return true;
}

static bool is_help_option(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `souk`, `souk help`, `souk --help`, `souk help migrate`, `souk migrate --help`: rewritten as what is asked
 * about. True when help was asked for; then *outcome says the rest. Help on one command is found by read_rest
 * as well. */
static bool read_help(const struct cli_command *const *commands, struct args_reader *reader,
                      enum args_outcome *outcome)
{
    *outcome = ARGS_HELP;
    if (reader->argc < 2 || is_help_option(reader->argv[1]))
        return true;
    bool is_command = strcmp(reader->argv[1], "help") == 0;
    if (is_command && reader->argc == 2)
        return true;
    reader->next = is_command ? 2 : 1;
    struct slice about = slice_from(reader->argv[reader->next]);
    int taken;
    const struct cli_command *command = find_command(commands, reader, &taken);
    bool is_group = !slice_is_absent(group_names(commands, reader->arena, about));
    if (command == NULL && is_group &&
        (is_command || (reader->argc > 2 && is_help_option(reader->argv[2])))) {
        reader->args->group = about;
        return true;
    }
    if (!is_command)
        return false;
    reader->args->command = command;
    if (command == NULL) {
        *reader->complaint = unknown_command(commands, reader->arena, about);
        *outcome = ARGS_WRONG;
    }
    return true;
}

/* The words that say which command; false with the complaint when they name none. */
static bool read_command(const struct cli_command *const *commands, struct args_reader *reader)
{
    struct args *args = reader->args;
    struct slice first = slice_from(reader->argv[reader->next]);
    int taken;
    args->command = find_command(commands, reader, &taken);
    if (args->command != NULL) {
        reader->next += taken;
        return true;
    }
    struct slice group = group_names(commands, reader->arena, first);
    if (!slice_is_absent(group))
        return wrong(reader, "%.*s is not a whole command: %.*s", SLICE_ARG(first), SLICE_ARG(group));
    if (first.len > 0 && first.ptr[0] == '-')
        return wrong(reader, "the command comes first, then its options: souk COMMAND %.*s",
                     SLICE_ARG(first));
    *reader->complaint = unknown_command(commands, reader->arena, first);
    return false;
}

enum args_outcome args_parse(const struct cli_command *const *commands, int argc, char *const *argv,
                             struct arena *arena, struct args *args, struct slice *complaint)
{
    *args = (struct args){.arena = arena};
    struct args_reader reader = {
        .argc = argc, .argv = argv, .next = 1, .arena = arena, .args = args, .complaint = complaint};
    enum args_outcome outcome;
    if (read_help(commands, &reader, &outcome))
        return outcome;
    reader.next = 1;
    if (!read_command(commands, &reader) || !read_rest(&reader))
        return ARGS_WRONG;
    if (reader.wants_help)
        return ARGS_HELP;
    if (args->word_count < args->command->words_min) {
        wrong(&reader, "%s needs %s", args->command->name, args->command->words);
        return ARGS_WRONG;
    }
    return ARGS_RUN;
}

/* ---- what commands ask ---- */

struct slice args_value(const struct args *args, const char *name)
{
    const struct cli_option *options = own_options(args->command);
    size_t i = 0;
    while (options[i].name != NULL && strcmp(options[i].name, name) != 0)
        i++;
    CHECK(options[i].name != NULL);
    return args->option_values[i];
}

bool args_has(const struct args *args, const char *name)
{
    return !slice_is_absent(args_value(args, name));
}

bool args_int(struct arena *arena, const char *what, struct slice text, int64_t min, int64_t max,
              int64_t *number, struct slice *complaint)
{
    long long value;
    if (slice_is_absent(text))
        return true;
    if (!slice_to_int64(text, &value) || value < min || value > max) {
        *complaint = arena_format(arena, "%s is a whole number from %lld to %lld, not \"%.*s\"", what,
                                  (long long)min, (long long)max, SLICE_ARG(text));
        return false;
    }
    *number = value;
    return true;
}

size_t args_config_flags(const struct args *args, struct config_flag flags[ARGS_OPTIONS_MAX])
{
    const struct cli_option *options = own_options(args->command);
    size_t count = 0;
    bool takes_value;
    if (!slice_is_absent(args->data))
        flags[count++] = (struct config_flag){SLICE("data"), args->data};
    for (size_t i = 0; options[i].name != NULL; i++) {
        struct slice name = slice_from(options[i].name);
        if (!slice_is_absent(args->option_values[i]) && config_flag_find(name, &takes_value)) {
            CHECK(count < ARGS_OPTIONS_MAX);
            flags[count++] = (struct config_flag){name, args->option_values[i]};
        }
    }
    return count;
}

/* ---- help ---- */

static void help_row(struct buf *out, struct slice left, const char *right)
{
    buf_format(out, "  %-*.*s %s\n", HELP_COLUMN, SLICE_ARG(left), right);
}

static void option_row(struct buf *out, const struct cli_option *option)
{
    struct slice left =
        arena_format(out->arena, "--%s%s%s", option->name, option->value_name != NULL ? " " : "",
                     option->value_name != NULL ? option->value_name : "");
    help_row(out, left, option->help);
}

void args_help(const struct cli_command *const *commands, struct slice group, struct buf *out)
{
    buf_append(out, SLICE("souk: an ecommerce platform, the whole API of a shop in one binary\n\n"
                          "usage: souk COMMAND [options]\n\n"));
    for (; *commands != NULL; commands++)
        if (slice_is_absent(group) || is_in_group((*commands)->name, group))
            help_row(out, slice_from((*commands)->name), (*commands)->summary);
    buf_append(
        out,
        SLICE(
            "\nEvery command takes --data DIR and --help. Settings come from flags, the environment and .env,\n"
            "in that order: `souk config` shows them all.\n"));
}

void args_command_help(const struct cli_command *command, struct buf *out)
{
    buf_format(out, "usage: souk %s [options]%s%s\n\n%s\n", command->name, command->words != NULL ? " " : "",
               command->words != NULL ? command->words : "", command->summary);
    if (command->details != NULL)
        buf_format(out, "\n%s\n", command->details);
    buf_append(out, SLICE("\noptions:\n"));
    for (const struct cli_option *option = own_options(command); option->name != NULL; option++)
        option_row(out, option);
    for (size_t i = 0; i < COUNT_OF(COMMON_OPTIONS); i++)
        option_row(out, &COMMON_OPTIONS[i]);
}
