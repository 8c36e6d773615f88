/* libcurl, begun once in the process. Private to net/. */
#pragma once

#include <curl/curl.h>

/* Before any other use; any thread, any number of times. Aborts when libcurl cannot begin. */
void curl_start(void);
/* The file of authorities (PEM) for a client that is given none of its own: what SSL_CERT_FILE names, as for
 * OpenSSL; NULL: libcurl's. */
const char *curl_ca_file(void);
