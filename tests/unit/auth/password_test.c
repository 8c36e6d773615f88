/* Passwords: what is right, what is not, and that a miss costs what a hit costs - counted in calls, since
 * clocks lie. */
#include "auth/password.h"

#include "base/check.h"
#include "base/crypto.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int verifications; /* calls that reach libsodium */
static int hashes;
static char verified_with[crypto_pwhash_STRBYTES];

/* These stand before libsodium's own. */
int crypto_pwhash_str_verify(const char hash[crypto_pwhash_STRBYTES], const char *const password,
                             unsigned long long len)
{
    int (*real)(const char *, const char *const, unsigned long long) =
        (int (*)(const char *, const char *const, unsigned long long))dlsym(RTLD_NEXT,
                                                                            "crypto_pwhash_str_verify");
    verifications++;
    memcpy(verified_with, hash, strlen(hash) + 1);
    return real(hash, password, len);
}

int crypto_pwhash_str(char out[crypto_pwhash_STRBYTES], const char *const password, unsigned long long len,
                      unsigned long long passes, size_t memory)
{
    int (*real)(char *, const char *const, unsigned long long, unsigned long long, size_t) =
        (int (*)(char *, const char *const, unsigned long long, unsigned long long, size_t))dlsym(
            RTLD_NEXT, "crypto_pwhash_str");
    hashes++;
    return real(out, password, len, passes, memory);
}

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    crypto_start();
    return arena_init(&arena, 1 << 20) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    verifications = hashes = 0;
    return 0;
}

static void a_password_opens_its_own_hash(void **state)
{
    (void)state;
    struct slice hash = password_hash(&arena, SLICE("correct horse battery staple"));
    assert_true(slice_starts_with(hash, SLICE("$argon2id$v=19$m=19456,t=3,p=1$")));
    assert_true(password_verify(hash, SLICE("correct horse battery staple")));
    assert_false(password_verify(hash, SLICE("correct horse battery stapl")));
    assert_false(password_verify(hash, SLICE("correct horse battery staple ")));
    assert_false(password_verify(hash, SLICE("Correct horse battery staple")));
    assert_false(password_verify(hash, SLICE("")));
    assert_false(password_needs_rehash(hash));
}

static void every_hash_has_its_own_salt(void **state)
{
    (void)state;
    struct slice first = password_hash(&arena, SLICE("the same one"));
    struct slice second = password_hash(&arena, SLICE("the same one"));
    assert_false(slice_equals(first, second));
    assert_true(password_verify(first, SLICE("the same one")) &&
                password_verify(second, SLICE("the same one")));
}

static void bytes_after_a_nul_count(void **state)
{
    (void)state;
    struct slice hash = password_hash(&arena, SLICE("before\0after"));
    assert_true(password_verify(hash, SLICE("before\0after")));
    assert_false(password_verify(hash, SLICE("before\0other")));
    assert_false(password_verify(hash, SLICE("before")));
}

/* Of the reference implementation's own test: argon2id, 64 MiB, two passes, salt "somesalt". */
static void a_foreign_argon2id_hash_is_understood(void **state)
{
    (void)state;
    struct slice hash =
        SLICE("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc");
    assert_true(password_verify(hash, SLICE("password")));
    assert_false(password_verify(hash, SLICE("Password")));
    assert_true(password_needs_rehash(hash));
}

static void what_is_no_hash_costs_a_hash(void **state)
{
    (void)state;
    char long_one[600];
    memset(long_one, 'x', sizeof(long_one));
    memcpy(long_one, "$argon2id$", 10);
    const struct slice unusable[] = {
        SLICE_ABSENT,
        SLICE(""),
        SLICE("!"),
        SLICE("correct horse"),
        SLICE("$argon2id$"),
        SLICE("$argon2id$v=19$m=19456,t=3,p=1$AAAA$AAAA"),
        SLICE("$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$IMit9qkFULCMA/ViizL57cnTLOa5DiVM9eMwpAvPwr4"),
        SLICE("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"),
        {long_one, sizeof(long_one)},
    };
    for (size_t i = 0; i < COUNT_OF(unusable); i++) {
        reset(NULL);
        assert_false(password_verify(unusable[i], SLICE("password")));
        assert_int_equal(verifications, 1);
        /* ... with the parameters of a hash of today, so that it takes as long as a real one. */
        assert_memory_equal(verified_with, "$argon2id$v=19$m=19456,t=3,p=1$", 31);
        assert_int_equal(crypto_pwhash_str_needs_rehash(verified_with, 3, UINT64_C(19456) * 1024), 0);
        assert_false(password_needs_rehash(unusable[i]));
    }
    reset(NULL);
    struct slice real = password_hash(&arena, SLICE("password"));
    assert_false(password_verify(real, SLICE("other")));
    assert_int_equal(verifications, 1);
}

static void too_long_a_password_is_never_hashed(void **state)
{
    (void)state;
    static char text[PASSWORD_BYTES_MAX + 1];
    memset(text, 'p', sizeof(text));
    struct slice hash = password_hash(&arena, (struct slice){text, PASSWORD_BYTES_MAX});
    assert_true(password_verify(hash, (struct slice){text, PASSWORD_BYTES_MAX}));
    reset(NULL);
    assert_true(slice_is_absent(password_hash(&arena, (struct slice){text, sizeof(text)})));
    assert_false(password_verify(hash, (struct slice){text, sizeof(text)}));
    assert_false(password_verify(SLICE_ABSENT, (struct slice){text, sizeof(text)}));
    assert_false(password_verify(hash, SLICE_ABSENT));
    assert_true(slice_is_absent(password_hash(&arena, SLICE_ABSENT)));
    assert_int_equal(hashes, 0);
    assert_int_equal(verifications, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_password_opens_its_own_hash, reset),
        cmocka_unit_test_setup(every_hash_has_its_own_salt, reset),
        cmocka_unit_test_setup(bytes_after_a_nul_count, reset),
        cmocka_unit_test_setup(a_foreign_argon2id_hash_is_understood, reset),
        cmocka_unit_test_setup(what_is_no_hash_costs_a_hash, reset),
        cmocka_unit_test_setup(too_long_a_password_is_never_hashed, reset),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
