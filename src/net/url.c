/* Which addresses may be called. */
#include "net/url.h"

#include "net/curl.h"

#include <stdio.h>

bool url_host_is_loopback(struct slice host)
{
    if (slice_equals_ignore_case(host, SLICE("localhost")) || slice_is(host, "[::1]") ||
        slice_is(host, "::1"))
        return true;
    if (!slice_starts_with(host, SLICE("127.")))
        return false;
    /* Numbers only: 127.0.0.1.example.com is somebody else's. */
    size_t dots = 0;
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == '.')
            dots++;
        else if (host.ptr[i] < '0' || host.ptr[i] > '9')
            return false;
    }
    return dots == 3;
}

static bool has_part(CURLU *parsed, CURLUPart part)
{
    char *text = NULL;
    bool is_there = curl_url_get(parsed, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return is_there;
}

static bool is_credentials_host(struct slice host)
{
    return slice_is(host, "169.254.170.2") || slice_is(host, "169.254.170.23") ||
           slice_is(host, "[fd00:ec2::23]");
}

static const char *parsed_rule(CURLU *parsed, bool is_for_credentials)
{
    char *scheme = NULL, *host = NULL;
    const char *rule = "must start with https:// and name a host";
    if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0') {
        bool is_clear = strcmp(scheme, "http") == 0;
        bool is_near = url_host_is_loopback(slice_from(host)) ||
                       (is_for_credentials && is_credentials_host(slice_from(host)));
        if (is_clear && !is_near)
            rule = "must start with https:// (http:// is for this machine only)";
        else if (is_clear || strcmp(scheme, "https") == 0)
            rule = NULL;
    }
    curl_free(scheme);
    curl_free(host);
    if (rule == NULL && (has_part(parsed, CURLUPART_USER) || has_part(parsed, CURLUPART_PASSWORD)))
        rule = "must hold no user and password";
    if (rule == NULL && has_part(parsed, CURLUPART_FRAGMENT))
        rule = "must have no #fragment";
    return rule;
}

static const char *url_rule(struct slice url, bool is_for_credentials)
{
    char text[URL_BYTES_MAX + 1];
    if (slice_is_absent(url) || url.len > URL_BYTES_MAX)
        return "must be a URL of at most 2048 characters";
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>')
            return "must hold no space, control character, backslash, quote or <>";
    }
    memcpy(text, url.ptr, url.len);
    text[url.len] = '\0';
    const char *authority = strstr(text, "://");
    if (authority == NULL || authority[3] == '/') /* libcurl takes a slash too many or too few */
        return "must start with https:// and name a host";
    curl_start();
    CURLU *parsed = curl_url();
    const char *rule = parsed == NULL || curl_url_set(parsed, CURLUPART_URL, text, 0) != CURLUE_OK
                           ? "must start with https:// and name a host"
                           : parsed_rule(parsed, is_for_credentials);
    curl_url_cleanup(parsed);
    return rule;
}

const char *url_http_rule(struct slice url)
{
    return url_rule(url, false);
}

const char *url_credentials_rule(struct slice url)
{
    return url_rule(url, true);
}
