/* The provider `test`: card numbers that are none, for trying a shop out (off unless SOUK_TEST_PAYMENTS=on).
 *
 *     4242424242424242  approved
 *     4000000000000002  declined
 *     4000000000000119  charged, but the answer is lost: asked again later it says approved
 *     4000000000000259  nothing charged and no answer: asked again later it says declined
 *
 * It keeps its books as a real provider does, outside the shop's database: one file per charge under
 * DATA/test-payments, made before the answer. So a crash between charge and record can be told apart from one
 * before it, and a repeated key never charges twice. */
#include "base/check.h"
#include "payment/providers_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

/* DATA/test-payments/KEY.KIND; false when the path would be too long. */
static bool book_path(const struct config *config, struct slice key, const char *kind,
                      char path[PATH_BYTES_MAX])
{
    for (size_t i = 0; i < key.len; i++)
        CHECK(key.ptr[i] != '/' && key.ptr[i] != '.' && key.ptr[i] != '\0');
    int len = snprintf(path, PATH_BYTES_MAX, "%.*s/test-payments", SLICE_ARG(config->data_directory));
    if (len < 0 || len >= PATH_BYTES_MAX)
        return false;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return false;
    len = snprintf(path, PATH_BYTES_MAX, "%.*s/test-payments/%.*s.%s", SLICE_ARG(config->data_directory),
                   SLICE_ARG(key), kind);
    return len > 0 && len < PATH_BYTES_MAX;
}

/* Enters a charge or refund once; true when it stands in the books, whether from now or before. */
static bool book_enter(const struct config *config, const struct payment_request *request, const char *kind)
{
    char path[PATH_BYTES_MAX];
    if (!book_path(config, request->key, kind, path))
        return false;
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return errno == EEXIST;
    bool is_written = dprintf(file, "{\"amount\":%lld,\"currency\":\"%.*s\"}\n",
                              (long long)request->amount_minor, SLICE_ARG(request->currency)) > 0;
    is_written = fsync(file) == 0 && is_written;
    close(file);
    return is_written;
}

enum booked { BOOKED, NOT_BOOKED, BOOKS_CLOSED };

/* Only a book that can be opened can say that it lacks something. */
static enum booked book_look(const struct config *config, struct slice key, const char *kind)
{
    char path[PATH_BYTES_MAX];
    if (!book_path(config, key, kind, path))
        return BOOKS_CLOSED;
    if (access(path, F_OK) == 0)
        return BOOKED;
    return errno == ENOENT ? NOT_BOOKED : BOOKS_CLOSED;
}

static void answer_booked(struct arena *arena, struct slice key, bool is_booked,
                          struct payment_answer *answer)
{
    answer->outcome = is_booked ? PAYMENT_APPROVED : PAYMENT_UNKNOWN;
    answer->reason = NULL;
    answer->reference = arena_format(arena, "test_%.*s", SLICE_ARG(key));
}

static void test_charge(const struct config *config, struct arena *arena,
                        const struct payment_request *request, struct payment_answer *answer)
{
    *answer = (struct payment_answer){.outcome = PAYMENT_DECLINED, .reason = "unknown_test_card"};
    if (slice_is(request->card_number, "4242424242424242")) {
        answer_booked(arena, request->key, book_enter(config, request, "charge"), answer);
    } else if (slice_is(request->card_number, "4000000000000002")) {
        answer->reason = "card_declined";
    } else if (slice_is(request->card_number, "4000000000000119")) {
        (void)book_enter(config, request, "charge"); /* unknown either way: the shop will ask */
        answer->outcome = PAYMENT_UNKNOWN;
    } else if (slice_is(request->card_number, "4000000000000259")) {
        answer->outcome = PAYMENT_UNKNOWN;
    }
}

static void test_query(const struct config *config, struct arena *arena, struct slice key,
                       struct payment_answer *answer)
{
    *answer = (struct payment_answer){.outcome = PAYMENT_UNKNOWN};
    switch (book_look(config, key, "charge")) {
    case BOOKED:
        answer_booked(arena, key, true, answer);
        break;
    case NOT_BOOKED:
        *answer = (struct payment_answer){.outcome = PAYMENT_DECLINED, .reason = "never_charged"};
        break;
    case BOOKS_CLOSED:
        break;
    }
}

static void test_refund(const struct config *config, struct arena *arena,
                        const struct payment_request *request, struct slice charge_reference,
                        struct payment_answer *answer)
{
    (void)charge_reference;
    *answer = (struct payment_answer){.outcome = PAYMENT_DECLINED, .reason = "refund_not_booked"};
    answer_booked(arena, request->key, book_enter(config, request, "refund"), answer);
}

const struct payment_provider PAYMENT_TEST = {
    .name = "test",
    .charge = test_charge,
    .query = test_query,
    .refund = test_refund,
};
