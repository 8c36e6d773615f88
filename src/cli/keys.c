/* souk keys rotate | list: the keys that sign access tokens. */
#include "cli/commands.h"
#include "cli/context.h"

#include "auth/keys.h"
#include "base/clock.h"

#include <stdio.h>

#define KEYS_SHOWN_MAX 256

static int run_rotate(const struct args *args)
{
    struct config config;
    struct slice complaint;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct store *store = cli_store_open(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    bool done = config_secret_ensure(&config, args->arena, &complaint) &&
                keys_rotate(store, config.secret, clock_now_ms(), args->arena, &complaint);
    store_close(store);
    if (!done)
        return cli_fail(args, EXIT_FAILED, complaint);
    printf("The next key signs now; tokens of the one before stay good until they expire.\n");
    return EXIT_OK;
}

static int run_list(const struct args *args)
{
    struct config config;
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct store *store = cli_store_open(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    struct key_listing *list = ARENA_ARRAY(args->arena, struct key_listing, KEYS_SHOWN_MAX);
    size_t count = keys_list(store, args->arena, list, KEYS_SHOWN_MAX);
    store_close(store);
    for (size_t i = 0; i < count; i++) {
        char created_at[CLOCK_RFC3339_LEN];
        clock_format_rfc3339(list[i].created_at_ms, created_at);
        printf("%.*s  %-8.*s made %.*s\n", SLICE_ARG(list[i].kid), SLICE_ARG(list[i].state),
               CLOCK_RFC3339_LEN, created_at);
    }
    if (count == 0)
        printf("There are no keys yet; the first start of \"souk serve\" makes them.\n");
    return EXIT_OK;
}

const struct cli_command command_keys_rotate = {
    .name = "keys rotate",
    .summary = "sign access tokens with a new key from now on",
    .details =
        "The key that waited as next becomes active, the active one retires and still verifies what it signed, and a\n"
        "new next key is made and published. Running servers notice by themselves.",
    .run = run_rotate,
};

const struct cli_command command_keys_list = {
    .name = "keys list",
    .summary = "the signing keys: id, state, age",
    .run = run_list,
};
