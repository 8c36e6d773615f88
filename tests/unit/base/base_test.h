/* What the unit tests of base/ share: cmocka with the headers it needs, and checks of slices and of
 * assertions. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define assert_text(actual, expected) assert_text_at((actual), (expected), __FILE__, __LINE__)

static inline void assert_text_at(struct slice actual, const char *expected, const char *file, int line)
{
    if (!slice_is_absent(actual) && slice_is(actual, expected))
        return;
    print_error("%s:%d: is \"%.*s\"%s\n%s:%d: should be \"%s\"\n", file, line, SLICE_ARG(actual),
                slice_is_absent(actual) ? " (absent)" : "", file, line, expected);
    fail();
}

#define assert_absent(slice) assert_true(slice_is_absent(slice))

/* Runs `act` in a child, which must end by SIGABRT: the way of a failed CHECK. Its message is thrown away. */
static inline void assert_aborts(void (*act)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        close(STDERR_FILENO);
        act();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}
