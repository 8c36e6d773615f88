/* souk user create: the way to the first admin. The e-mail address, password and names keep the same rules as
 * in a registration over HTTP, because the same descriptor checks them. */
#include "cli/commands.h"
#include "cli/context.h"

#include "auth/password.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "contract/inputs.h"
#include "http/validation.h"
#include "shop/roles.h"
#include "shop/users.h"

#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* The first line of standard input, without its end. Absent when there is none. */
static struct slice read_line(struct arena *arena)
{
    char *line = arena_alloc(arena, PASSWORD_BYTES_MAX + 3);
    if (fgets(line, PASSWORD_BYTES_MAX + 3, stdin) == NULL)
        return SLICE_ABSENT;
    struct slice text = slice_from(line);
    while (text.len > 0 && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text;
}

/* Asks on the terminal, which does not show what is typed. */
static struct slice ask_secret(struct arena *arena, const char *question)
{
    struct termios shown;
    bool is_known = tcgetattr(STDIN_FILENO, &shown) == 0;
    struct termios hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "%s: ", question);
    if (is_known)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    struct slice text = read_line(arena);
    if (is_known)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fprintf(stderr, "\n");
    return text;
}

/* From standard input, or typed twice on a terminal. */
static bool read_password(const struct args *args, struct slice *password, struct slice *complaint)
{
    *password = SLICE_ABSENT;
    if (args_has(args, "password-stdin")) {
        *password = read_line(args->arena);
        *complaint = SLICE("there is no password on standard input");
        return !slice_is_absent(*password);
    }
    if (!isatty(STDIN_FILENO)) {
        *complaint =
            SLICE("nobody is there to type a password: say --password-stdin and write it to standard input");
        return false;
    }
    *password = ask_secret(args->arena, "password");
    *complaint = SLICE("the two passwords differ");
    return !slice_is_absent(*password) && slice_equals(*password, ask_secret(args->arena, "the same again"));
}

/* False when it is no text at all: JSON could not carry it. */
static bool add_field(struct json_writer *json, const char *key, struct slice text)
{
    if (slice_is_absent(text))
        return true;
    if (text_is_valid(text))
        json_field_string(json, key, text);
    return text_is_valid(text);
}

/* Holds what was given against the rules of POST /auth/register. */
static const struct auth_register_input *check_input(const struct args *args, struct slice password,
                                                     struct slice *complaint)
{
    struct buf body;
    struct json_writer json;
    struct field_errors errors = {0};
    void *input;
    buf_init(&body, args->arena);
    json_init(&json, &body);
    json_object_begin(&json);
    bool is_text = add_field(&json, "email", args_value(args, "email")) &&
                   add_field(&json, "password", password) &&
                   add_field(&json, "firstName", args_value(args, "first-name")) &&
                   add_field(&json, "lastName", args_value(args, "last-name"));
    json_object_end(&json);
    const struct raw_input raw = {.body = buf_slice(&body)};
    *complaint = SLICE("what was given is not UTF-8");
    if (!is_text)
        return NULL;
    if (input_decode(&auth_register_input_rule, &raw, args->arena, &input, &errors))
        return input;
    *complaint = arena_format(args->arena, "%.*s: %.*s", SLICE_ARG(errors.list[0].field),
                              SLICE_ARG(errors.list[0].message));
    return NULL;
}

struct insertion {
    struct arena *arena;
    struct new_user user;
    struct slice role;
    bool is_unknown_role;
    struct uuid id;
};

static enum db_result insert(struct db *db, void *arg)
{
    struct insertion *insertion = arg;
    struct role_grant role;
    enum db_result result = role_find(db, insertion->role, &role);
    insertion->is_unknown_role = result == DB_DONE;
    if (result != DB_ROW)
        return result == DB_DONE ? DB_CONFLICT : result;
    insertion->user.role = role.kind;
    if (role.kind == ROLE_STAFF)
        insertion->user.staff_role = role.name;
    return user_insert(db, insertion->arena, &insertion->user, clock_now_ms(), &insertion->id);
}

static enum db_result insert_into(struct store *store, struct insertion *insertion)
{
    struct db *db = store_connect(store);
    if (db == NULL)
        return DB_ERROR;
    enum db_result result = db_transaction(db, insert, insertion);
    store_disconnect(db);
    return result;
}

static int create(const struct args *args, const struct auth_register_input *input, struct slice role)
{
    struct config config;
    char id[UUID_TEXT_LEN];
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct insertion insertion = {
        .arena = args->arena,
        .user = {.email = input->email,
                 .password_hash = password_hash(args->arena, input->password),
                 .first_name = input->first_name,
                 .last_name = input->last_name,
                 .is_email_verified = true}, /* whoever may run this command vouches for it */
        .role = role,
    };
    if (slice_is_absent(insertion.user.password_hash))
        return cli_fail(args, EXIT_FAILED, SLICE("the system gives no memory to hash the password"));
    struct store *store = cli_store_open(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    enum db_result result = insert_into(store, &insertion);
    store_close(store);
    if (insertion.is_unknown_role)
        return cli_misused(args,
                           SLICE("--role is customer, admin or one of the shop's staff roles (staff, ...)"));
    if (result == DB_CONFLICT)
        return cli_fail(args, EXIT_FAILED,
                        arena_format(args->arena,
                                     "there is an account with the address %.*s already; nothing was changed",
                                     SLICE_ARG(input->email)));
    if (result != DB_DONE)
        return cli_fail(args, EXIT_FAILED, SLICE("the database failed; nothing was changed"));
    uuid_format(insertion.id, id);
    printf("%.*s %.*s is made: %.*s\n", SLICE_ARG(role), SLICE_ARG(input->email), UUID_TEXT_LEN, id);
    return EXIT_OK;
}

static int run_user_create(const struct args *args)
{
    struct slice complaint;
    struct slice password;
    struct slice role = SLICE("customer");
    if (!args_has(args, "email"))
        return cli_misused(args, SLICE("--email is missing"));
    if (args_has(args, "role"))
        role = args_value(args, "role");
    if (!read_password(args, &password, &complaint))
        return cli_misused(args, complaint);
    const struct auth_register_input *input = check_input(args, password, &complaint);
    return input == NULL ? cli_misused(args, complaint) : create(args, input, role);
}

static const struct cli_option USER_CREATE_OPTIONS[] = {
    {"email", "E", "the address to log in with"},
    {"role", "ROLE", "customer (default), admin, staff or another staff role"},
    {"password-stdin", NULL, "read the password from standard input (default: ask)"},
    {"first-name", "NAME", "shown to staff"},
    {"last-name", "NAME", "shown to staff"},
    {0},
};

const struct cli_command command_user_create = {
    .name = "user create",
    .summary = "make an account, also one of staff or an admin",
    .details =
        "An address that has an account already is left as it is, and the command fails. Works beside a running\n"
        "server.",
    .options = USER_CREATE_OPTIONS,
    .run = run_user_create,
};
