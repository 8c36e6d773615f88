/* The one beginning of libcurl. */
#include "net/curl.h"

#include "base/check.h"

#include <pthread.h>
#include <stdlib.h>

static void start(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

void curl_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

const char *curl_ca_file(void)
{
    const char *file = getenv("SSL_CERT_FILE");
    return file != NULL && file[0] != 0 ? file : NULL;
}
