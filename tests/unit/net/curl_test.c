/* Whose authorities libcurl goes by where a client is given none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "net/curl.h"

static void the_environment_names_the_authorities(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    assert_null(curl_ca_file());
    assert_int_equal(setenv("SSL_CERT_FILE", "", 1), 0);
    assert_null(curl_ca_file());
    assert_int_equal(setenv("SSL_CERT_FILE", "/etc/pki/tls/certs/ca-bundle.crt", 1), 0);
    assert_string_equal(curl_ca_file(), "/etc/pki/tls/certs/ca-bundle.crt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_environment_names_the_authorities)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
