/* What is told to the service manager: that it arrives, by either kind of socket name, and that a manager who
 * is not there or not named harms nothing. */
#include "cli/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

/* A socket with that name, '@' first for an abstract one, that a manager would read from. */
static int manager_listens(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    assert_true(len < sizeof(address.sun_path));
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, address_len), 0);
    return fd;
}

static void assert_heard(int fd, const char *expected)
{
    char text[256];
    ssize_t len = recv(fd, text, sizeof(text) - 1, 0);
    assert_true(len >= 0);
    text[len] = '\0';
    assert_string_equal(text, expected);
}

static void arrives_at_a_path(void **state)
{
    (void)state;
    char folder[] = "/tmp/souk-notify-XXXXXX";
    char name[64];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof(name), "%s/socket", folder);
    int fd = manager_listens(name);
    setenv("NOTIFY_SOCKET", name, 1);
    assert_true(notify_manager(SLICE("READY=1")));
    assert_true(notify_manager(SLICE("STOPPING=1")));
    assert_heard(fd, "READY=1");
    assert_heard(fd, "STOPPING=1");
    close(fd);
    assert_false(notify_manager(SLICE("READY=1")));
    assert_int_equal(errno, ECONNREFUSED);
    unlink(name);
    rmdir(folder);
}

static void arrives_at_an_abstract_name(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof(name), "@souk-notify-test-%ld", (long)getpid());
    int fd = manager_listens(name);
    setenv("NOTIFY_SOCKET", name, 1);
    assert_true(notify_manager(SLICE("READY=1")));
    assert_heard(fd, "READY=1");
    close(fd);
}

static void without_a_manager_nothing_is_wrong(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_true(notify_manager(SLICE("READY=1")));
    setenv("NOTIFY_SOCKET", "", 1);
    assert_true(notify_manager(SLICE("READY=1")));
}

static void a_name_that_is_none_is_refused(void **state)
{
    (void)state;
    char too_long[200];
    memset(too_long, 'a', sizeof(too_long));
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    const char *const names[] = {"relative", "/", "@", too_long};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        assert_false(notify_manager(SLICE("READY=1")));
        assert_int_equal(errno, EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrives_at_a_path),
        cmocka_unit_test(arrives_at_an_abstract_name),
        cmocka_unit_test(without_a_manager_nothing_is_wrong),
        cmocka_unit_test(a_name_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
