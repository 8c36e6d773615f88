/* crypto.h: known answers of the standards, strict decoding, sealed secrets, and randomness across threads
 * and forks. */
#include "base_test.h"

#include "base/crypto.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    crypto_start();
    crypto_start(); /* harmless */
    return arena_init(&arena, (size_t)4 << 20) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static struct slice hex(const uint8_t *bytes, size_t len)
{
    char *text = arena_alloc(&arena, len * 2 + 1);
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return (struct slice){text, len * 2};
}

static void digests_as_fips_180(void **state)
{
    (void)state;
    uint8_t digest[SHA256_LEN];
    sha256(SLICE("abc"), digest);
    assert_text(hex(digest, sizeof(digest)),
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(SLICE(""), digest);
    assert_text(hex(digest, sizeof(digest)),
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(SLICE_ABSENT, digest);
    assert_text(hex(digest, sizeof(digest)),
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), digest);
    assert_text(hex(digest, sizeof(digest)),
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void authenticates_as_rfc_4231(void **state)
{
    (void)state;
    uint8_t mac[SHA256_LEN];
    char key[131];
    memset(key, 0x0b, 20);
    hmac_sha256((struct slice){key, 20}, SLICE("Hi There"), mac); /* case 1 */
    assert_text(hex(mac, sizeof(mac)), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), mac); /* case 2 */
    assert_text(hex(mac, sizeof(mac)), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131); /* case 6: a key longer than a block */
    hmac_sha256((struct slice){key, 131}, SLICE("Test Using Larger Than Block-Size Key - Hash Key First"),
                mac);
    assert_text(hex(mac, sizeof(mac)), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void compares_bytes(void **state)
{
    (void)state;
    assert_true(bytes_equal_constant_time(SLICE("abc"), SLICE("abc")));
    assert_false(bytes_equal_constant_time(SLICE("abc"), SLICE("abd")));
    assert_false(bytes_equal_constant_time(SLICE("abc"), SLICE("Abc")));
    assert_false(bytes_equal_constant_time(SLICE("abc"), SLICE("ab")));
    assert_true(bytes_equal_constant_time(SLICE(""), SLICE_ABSENT));
}

static void encodes_as_rfc_4648(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *text;
    } ROWS[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        assert_text(base64url_encode(&arena, slice_from(ROWS[i].bytes)), ROWS[i].text);
        assert_text(base64url_decode(&arena, slice_from(ROWS[i].text)), ROWS[i].bytes);
        assert_int_equal(BASE64URL_LEN(strlen(ROWS[i].bytes)), strlen(ROWS[i].text));
    }
    for (size_t len = 0; len < 100; len++) {
        char bytes[100];
        random_fill(bytes, len);
        struct slice back = base64url_decode(&arena, base64url_encode(&arena, (struct slice){bytes, len}));
        assert_int_equal(back.len, len);
        assert_memory_equal(back.ptr, bytes, len);
    }
}

static void writes_and_reads_hexadecimal(void **state)
{
    (void)state;
    static const char DIGITS[] = "0123456789abcdef";
    char text[2 * 256], none = 'x';
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    hex_encode(bytes, sizeof(bytes), text);
    assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]), i);
    hex_encode(bytes, 0, &none);
    assert_int_equal(none, 'x');
    for (int c = -128; c < 128; c++) {
        int lower = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;
        const char *digit = lower > 0 ? strchr(DIGITS, lower) : NULL;
        assert_int_equal(hex_value((char)c), digit != NULL ? (int)(digit - DIGITS) : -1);
    }
}

static void decodes_strictly(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "Zg==", "Zg=",  "Zm8=",   "Z",     "Zm9vY", "Zh",       "Zm9", /* bits that no encoder leaves */
        "Zm+v", "Zm/v", "Zm9v\n", " Zm9v", "Zm 9v", "Zm9v====", "=",   "Zm9\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (!slice_is_absent(base64url_decode(&arena, slice_from(BAD[i]))))
            fail_msg("taken: %s", BAD[i]);
    }
    assert_absent(base64url_decode(&arena, SLICE("Zm9v\0")));
    assert_absent(base64url_decode(&arena, SLICE("\xf6\xd8\xa4\xa6"))); /* found by fuzzing */
    assert_absent(base64url_decode(&arena, SLICE_ABSENT));
    assert_false(slice_is_absent(base64url_decode(&arena, SLICE("")))); /* no bytes, but not malformed */
    /* Of the 64 last characters behind "Z", those with four zero bits are canonical: A, Q, g, w. */
    static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t taken = 0;
    for (size_t i = 0; i < 64; i++) {
        char text[2] = {'Z', ALPHABET[i]};
        taken += !slice_is_absent(base64url_decode(&arena, (struct slice){text, 2}));
    }
    assert_int_equal(taken, 4);
}

static void hashes_as_xxh3(void **state)
{
    (void)state;
    assert_int_equal(hash64(SLICE("")), UINT64_C(0x2d06800538d394c2)); /* the library's own test vector */
    assert_int_equal(hash64(SLICE_ABSENT), UINT64_C(0x2d06800538d394c2));
    assert_int_not_equal(hash64(SLICE("a")), hash64(SLICE("b")));
}

static void seals_and_opens(void **state)
{
    (void)state;
    uint8_t key[32];
    uint8_t other[32];
    random_fill(key, sizeof(key));
    memcpy(other, key, sizeof(key));
    other[31] ^= 1;
    struct slice plain = SLICE("a signing key");
    struct slice sealed = secret_seal(&arena, key, plain);
    assert_int_equal(sealed.len, plain.len + SECRET_OVERHEAD);
    assert_text(secret_open(&arena, key, sealed), "a signing key");
    assert_absent(secret_open(&arena, other, sealed));
    struct slice again = secret_seal(&arena, key, plain);
    assert_false(slice_equals(sealed, again)); /* another nonce */
    char *bytes = (char *)(uintptr_t)sealed.ptr;
    for (size_t i = 0; i < sealed.len; i++) { /* every byte counts */
        bytes[i] ^= 1;
        assert_absent(secret_open(&arena, key, sealed));
        bytes[i] ^= 1;
    }
    for (size_t len = 0; len < sealed.len; len++)
        assert_absent(secret_open(&arena, key, (struct slice){sealed.ptr, len}));
    assert_absent(secret_open(&arena, key, SLICE_ABSENT));
    assert_text(secret_open(&arena, key, secret_seal(&arena, key, SLICE(""))), "");
}

#define DRAWS 2000
#define THREADS 4

static void *draw(void *numbers)
{
    for (size_t i = 0; i < DRAWS; i++)
        ((uint64_t *)numbers)[i] = random_u64();
    return NULL;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void draws_differ_in_threads(void **state)
{
    (void)state;
    static uint64_t numbers[THREADS][DRAWS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw, numbers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t *all = &numbers[0][0];
    uint64_t ones = 0;
    uint64_t zeros = 0;
    for (size_t i = 0; i < THREADS * DRAWS; i++) {
        ones |= all[i];
        zeros |= ~all[i];
    }
    assert_int_equal(ones, UINT64_MAX); /* every bit was seen both ways */
    assert_int_equal(zeros, UINT64_MAX);
    qsort(all, THREADS * DRAWS, sizeof(*all), compare_numbers);
    for (size_t i = 1; i < THREADS * DRAWS; i++)
        assert_true(all[i - 1] != all[i]);
}

static void a_forked_child_draws_its_own(void **state)
{
    (void)state;
    (void)random_u64(); /* the pool is filled now, and would be copied */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t drawn = random_u64();
        _exit(write(ends[1], &drawn, sizeof(drawn)) == sizeof(drawn) ? 0 : 1);
    }
    uint64_t theirs = 0;
    assert_int_equal(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
    waitpid(child, NULL, 0);
    assert_true(theirs != random_u64());
    close(ends[0]);
    close(ends[1]);
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(digests_as_fips_180),
        with_arena(authenticates_as_rfc_4231),
        with_arena(compares_bytes),
        with_arena(encodes_as_rfc_4648),
        with_arena(writes_and_reads_hexadecimal),
        with_arena(decodes_strictly),
        with_arena(hashes_as_xxh3),
        with_arena(seals_and_opens),
        with_arena(draws_differ_in_threads),
        with_arena(a_forked_child_draws_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
