/* souk seed: a sample shop, or a large one to measure with. */
#include "cli/commands.h"
#include "cli/context.h"

#include "base/clock.h"
#include "shop/seed.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_CELLS 30
#define TENTHS 10

/* ---- progress ---- */

struct progress {
    bool is_terminal;
    const char *what; /* being written */
    int64_t tenths;   /* of it that were told */
};

static void draw_bar(const char *what, int64_t done, int64_t total)
{
    int cells = (int)(done * BAR_CELLS / total);
    printf("\r%-9s [", what);
    for (int i = 0; i < BAR_CELLS; i++)
        putchar(i < cells ? '#' : '.');
    printf("] %3d %%  %lld of %lld%s", (int)(done * 100 / total), (long long)done, (long long)total,
           done == total ? "\n" : "");
    fflush(stdout);
}

/* A bar where somebody looks at it; else a line for each tenth. */
static void show_progress(const char *what, int64_t done, int64_t total, void *arg)
{
    struct progress *progress = arg;
    if (progress->is_terminal) {
        draw_bar(what, done, total);
        return;
    }
    if (progress->what != what) {
        progress->what = what;
        progress->tenths = 0;
    }
    int64_t tenths = done * TENTHS / total;
    if (tenths == progress->tenths)
        return;
    progress->tenths = tenths;
    printf("%s: %lld of %lld\n", what, (long long)done, (long long)total);
    fflush(stdout);
}

/* ---- running ---- */

static bool read_counts(const struct args *args, struct seed_counts *counts, bool *is_large,
                        struct slice *complaint)
{
    *counts = (struct seed_counts){0};
    *is_large = args_has(args, "products") || args_has(args, "users") || args_has(args, "orders");
    if (!args_int(args->arena, "--products", args_value(args, "products"), 0, SEED_PRODUCTS_MAX,
                  &counts->products, complaint) ||
        !args_int(args->arena, "--users", args_value(args, "users"), 0, SEED_USERS_MAX, &counts->users,
                  complaint) ||
        !args_int(args->arena, "--orders", args_value(args, "orders"), 0, SEED_ORDERS_MAX, &counts->orders,
                  complaint))
        return false;
    *complaint = SLICE("--orders needs --products: somebody bought something");
    return counts->orders == 0 || counts->products > 0;
}

/* `is_large`: as many as *counts says, else the small sample. */
static int fill(const struct args *args, struct store *store, const struct seed_counts *counts, bool is_large)
{
    struct slice complaint = SLICE_ABSENT;
    struct progress progress = {.is_terminal = isatty(STDOUT_FILENO)};
    int64_t began_us = clock_monotonic_us();
    bool done = is_large ? seed_large(store, counts, show_progress, &progress, args->arena, &complaint)
                         : seed_sample(store, args->arena, &complaint);
    if (!done)
        return cli_fail(args, EXIT_FAILED, complaint);
    struct seed_counts now;
    bool is_empty;
    if (!seed_counts_read(store, &now, &is_empty))
        return cli_fail(args, EXIT_FAILED, SLICE("the shop is filled, but cannot be read"));
    printf("The shop has %lld products, %lld accounts and %lld orders now (%.1f s).\n",
           (long long)now.products, (long long)now.users, (long long)now.orders,
           (double)(clock_monotonic_us() - began_us) / 1e6);
    return EXIT_OK;
}

static int run_seed(const struct args *args)
{
    struct config config;
    struct slice complaint = SLICE_ABSENT;
    struct seed_counts counts;
    bool is_large = false;
    if (!read_counts(args, &counts, &is_large, &complaint))
        return cli_misused(args, complaint);
    if (!cli_config(args, &config))
        return EXIT_USAGE;
    struct store *store = cli_store_open(args, &config);
    if (store == NULL)
        return EXIT_FAILED;
    struct seed_counts now;
    bool is_empty = true;
    int code = EXIT_OK;
    if (args_has(args, "if-empty") && !seed_counts_read(store, &now, &is_empty))
        code = cli_fail(args, EXIT_FAILED, SLICE("the database cannot be read"));
    else if (is_empty)
        code = fill(args, store, &counts, is_large);
    store_close(store);
    return code;
}

static const struct cli_option SEED_OPTIONS[] = {
    {"if-empty", NULL, "do nothing, and say nothing, when something is there"},
    {"products", "N", "a large shop with so many products"},
    {"users", "N", "and so many accounts"},
    {"orders", "N", "and so many orders of the last year"},
    {0},
};

const struct cli_command command_seed = {
    .name = "seed",
    .summary = "fill an empty shop with samples",
    .details =
        "Without numbers a small shop that looks real, with pictures, customers and orders of the last months. With\n"
        "numbers a large one to measure with; the same numbers always make the same shop. Only in a shop without\n"
        "categories, products and orders: anywhere else it adds nothing and fails. Sample customers have no password.\n"
        "Works beside a running server.",
    .options = SEED_OPTIONS,
    .run = run_seed,
};
