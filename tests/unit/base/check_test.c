/* check.h: a CHECK that holds costs nothing and runs its expression once; one that fails says where and
 * aborts. */
#include "base_test.h"

#include "base/check.h"

#include <stdio.h>

static void holds(void **state)
{
    (void)state;
    int count = 0;
    CHECK(++count == 1);
    assert_int_equal(count, 1);
}

static void fails_with_its_place(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    int line = __LINE__ + 4;
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        CHECK(2 + 2 == 5);
        _exit(0);
    }
    close(ends[1]);
    char text[1024];
    ssize_t len = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_true(len > 0);
    text[len] = '\0';
    char expected[1024];
    snprintf(expected, sizeof(expected), "souk: check failed: 2 + 2 == 5 (%s:%d)\n", __FILE__, line);
    assert_string_equal(text, expected);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void unreachable(void)
{
    UNREACHABLE("never here");
}

static void unreachable_aborts(void **state)
{
    (void)state;
    assert_aborts(unreachable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds),
        cmocka_unit_test(fails_with_its_place),
        cmocka_unit_test(unreachable_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
