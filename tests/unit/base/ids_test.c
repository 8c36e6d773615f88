/* ids.h: the layout of UUIDs, their order, reading them, and order numbers. */
#include "base_test.h"

#include "base/crypto.h"
#include "base/ids.h"

#include <pthread.h>
#include <stdlib.h>

static int set_up(void **state)
{
    (void)state;
    crypto_start();
    return 0;
}

static struct slice formatted(struct uuid id)
{
    static char text[UUID_TEXT_LEN];
    uuid_format(id, text);
    return (struct slice){text, sizeof(text)};
}

static void version_7_has_its_layout(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct uuid id = uuid_v7(0x0190a0b1c2d3 + i / 10);
        assert_int_equal(id.bytes[6] >> 4, 7);
        assert_int_equal(id.bytes[8] >> 6, 2);
        uint64_t ms = 0;
        for (int b = 0; b < 6; b++)
            ms = ms << 8 | id.bytes[b];
        assert_int_equal(ms, 0x0190a0b1c2d3 + i / 10);
    }
    struct uuid first = uuid_v7(0);
    assert_memory_equal(first.bytes, "\0\0\0\0\0\0", 6);
    struct uuid last = uuid_v7((INT64_C(1) << 48) - 1);
    assert_memory_equal(last.bytes, "\xff\xff\xff\xff\xff\xff", 6);
}

static void version_7_ascends_within_a_millisecond(void **state)
{
    (void)state;
    struct uuid previous = uuid_v7(1000);
    for (int i = 0; i < 100000; i++) {
        struct uuid id = uuid_v7(1000);
        assert_true(uuid_compare(previous, id) < 0);
        previous = id;
    }
    assert_true(uuid_compare(previous, uuid_v7(1001)) < 0);
    assert_true(uuid_compare(uuid_v7(500), previous) < 0); /* a clock that is set back is followed */
}

static void before_time(void)
{
    (void)uuid_v7(-1);
}

static void after_time(void)
{
    (void)uuid_v7(INT64_C(1) << 48);
}

static void version_7_asserts_its_time(void **state)
{
    (void)state;
    assert_aborts(before_time);
    assert_aborts(after_time);
}

static void version_4_has_its_layout(void **state)
{
    (void)state;
    uint8_t ones[16] = {0};
    uint8_t zeros[16] = {0};
    for (int i = 0; i < 2000; i++) {
        struct uuid id = uuid_v4();
        assert_int_equal(id.bytes[6] >> 4, 4);
        assert_int_equal(id.bytes[8] >> 6, 2);
        for (int b = 0; b < 16; b++) {
            ones[b] |= id.bytes[b];
            zeros[b] |= (uint8_t)~id.bytes[b];
        }
    }
    for (int b = 0; b < 16; b++) { /* every bit is random but the six that are fixed */
        assert_int_equal(ones[b], b == 6 ? 0x4f : b == 8 ? 0xbf : 0xff);
        assert_int_equal(zeros[b], b == 6 ? 0xbf : b == 8 ? 0x7f : 0xff);
    }
}

static void reads_and_writes_text(void **state)
{
    (void)state;
    struct uuid id;
    assert_true(uuid_parse(SLICE("00112233-4455-6677-8899-aAbBcCdDeEfF"), &id));
    static const uint8_t BYTES[16] = {0,    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                      0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    assert_memory_equal(id.bytes, BYTES, 16);
    assert_text(formatted(id), "00112233-4455-6677-8899-aabbccddeeff");
    assert_true(uuid_parse(SLICE("00000000-0000-0000-0000-000000000000"), &id));
    assert_true(uuid_is_nil(id));
    assert_false(uuid_is_nil(uuid_v4()));
    for (int i = 0; i < 1000; i++) {
        struct uuid made = i % 2 ? uuid_v4() : uuid_v7(i);
        assert_true(uuid_parse(formatted(made), &id));
        assert_true(uuid_equals(made, id));
    }
}

static void refuses_what_is_no_uuid(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "{0112233-4455-6677-8899-aabbccddeef}",
        "00112233-4455-6677-8899-aabbccddeefg",
        "00112233-4455-6677-8899_aabbccddeeff",
        "0011223-34455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddee-f",
        "0x112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddee f",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct uuid id = {{42}};
        assert_false(uuid_parse(slice_from(BAD[i]), &id));
        assert_int_equal(id.bytes[0], 42);
    }
    struct uuid id;
    assert_false(uuid_parse(SLICE_ABSENT, &id));
}

#define MADE 5000
#define THREADS 4

static void *make_ids(void *ids)
{
    for (size_t i = 0; i < MADE; i++)
        ((struct uuid *)ids)[i] = uuid_v7(77);
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return uuid_compare(*(const struct uuid *)a, *(const struct uuid *)b);
}

static void threads_make_different_ids(void **state)
{
    (void)state;
    static struct uuid ids[THREADS][MADE];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t t = 0; t < THREADS; t++) {
        for (size_t i = 1; i < MADE; i++)
            assert_true(uuid_compare(ids[t][i - 1], ids[t][i]) < 0);
    }
    qsort(ids, THREADS * MADE, sizeof(struct uuid), compare_ids);
    for (size_t i = 1; i < THREADS * MADE; i++)
        assert_false(uuid_equals((&ids[0][0])[i - 1], (&ids[0][0])[i]));
}

static void makes_order_numbers(void **state)
{
    (void)state;
    bool seen[256] = {0};
    char previous[ORDER_NUMBER_LEN] = "";
    for (int i = 0; i < 5000; i++) {
        char text[ORDER_NUMBER_LEN];
        char parsed[ORDER_NUMBER_LEN];
        order_number_make(text);
        assert_memory_equal(text, "SK-", 3);
        for (int d = 3; d < ORDER_NUMBER_LEN; d++)
            seen[(unsigned char)text[d]] = true;
        assert_true(order_number_parse((struct slice){text, sizeof(text)}, parsed));
        assert_memory_equal(parsed, text, sizeof(text));
        assert_true(memcmp(previous, text, sizeof(text)) != 0);
        memcpy(previous, text, sizeof(text));
    }
    size_t digits = 0;
    for (int c = 0; c < 256; c++)
        digits += seen[c];
    assert_int_equal(digits, 32);
    assert_false(seen['I'] || seen['L'] || seen['O'] || seen['U']);
}

static void reads_order_numbers_as_typed(void **state)
{
    (void)state;
    static const char *const GOOD[] = {
        "SK-7F3K9Q2M8XA",       "sk-7f3k9q2m8xa", "SK7F3K9Q2M8XA",
        " sk - 7f3k 9q2m 8xa ", "7F3K9Q2M8XA",    "SK-7F3K-9Q2M-8XA",
    };
    char text[ORDER_NUMBER_LEN];
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        assert_true(order_number_parse(slice_from(GOOD[i]), text));
        assert_memory_equal(text, "SK-7F3K9Q2M8XA", ORDER_NUMBER_LEN);
    }
    assert_true(order_number_parse(SLICE("sk-iLoO0000001"), text));
    assert_memory_equal(text, "SK-11000000001", ORDER_NUMBER_LEN);
    assert_true(order_number_parse(SLICE("sk-zyxwvtsrqaz"), text));
    assert_memory_equal(text, "SK-ZYXWVTSRQAZ", ORDER_NUMBER_LEN);
    assert_true(order_number_parse(SLICE("SK-SK000000000"), text)); /* a body that looks like the prefix */
    assert_memory_equal(text, "SK-SK000000000", ORDER_NUMBER_LEN);
    assert_true(order_number_parse(SLICE("SK000000000"), text));
    assert_memory_equal(text, "SK-SK000000000", ORDER_NUMBER_LEN);
    static const char *const BAD[] = {
        "",
        "SK-",
        "SK-7F3K9Q2M8X",
        "SK-7F3K9Q2M8XAB",
        "SX-7F3K9Q2M8XA",
        "SK-7F3K9Q2M8XU",
        "SK_7F3K9Q2M8XA",
        "KS-7F3K9Q2M8XA",
        "7F3K9Q2M8XAB",
        "SK-7F3K9Q2M8X\xc3\xa9",
        "SK-7F3K9Q2M8X\t",
        "SKSK-7F3K9Q2M8XA",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_false(order_number_parse(slice_from(BAD[i]), text));
    assert_false(order_number_parse(SLICE_ABSENT, text));
    assert_false(order_number_parse(SLICE("SK-7F3K9Q2M8X\0"), text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_7_has_its_layout),
        cmocka_unit_test(version_7_ascends_within_a_millisecond),
        cmocka_unit_test(version_7_asserts_its_time),
        cmocka_unit_test(version_4_has_its_layout),
        cmocka_unit_test(reads_and_writes_text),
        cmocka_unit_test(refuses_what_is_no_uuid),
        cmocka_unit_test(threads_make_different_ids),
        cmocka_unit_test(makes_order_numbers),
        cmocka_unit_test(reads_order_numbers_as_typed),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
