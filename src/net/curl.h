/* libcurl, begun once in the process. Private to net/. */
#pragma once

#include <curl/curl.h>

/* Before any other use; any thread, any number of times. Aborts when libcurl cannot begin. */
void curl_start(void);
