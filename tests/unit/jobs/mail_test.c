/* How a mail is written: nothing in a name or subject may begin a header, and every line is as short as mail
 * wants it. */
#include "shop/fixture.h"

#include "jobs/mail.h"

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    crypto_start();
    return arena_init(&arena, (size_t)64 << 20) ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static struct mail plain_mail(void)
{
    return (struct mail){
        .key = SLICE("20260131T123456Z-17-order.placed"),
        .date_ms = 1769862896000, /* 2026-01-31T12:34:56Z */
        .from = {SLICE("souk"), SLICE("no-reply@shop.example.com")},
        .to = {SLICE("Amina Haddad"), SLICE("amina@example.com")},
        .subject = SLICE("Your order SK-7F3K9Q2M8XA"),
        .body = SLICE("Hello,\n\nthank you.\n"),
    };
}

static const char *render(const struct mail *mail)
{
    struct buf out;
    buf_init(&out, &arena);
    mail_render(&out, mail, MAIL_8BIT);
    assert_false(out.overflow);
    buf_append_char(&out, '\0');
    return out.ptr;
}

/* The value of a header, unfolded; absent when there is none. */
static struct slice header_of(const char *text, const char *name)
{
    const char *end = strstr(text, "\r\n\r\n");
    size_t name_len = strlen(name);
    assert_non_null(end);
    for (const char *line = text; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        struct buf value;
        buf_init(&value, &arena);
        for (const char *at = line + name_len + 1; at < end + 1; at++) {
            if (at[0] == '\r' && at[2] != ' ')
                break;
            if (at[0] != '\r' && at[0] != '\n')
                buf_append_char(&value, *at);
        }
        return slice_trim(buf_slice(&value));
    }
    return SLICE_ABSENT;
}

/* Every encoded word of a header's value, decoded and joined. */
static struct slice decoded(struct slice value)
{
    struct buf out;
    struct slice word;
    buf_init(&out, &arena);
    while (slice_split(&value, ' ', &word)) {
        if (!slice_starts_with(word, SLICE("=?UTF-8?B?")))
            continue;
        assert_true(word.len <= 75);
        struct slice base64 = {word.ptr + 10, word.len - 12};
        char *url = arena_alloc(&arena, base64.len);
        size_t len = 0;
        for (size_t i = 0; i < base64.len && base64.ptr[i] != '='; i++)
            url[len++] = base64.ptr[i] == '+' ? '-' : base64.ptr[i] == '/' ? '_' : base64.ptr[i];
        struct slice part = base64url_decode(&arena, (struct slice){url, len});
        assert_non_null(part.ptr);
        buf_append(&out, part);
    }
    return buf_slice(&out);
}

static void assert_slice(struct slice actual, const char *expected)
{
    assert_string_equal(arena_copy(&arena, actual).ptr, expected);
}

static void test_whole(void **state)
{
    (void)state;
    struct mail mail = plain_mail();
    assert_string_equal(render(&mail), "From: \"souk\" <no-reply@shop.example.com>\r\n"
                                       "To: \"Amina Haddad\" <amina@example.com>\r\n"
                                       "Subject: Your order SK-7F3K9Q2M8XA\r\n"
                                       "Date: Sat, 31 Jan 2026 12:34:56 +0000\r\n"
                                       "Message-Id: <20260131T123456Z-17-order.placed@shop.example.com>\r\n"
                                       "Auto-Submitted: auto-generated\r\n"
                                       "MIME-Version: 1.0\r\n"
                                       "Content-Type: text/plain; charset=utf-8\r\n"
                                       "Content-Transfer-Encoding: 7bit\r\n"
                                       "\r\n"
                                       "Hello,\r\n"
                                       "\r\n"
                                       "thank you.\r\n");
}

static void test_no_injection(void **state)
{
    (void)state;
    struct mail mail = plain_mail();
    mail.to.name = SLICE("Eve\r\nBcc: all@example.com\r\n\r\nBuy");
    mail.subject = SLICE("Hi\nX-Evil: 1\r\n\r\nbody\x7f");
    const char *text = render(&mail);
    assert_null(strstr(text, "\nBcc:"));
    assert_null(strstr(text, "\nX-Evil:"));
    assert_slice(header_of(text, "To"), "\"Eve  Bcc: all@example.com    Buy\" <amina@example.com>");
    assert_slice(header_of(text, "Subject"), "Hi X-Evil: 1 body");
    assert_non_null(strstr(text, "\r\n\r\nHello,\r\n"));
}

static void test_quoting(void **state)
{
    (void)state;
    struct mail mail = plain_mail();
    mail.to.name = SLICE("Ann \"The\" <ann@evil.example>, \\Bob");
    const char *text = render(&mail);
    assert_slice(header_of(text, "To"),
                 "\"Ann \\\"The\\\" <ann@evil.example>, \\\\Bob\" <amina@example.com>");
    mail.to.name = SLICE("");
    assert_slice(header_of(render(&mail), "To"), "amina@example.com");
}

static void test_encoded_words(void **state)
{
    (void)state;
    struct mail mail = plain_mail();
    mail.to.name = SLICE("Ámina Haddäd");
    mail.subject = SLICE(
        "Grüße aus dem 東京 Laden: Ihre Bestellung ist unterwegs und kommt bald an – versprochen 🎉🎉🎉🎉🎉");
    const char *text = render(&mail);
    struct slice to = header_of(text, "To");
    assert_true(slice_equals(decoded(to), mail.to.name));
    assert_non_null(strstr(arena_copy(&arena, to).ptr, "<amina@example.com>"));
    assert_true(slice_equals(decoded(header_of(text, "Subject")), mail.subject));
    /* What looks like an encoded word is encoded, so that it is shown as it was typed. */
    mail.subject = SLICE("=?UTF-8?B?aGk=?=");
    assert_true(slice_equals(decoded(header_of(render(&mail), "Subject")), mail.subject));
}

static void test_body(void **state)
{
    (void)state;
    struct mail mail = plain_mail();
    struct buf body;
    buf_init(&body, &arena);
    buf_append(&body, SLICE("one\r\ntwo\ttabs\x01\n\n"));
    for (int i = 0; i < 700; i++)
        buf_append(&body, SLICE("ü"));
    mail.body = buf_slice(&body);
    const char *text = render(&mail);
    assert_slice(header_of(text, "Content-Transfer-Encoding"), "8bit");
    const char *at = strstr(text, "\r\n\r\n") + 4;
    assert_memory_equal(at, "one\r\ntwo\ttabs \r\n\r\n", 18);
    at += 18;
    assert_int_equal(strcspn(at, "\r"), 990); /* 495 letters of two bytes, none cut apart */
    assert_int_equal(strcspn(at + 992, "\r"), 1400 - 990);
    assert_string_equal(at + 992 + 410, "\r\n");
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"a@b", "amina.haddad+shop@example.co.uk", "böb@exämple.com"};
    static const char *const BAD[] = {
        "",      "a",       "@b",     "a@",      "a@b@c",   "a b@c", "a@b\r\nBcc: x@y", "<a@b>", "a@b,c@d",
        "a@b\n", "\"a\"@b", "a(x)@b", "a@[1.2]", "a\x7f@b", "a@b;",  "x:a@b",
    };
    for (size_t i = 0; i < COUNT_OF(GOOD); i++)
        assert_true(mail_address_is_sane(slice_from(GOOD[i])));
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        if (mail_address_is_sane(slice_from(BAD[i])))
            fail_msg("taken: %s", BAD[i]);
    }
    assert_false(mail_address_is_sane((struct slice){"a\0@b", 4}));
}

/* ---- whatever is put in ---- */

static struct slice noise(size_t max)
{
    static const char *const PIECES[] = {"a",  " ",  "\r\n", "\n", "ü",  "東",   "🎉",   "\"",
                                         "\\", "=?", "word", ":",  "\t", "\x7f", "\xff"};
    struct buf text;
    buf_init(&text, &arena);
    size_t count = random_u64() % max;
    for (size_t i = 0; i < count; i++)
        buf_append(&text, slice_from(PIECES[random_u64() % COUNT_OF(PIECES)]));
    return buf_slice(&text);
}

static void test_noise(void **state)
{
    (void)state;
    for (int round = 0; round < 3000; round++) {
        arena_reset(&arena);
        struct mail mail = plain_mail();
        mail.from.name = noise(40);
        mail.to.name = noise(120);
        mail.subject = noise(300);
        const char *text = render(&mail);
        const char *end = strstr(text, "\r\n\r\n");
        size_t headers = 0;
        for (const char *line = text; line < end; line = strstr(line, "\r\n") + 2) {
            size_t len = strcspn(line, "\r\n");
            assert_true(line[len] == '\r' && line[len + 1] == '\n');
            assert_true(len <= 78);
            assert_true(len > 0 &&
                        !(line[0] == ' ' && strspn(line, " ") == len)); /* no line of spaces alone */
            headers += line[0] != ' ';
        }
        assert_int_equal(headers, 9);
        assert_string_equal(end, "\r\n\r\nHello,\r\n\r\nthank you.\r\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_no_injection),
        cmocka_unit_test(test_quoting), cmocka_unit_test(test_encoded_words),
        cmocka_unit_test(test_body),    cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
