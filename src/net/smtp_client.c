/* Mail by libcurl. Which of the server's words a refusal belongs to is seen in the trace of the
 * conversation: a 5xx before MAIL FROM is about us, one after it about the mail. */
#include "net/smtp_client.h"

#include "base/check.h"
#include "net/curl.h"
#include "net/url.h"

#include <stdlib.h>

#define CONNECTION_KEEP_S 10L /* a server that was not spoken to for longer may be about to hang up */
#define ADDRESS_BYTES_MAX 320
#define HELLO_BYTES_MAX 253

struct smtp_client {
    CURL *handle;
    char *url; /* without user and password; its path is what EHLO says */
    char *user;
    char *password;
    char *ca_file;
    bool needs_tls;
    int64_t timeout_ms;
};

#define SET(handle, option, value) CHECK(curl_easy_setopt((handle), (option), (value)) == CURLE_OK)

/* ---- the URL ---- */

/* A part of the URL, unescaped; NULL when it has none. curl_free it. *is_malformed: it cannot be unescaped to
 * a text. */
static char *part_of(CURLU *parsed, CURLUPart part, bool *is_malformed)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parsed, part, &text, CURLU_URLDECODE);
    if (code == CURLUE_URLDECODE)
        *is_malformed = true;
    return code == CURLUE_OK ? text : NULL;
}

static const char *parts_rule(const char *scheme, const char *host, const char *user, const char *password,
                              bool allows_clear)
{
    bool is_tls = scheme != NULL && strcmp(scheme, "smtps") == 0;
    if ((!is_tls && (scheme == NULL || strcmp(scheme, "smtp") != 0)) || host == NULL || host[0] == '\0')
        return "must be smtp[s]://[user:password@]host[:port]";
    if ((user == NULL) != (password == NULL))
        return "must name both user and password, or neither";
    if (!is_tls && allows_clear && password != NULL && !url_host_is_loopback(slice_from(host)))
        return "must not send a password where SOUK_SMTP_TLS is off";
    return NULL;
}

static CURLU *url_parse(struct slice url)
{
    char text[URL_BYTES_MAX + 1];
    if (slice_is_absent(url) || url.len > URL_BYTES_MAX)
        return NULL;
    memcpy(text, url.ptr, url.len);
    text[url.len] = '\0';
    curl_start();
    CURLU *parsed = curl_url();
    CHECK(parsed != NULL);
    if (curl_url_set(parsed, CURLUPART_URL, text, 0) == CURLUE_OK)
        return parsed;
    curl_url_cleanup(parsed);
    return NULL;
}

const char *smtp_url_rule(struct slice url, bool allows_clear)
{
    CURLU *parsed = url_parse(url);
    if (parsed == NULL)
        return "must be smtp[s]://[user:password@]host[:port]";
    bool is_malformed = false;
    char *scheme = part_of(parsed, CURLUPART_SCHEME, &is_malformed);
    char *host = part_of(parsed, CURLUPART_HOST, &is_malformed);
    char *user = part_of(parsed, CURLUPART_USER, &is_malformed);
    char *password = part_of(parsed, CURLUPART_PASSWORD, &is_malformed);
    char *path = part_of(parsed, CURLUPART_PATH, &is_malformed);
    char *query = part_of(parsed, CURLUPART_QUERY, &is_malformed);
    const char *rule = parts_rule(scheme, host, user, password, allows_clear);
    if (rule == NULL && (query != NULL || (path != NULL && strcmp(path, "/") != 0)))
        rule = "must end with the port";
    if (is_malformed)
        rule = "must hold no escaped control character";
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(password);
    curl_free(path);
    curl_free(query);
    curl_url_cleanup(parsed);
    return rule;
}

/* ---- the client ---- */

static char *copy_of(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    CHECK(text == NULL || copy != NULL);
    return copy;
}

/* "/shop.example": where libcurl looks for EHLO's domain. */
static void hello_path(struct slice domain, char path[HELLO_BYTES_MAX + 2])
{
    bool is_domain = domain.len > 0 && domain.len <= HELLO_BYTES_MAX;
    for (size_t i = 0; is_domain && i < domain.len; i++) {
        char c = domain.ptr[i];
        is_domain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-';
    }
    if (!is_domain)
        domain = SLICE("localhost");
    path[0] = '/';
    memcpy(path + 1, domain.ptr, domain.len);
    path[domain.len + 1] = '\0';
}

/* The URL without what must not stand in it. */
static void url_take(struct smtp_client *client, CURLU *parsed, const struct smtp_options *options)
{
    char path[HELLO_BYTES_MAX + 2];
    hello_path(options->hello, path);
    bool is_malformed = false;
    char *user = part_of(parsed, CURLUPART_USER, &is_malformed);
    char *password = part_of(parsed, CURLUPART_PASSWORD, &is_malformed);
    char *scheme = part_of(parsed, CURLUPART_SCHEME, &is_malformed);
    char *host = part_of(parsed, CURLUPART_HOST, &is_malformed);
    CHECK(scheme != NULL && host != NULL && !is_malformed);
    client->user = copy_of(user);
    client->password = copy_of(password);
    client->needs_tls =
        strcmp(scheme, "smtps") == 0 || !(options->allows_clear || url_host_is_loopback(slice_from(host)));
    curl_free(user);
    curl_free(password);
    curl_free(scheme);
    curl_free(host);
    char *url = NULL;
    CHECK(curl_url_set(parsed, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
          curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
          curl_url_set(parsed, CURLUPART_PATH, path, 0) == CURLUE_OK &&
          curl_url_get(parsed, CURLUPART_URL, &url, 0) == CURLUE_OK);
    client->url = copy_of(url);
    curl_free(url);
}

struct smtp_client *smtp_client_new(const struct smtp_options *options)
{
    CHECK(smtp_url_rule(options->url, options->allows_clear) == NULL && options->timeout_ms > 0);
    struct smtp_client *client = calloc(1, sizeof(*client));
    CURLU *parsed = url_parse(options->url);
    CHECK(client != NULL && parsed != NULL);
    url_take(client, parsed, options);
    curl_url_cleanup(parsed);
    client->timeout_ms = options->timeout_ms;
    if (options->ca_file.len > 0) {
        client->ca_file = strndup(options->ca_file.ptr, options->ca_file.len);
        CHECK(client->ca_file != NULL);
    }
    client->handle = curl_easy_init();
    CHECK(client->handle != NULL);
    return client;
}

void smtp_client_free(struct smtp_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->handle);
    free(client->url);
    free(client->user);
    if (client->password != NULL)
        explicit_bzero(client->password, strlen(client->password));
    free(client->password);
    free(client->ca_file);
    free(client);
}

/* ---- one mail ---- */

struct sending {
    struct slice rest;       /* of the text */
    bool has_named_the_mail; /* MAIL FROM was said: what is refused from here on is the mail */
};

static size_t give_text(char *buffer, size_t one, size_t count, void *arg)
{
    struct sending *sending = arg;
    size_t len = one * count < sending->rest.len ? one * count : sending->rest.len;
    memcpy(buffer, sending->rest.ptr, len);
    sending->rest = slice_skip(sending->rest, len);
    return len;
}

static int watch(CURL *handle, curl_infotype type, const char *bytes, size_t len, void *arg)
{
    struct sending *sending = arg;
    (void)handle;
    if (type == CURLINFO_HEADER_OUT && slice_starts_with((struct slice){bytes, len}, SLICE("MAIL FROM:")))
        sending->has_named_the_mail = true;
    return 0;
}

/* As it stands in a command: visible characters, none that the envelope gives a meaning to. */
static bool is_envelope_address(struct slice address)
{
    for (size_t i = 0; i < address.len; i++) {
        unsigned char c = (unsigned char)address.ptr[i];
        if (c <= 0x20 || c == 0x7f || c == '<' || c == '>')
            return false;
    }
    return address.len > 0 && address.len <= ADDRESS_BYTES_MAX;
}

static void handle_set(struct smtp_client *client, struct sending *sending, const char *from,
                       struct curl_slist *to)
{
    CURL *handle = client->handle;
    curl_easy_reset(handle);
    SET(handle, CURLOPT_URL, client->url);
    SET(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(handle, CURLOPT_NOPROXY, "*");
    SET(handle, CURLOPT_NOSIGNAL, 1L);
    SET(handle, CURLOPT_USE_SSL, (long)(client->needs_tls ? CURLUSESSL_ALL : CURLUSESSL_TRY));
    SET(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    const char *ca_file = client->ca_file != NULL ? client->ca_file : curl_ca_file();
    if (ca_file != NULL)
        SET(handle, CURLOPT_CAINFO, ca_file);
    if (client->user != NULL) {
        SET(handle, CURLOPT_USERNAME, client->user);
        SET(handle, CURLOPT_PASSWORD, client->password);
    }
    SET(handle, CURLOPT_MAIL_FROM, from);
    SET(handle, CURLOPT_MAIL_RCPT, to);
    SET(handle, CURLOPT_UPLOAD, 1L);
    SET(handle, CURLOPT_READFUNCTION, give_text);
    SET(handle, CURLOPT_READDATA, sending);
    SET(handle, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
    /* Also for the QUIT that a handle says when it is freed, which no other limit bounds. */
    SET(handle, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)((client->timeout_ms + 999) / 1000));
    SET(handle, CURLOPT_MAXAGE_CONN, CONNECTION_KEEP_S);
    SET(handle, CURLOPT_VERBOSE, 1L); /* for `watch`, and nobody else sees it */
    SET(handle, CURLOPT_DEBUGFUNCTION, watch);
    SET(handle, CURLOPT_DEBUGDATA, sending);
}

/* 530, 534, 535 and 538 are about the login (RFC 4954), whenever they are said. */
static bool is_about_the_mail(const struct sending *sending, long code)
{
    return sending->has_named_the_mail && code >= 500 && code <= 599 && code != 530 && code != 534 &&
           code != 535 && code != 538;
}

enum smtp_result smtp_send(struct smtp_client *client, struct arena *arena, struct slice from,
                           struct slice to, struct slice text, struct slice *why)
{
    struct sending sending = {.rest = text};
    long said = 0;
    if (!is_envelope_address(from) || !is_envelope_address(to)) {
        *why = SLICE("an address that cannot stand in an envelope");
        return SMTP_REFUSED;
    }
    struct curl_slist *recipients = curl_slist_append(NULL, arena_copy(arena, to).ptr);
    CHECK(recipients != NULL);
    handle_set(client, &sending, arena_copy(arena, from).ptr, recipients);
    CURLcode code = curl_easy_perform(client->handle);
    CHECK(curl_easy_getinfo(client->handle, CURLINFO_RESPONSE_CODE, &said) == CURLE_OK);
    curl_easy_reset(client->handle); /* before what its options point to is gone */
    curl_slist_free_all(recipients);
    if (code == CURLE_OK)
        return SMTP_SENT;
    bool is_refused = is_about_the_mail(&sending, said);
    *why = said >= 400
               ? arena_format(arena, "the mail server said %ld%s", said, is_refused ? " to this mail" : "")
               : arena_format(arena, "the mail server: %s", curl_easy_strerror(code));
    return is_refused ? SMTP_REFUSED : SMTP_FAILED;
}
