/* Which addresses may be called, and which mail servers. */
#include "net/smtp_client.h"
#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void https_may_be_called_anywhere_and_http_here(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"https://issuer.example",     "https://issuer.example:8443/a/b?c=d",
                                       "http://127.0.0.1:9229/pool", "http://localhost:1/x",
                                       "http://[::1]:80/",           "https://[2001:db8::1]/"};
    static const char *const BAD[] = {
        "",
        "issuer.example",
        "http://issuer.example",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://127.0.0.1@evil.example/",
        "https://user:password@issuer.example/",
        "https://issuer.example/#part",
        "https://issuer.example/a b",
        "https://issuer.example/\r\nX: y",
        "https://issuer.example\\@evil.example/",
        "file:///etc/passwd",
        "ftp://issuer.example/",
        "gopher://127.0.0.1/",
        "https://",
        "https:///path",
        "http://0.0.0.0/",
        "http://169.254.169.254/latest/meta-data",
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        const char *rule = url_http_rule(slice_from(GOOD[i]));
        if (rule != NULL)
            fail_msg("%s %s", GOOD[i], rule);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (url_http_rule(slice_from(BAD[i])) == NULL)
            fail_msg("taken: %s", BAD[i]);
    }
    assert_non_null(url_http_rule(SLICE_ABSENT));
    assert_non_null(url_http_rule((struct slice){"https://a.example/\0b", 20}));
}

static void a_mail_server_is_named_wholly(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"smtp://mail.example", "smtps://mail.example:465",
                                       "smtp://u:p%40%3A@mail.example:587", "smtps://[::1]:2465/"};
    static const char *const BAD[] = {"",
                                      "mail.example",
                                      "http://mail.example",
                                      "smtp://",
                                      "smtp://user@mail.example",
                                      "smtp://mail.example/path",
                                      "smtp://mail.example?x=y",
                                      "smtps://u:p%0d%0aRCPT@mail.example",
                                      "smtps://u%00:p@mail.example"};
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        const char *rule = smtp_url_rule(slice_from(GOOD[i]), false);
        if (rule != NULL)
            fail_msg("%s %s", GOOD[i], rule);
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (smtp_url_rule(slice_from(BAD[i]), false) == NULL)
            fail_msg("taken: %s", BAD[i]);
    }
    assert_null(smtp_url_rule(SLICE("smtp://mail.example"), true));
    assert_non_null(smtp_url_rule(SLICE("smtp://u:p@mail.example"), true));
    assert_null(smtp_url_rule(SLICE("smtps://u:p@mail.example"), true));
    assert_null(smtp_url_rule(SLICE("smtp://u:p@127.0.0.1"), true));
}

/* No server is asked: what could be a command is refused before. */
static void an_address_is_no_command(void **state)
{
    (void)state;
    struct arena arena;
    struct slice why;
    static const char *const BAD[] = {"a@b.example\r\nRCPT TO:<c@d.example>", "a@b.example> X",
                                      "a b@c.example", "", "<a@b.example>"};
    assert_true(arena_init(&arena, 1 << 20));
    struct smtp_client *client = smtp_client_new(
        &(struct smtp_options){.url = SLICE("smtp://127.0.0.1:1"), .ca_file = SLICE(""), .timeout_ms = 100});
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(
            smtp_send(client, &arena, slice_from(BAD[i]), SLICE("to@b.example"), SLICE("x\r\n"), &why),
            SMTP_REFUSED);
        assert_int_equal(
            smtp_send(client, &arena, SLICE("from@b.example"), slice_from(BAD[i]), SLICE("x\r\n"), &why),
            SMTP_REFUSED);
    }
    /* The control: a good one is tried, and nobody listens. */
    assert_int_equal(
        smtp_send(client, &arena, SLICE("a@b.example"), SLICE("c@d.example"), SLICE("x\r\n"), &why),
        SMTP_FAILED);
    smtp_client_free(client);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(https_may_be_called_anywhere_and_http_here),
        cmocka_unit_test(a_mail_server_is_named_wholly),
        cmocka_unit_test(an_address_is_no_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
