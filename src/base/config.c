/* The settings: one table that defines them all, and what reads it - flags, environment, `.env` - and prints
 * it. */
#include "base/config.h"

#include "base/address.h"
#include "base/check.h"
#include "base/crypto.h"
#include "base/limits.h"
#include "base/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPLAINT_VALUE_MAX 80 /* how much of a wrong value a complaint repeats */

enum config_kind {
    CONFIG_PATH,         /* slice: a folder, trailing slashes dropped */
    CONFIG_DATABASE_URL, /* slice */
    CONFIG_REPLICA_URLS, /* slice: URLs with commas between them, or empty */
    CONFIG_REDIS_URL,    /* slice: the same */
    CONFIG_TEXT,         /* slice */
    CONFIG_SECRET,       /* slice, never printed */
    CONFIG_PASSWORD,     /* slice, never printed; empty: none */
    CONFIG_LISTEN,       /* slice: HOST:PORT */
    CONFIG_NETWORKS,     /* slice: addresses and networks with commas between them, or empty; max: how many */
    CONFIG_HTTP_URL,     /* slice, trailing slashes dropped */
    CONFIG_CALLED_URL,   /* slice: https://..., http://... of this machine, or empty; as written */
    CONFIG_SMTP_URL,     /* slice: smtp[s]://[user:password@]host[:port], or empty */
    CONFIG_NAME,         /* slice: a word of at most METRICS_DIMENSION_BYTES_MAX */
    CONFIG_PROVIDER,     /* enum auth_provider; its names, as of the next, are CHOICES */
    CONFIG_METRICS,      /* enum metrics_form */
    CONFIG_MAIL,         /* enum mail_driver */
    CONFIG_TRACE,        /* enum trace_form */
    CONFIG_SHARE,        /* int64_t: 0 to 1 with at most six decimals, in millionths */
    CONFIG_ORIGINS,      /* slice: origins with commas between them, or empty */
    CONFIG_INT,          /* int64_t, min..max */
    CONFIG_SWITCH,       /* bool: on | off */
    CONFIG_LOG_LEVEL     /* enum log_level */
};

struct config_setting {
    size_t offset; /* of its member in struct config */
    enum config_kind kind;
    const char *env;     /* its variable, or NULL */
    const char *flag;    /* its flag without the dashes, or NULL; of a switch, the flag that turns it off */
    const char *initial; /* the default; NULL where it follows from another setting, and for the secret */
    int64_t min;
    int64_t max;
    const char *help;
};

#define SHARE_DIGITS 6
#define CHOICES_MAX 4

/* What stands for 0, 1, ... of an enum. */
static const char *const CHOICES[][CHOICES_MAX + 1] = {
    [CONFIG_PROVIDER] = {[AUTH_LOCAL] = "local", [AUTH_COGNITO] = "cognito", [AUTH_OIDC] = "oidc"},
    [CONFIG_MAIL] = {[MAIL_DRIVER_FILE] = "file", [MAIL_DRIVER_SMTP] = "smtp", [MAIL_DRIVER_SES] = "ses"},
    [CONFIG_METRICS] = {[METRICS_PROMETHEUS] = "prometheus", [METRICS_EMF] = "emf"},
    [CONFIG_TRACE] = {[TRACE_OFF] = "off", [TRACE_OTLP] = "otlp", [TRACE_XRAY] = "xray"},
};

#define MEMBER(name) offsetof(struct config, name)
#define TEXT_OF(number) TEXT_OF_EXPANDED(number)
#define TEXT_OF_EXPANDED(number) #number

/* Everything about a setting stands here and nowhere else. A setting is filled before those whose default
 * needs it. */
/* clang-format off */
static const struct config_setting SETTINGS[] = {
    {MEMBER(secrets_arn), CONFIG_TEXT, "SOUK_SECRETS_ARN", NULL, "", 0, 0,
     "a secret of AWS Secrets Manager, a JSON object of settings by their names; the environment beats it, it beats .env"},
    {MEMBER(data_directory), CONFIG_PATH, "SOUK_DATA", "data", "./data", 0, 0,
     "the folder of the database, the secret and the backups"},
    {MEMBER(database_url), CONFIG_DATABASE_URL, "DATABASE_URL", NULL, NULL, 0, 0,
     "sqlite:PATH or postgresql://...; by default sqlite:SOUK_DATA/souk.db"},
    {MEMBER(database_secret_arn), CONFIG_TEXT, "DATABASE_SECRET_ARN", NULL, "", 0, 0,
     "a secret of AWS Secrets Manager with the username and password of DATABASE_URL, read again when they are refused"},
    {MEMBER(replica_urls), CONFIG_REPLICA_URLS, "DATABASE_REPLICA_URLS", NULL, "", 0, 0,
     "postgresql://... of each read replica, with commas between them"},
    {MEMBER(replica_lag_ms), CONFIG_INT, "SOUK_REPLICA_LAG_MS", NULL, "1000", 10, 3600000,
     "a replica that is further behind is passed over, in milliseconds"},
    {MEMBER(database_timeout_ms), CONFIG_INT, "SOUK_DATABASE_TIMEOUT_MS", NULL, "5000", 100, 600000,
     "how long PostgreSQL may take to connect or to answer a statement, in milliseconds"},
    {MEMBER(database_prepare), CONFIG_SWITCH, "SOUK_DATABASE_PREPARE", NULL, "on", 0, 0,
     "prepares statements on PostgreSQL; off behind pgbouncer in transaction mode"},
    {MEMBER(redis_url), CONFIG_REDIS_URL, "REDIS_URL", NULL, "", 0, 0,
     "redis:// or rediss://[user:password@]host:port[/number]; nodes of a cluster with commas between them"},
    {MEMBER(redis_prefix), CONFIG_TEXT, "SOUK_REDIS_PREFIX", NULL, "souk:", 0, 0,
     "what the shop's keys in Redis begin with"},
    {MEMBER(redis_timeout_ms), CONFIG_INT, "SOUK_REDIS_TIMEOUT_MS", NULL, "200", 1, 60000,
     "how long Redis may take to answer, in milliseconds; then the shop goes on without it"},
    {MEMBER(secret), CONFIG_SECRET, "SOUK_SECRET", NULL, NULL, 0, 0,
     "encrypts the signing keys and signs cursors; by default SOUK_DATA/secret, required with PostgreSQL"},
    {MEMBER(listen), CONFIG_LISTEN, "SOUK_LISTEN", "listen", "127.0.0.1:8080", 0, 0,
     "address and port of the server"},
    {MEMBER(public_url), CONFIG_HTTP_URL, "SOUK_PUBLIC_URL", NULL, NULL, 0, 0,
     "what links in mail start with; by default http://SOUK_LISTEN"},
    {MEMBER(cors_origins), CONFIG_ORIGINS, "SOUK_CORS_ORIGINS", NULL, "", 0, 0,
     "origins whose pages may call the API from a browser, such as https://shop.example.com, with commas between them"},
    {MEMBER(io_threads), CONFIG_INT, "SOUK_IO_THREADS", NULL, "0", 0, 64,
     "threads that serve connections; 0 is one a core, at most 8"},
    {MEMBER(workers), CONFIG_INT, "SOUK_WORKERS", NULL, NULL, 1, 256,
     "threads that run requests which may wait, each with a database connection; by default 4, 16 on PostgreSQL"},
    {MEMBER(connections_max), CONFIG_INT, "SOUK_CONNECTIONS_MAX", NULL, TEXT_OF(CONNECTIONS_MAX), 1,
     CONNECTIONS_MAX, "most open connections of clients"},
    {MEMBER(request_timeout_ms), CONFIG_INT, "SOUK_REQUEST_TIMEOUT_MS", NULL, "10000", 100, 600000,
     "a request that is not answered by then gets 503, in milliseconds"},
    {MEMBER(cache_bytes), CONFIG_INT, "SOUK_CACHE_BYTES", NULL, "67108864", 0, INT64_C(1) << 40,
     "size of the memory cache; 0 turns it off"},
    {MEMBER(rate_limit), CONFIG_SWITCH, "SOUK_RATE_LIMIT", NULL, "on", 0, 0,
     "limits how many requests one caller may make"},
    {MEMBER(rate_per_minute), CONFIG_INT, "SOUK_RATE_PER_MINUTE", NULL, "1000", 1, 1000000,
     "requests a minute of one caller (an address, a user) that read"},
    {MEMBER(rate_write_per_minute), CONFIG_INT, "SOUK_RATE_WRITE_PER_MINUTE", NULL, NULL, 1, 1000000,
     "those that write; by default half of SOUK_RATE_PER_MINUTE"},
    {MEMBER(rate_login_per_minute), CONFIG_INT, "SOUK_RATE_LOGIN_PER_MINUTE", NULL, "20", 1, 1000000,
     "those that try a password or a code"},
    {MEMBER(rate_checkout_per_minute), CONFIG_INT, "SOUK_RATE_CHECKOUT_PER_MINUTE", NULL, "60", 1, 1000000,
     "checkouts a minute of one caller"},
    {MEMBER(rate_whole_per_second), CONFIG_INT, "SOUK_RATE_WHOLE_PER_SECOND", NULL, "10000", 1, 1000000,
     "requests a second of all callers together"},
    {MEMBER(rate_whole_burst), CONFIG_INT, "SOUK_RATE_WHOLE_BURST", NULL, "20000", 1, 10000000,
     "how many of them may come at once after a quiet time"},
    {MEMBER(trusted_proxies), CONFIG_NETWORKS, "SOUK_TRUSTED_PROXIES", NULL, "", 0, TRUSTED_PROXIES_MAX,
     "addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For counts, with commas between them"},
    {MEMBER(log_level), CONFIG_LOG_LEVEL, "SOUK_LOG", NULL, "request", 0, 0,
     "off, error, warn, request, info or debug; each shows the ones before it as well"},
    {MEMBER(metrics), CONFIG_METRICS, "SOUK_METRICS", NULL, "prometheus", 0, 0,
     "prometheus: GET /metrics; emf: also lines for CloudWatch on standard output"},
    {MEMBER(trace), CONFIG_TRACE, "SOUK_TRACE", NULL, "off", 0, 0,
     "where traces of requests go: off, otlp (an OpenTelemetry collector), xray (the daemon of AWS X-Ray)"},
    {MEMBER(trace_sample_ppm), CONFIG_SHARE, "SOUK_TRACE_SAMPLE", NULL, "0.1", 0, 0,
     "the share of requests that are traced, 0 to 1, of those whose caller does not say"},
    {MEMBER(otlp_endpoint), CONFIG_CALLED_URL, "OTEL_EXPORTER_OTLP_ENDPOINT", NULL, "http://127.0.0.1:4318", 0, 0,
     "the collector, called at /v1/traces below it: https, or http to this machine"},
    {MEMBER(xray_address), CONFIG_TEXT, "AWS_XRAY_DAEMON_ADDRESS", NULL, "127.0.0.1:2000", 0, 0,
     "address and UDP port of the daemon of AWS X-Ray; Lambda sets it"},
    {MEMBER(service_name), CONFIG_NAME, "OTEL_SERVICE_NAME", NULL, "souk", 0, 0,
     "what metrics in CloudWatch and traces call this program"},
    {MEMBER(stage), CONFIG_NAME, "SOUK_STAGE", NULL, "production", 0, 0,
     "the deployment that they come from, such as staging"},
    {MEMBER(migrate_at_start), CONFIG_SWITCH, "SOUK_MIGRATE", NULL, "on", 0, 0,
     "serve brings the database's schema up to date; off: it refuses to start when behind"},
    {MEMBER(jobs), CONFIG_SWITCH, NULL, "no-jobs", "on", 0, 0,
     "serve also runs the background jobs"},
    {MEMBER(test_payments), CONFIG_SWITCH, "SOUK_TEST_PAYMENTS", NULL, "off", 0, 0,
     "offers the test payment method, which moves no money"},
    {MEMBER(access_token_seconds), CONFIG_INT, "SOUK_ACCESS_TOKEN_SECONDS", NULL, "900", 1, 86400,
     "how long an access token is valid"},
    {MEMBER(refresh_token_seconds), CONFIG_INT, "SOUK_REFRESH_TOKEN_SECONDS", NULL, "2592000", 1, 31536000,
     "how long a refresh token is valid"},
    {MEMBER(require_admin_mfa), CONFIG_SWITCH, "SOUK_REQUIRE_ADMIN_MFA", NULL, "off", 0, 0,
     "staff may do nothing for the shop until they have a second factor"},
    {MEMBER(audit_days), CONFIG_INT, "SOUK_AUDIT_DAYS", NULL, "365", 1, 36500,
     "how many days the audit log keeps who changed what"},
    {MEMBER(auth_provider), CONFIG_PROVIDER, "AUTH_PROVIDER", NULL, "local", 0, 0,
     "who keeps the accounts: local (this shop), cognito, or oidc (any OpenID Connect issuer)"},
    {MEMBER(auth_issuer), CONFIG_CALLED_URL, "AUTH_ISSUER", NULL, "", 0, 0,
     "the issuer (iss) of access tokens; required with oidc, by default the pool's own with cognito"},
    {MEMBER(auth_audience), CONFIG_TEXT, "AUTH_AUDIENCE", NULL, "", 0, 0,
     "what aud of an access token must name; required with oidc"},
    {MEMBER(auth_role_claim), CONFIG_TEXT, "AUTH_ROLE_CLAIM", NULL, NULL, 0, 0,
     "the claim that lists a user's groups; by default groups, cognito:groups with cognito"},
    {MEMBER(auth_role_map), CONFIG_TEXT, "AUTH_ROLE_MAP", NULL, "", 0, 0,
     "group=role with commas between them, the first that fits counts; empty: roles are given in the shop"},
    {MEMBER(aws.region), CONFIG_TEXT, "AWS_REGION", NULL, "", 0, 0,
     "the region of what souk calls on AWS; of the user pool by default what its id begins with, of a secret its ARN's"},
    {MEMBER(cognito_user_pool_id), CONFIG_TEXT, "COGNITO_USER_POOL_ID", NULL, "", 0, 0,
     "the user pool, such as eu-west-1_AbCdEfGhI; required with cognito"},
    {MEMBER(cognito_client_id), CONFIG_TEXT, "COGNITO_CLIENT_ID", NULL, "", 0, 0,
     "the app client, whose tokens are taken; required with cognito"},
    {MEMBER(cognito_client_secret), CONFIG_PASSWORD, "COGNITO_CLIENT_SECRET", NULL, "", 0, 0,
     "the app client's secret, if it has one"},
    {MEMBER(cognito_endpoint), CONFIG_CALLED_URL, "COGNITO_ENDPOINT", NULL, "", 0, 0,
     "where to call Cognito instead of https://cognito-idp.REGION.amazonaws.com, for tests and private endpoints"},
    {MEMBER(auth_timeout_ms), CONFIG_INT, "SOUK_AUTH_TIMEOUT_MS", NULL, "3000", 100, 10000,
     "how long the identity provider may take to answer, in milliseconds"},
    {MEMBER(jwks_interval_ms), CONFIG_INT, "SOUK_JWKS_INTERVAL_MS", NULL, "10000", 100, 300000,
     "the issuer's keys are read no more often for tokens of unknown keys, in milliseconds"},
    {MEMBER(ca_file), CONFIG_TEXT, "SOUK_CA_FILE", NULL, "", 0, 0,
     "authorities (PEM) that calls to the identity provider, the mail server and AWS trust; empty: the system's"},
    {MEMBER(smtp_url), CONFIG_SMTP_URL, "SOUK_SMTP_URL", NULL, "", 0, 0,
     "the mail server: smtp[s]://[user:password@]host[:port]"},
    {MEMBER(mail_driver), CONFIG_MAIL, "SOUK_MAIL", NULL, NULL, 0, 0,
     "what carries mail: file (SOUK_DATA/mail), smtp or ses (Amazon SES); by default smtp where SOUK_SMTP_URL is set, else file"},
    {MEMBER(smtp_tls), CONFIG_SWITCH, "SOUK_SMTP_TLS", NULL, "on", 0, 0,
     "smtp:// to another machine must offer STARTTLS; off: it may do without, and takes no password"},
    {MEMBER(smtp_timeout_ms), CONFIG_INT, "SOUK_SMTP_TIMEOUT_MS", NULL, "15000", 100, 15000,
     "how long the mail server may take for one mail, in milliseconds"},
    {MEMBER(mail_from), CONFIG_TEXT, "SOUK_MAIL_FROM", NULL, "", 0, 0,
     "the address that mail comes from; by default no-reply@ the host of SOUK_PUBLIC_URL"},
    {MEMBER(lambda_streaming), CONFIG_SWITCH, "SOUK_LAMBDA_STREAMING", NULL, "off", 0, 0,
     "on Lambda replies are streamed, as a function URL or a REST API may be told to expect them"},
    {MEMBER(lambda_simple_authorizer), CONFIG_SWITCH, "SOUK_LAMBDA_SIMPLE_AUTHORIZER", NULL, "off", 0, 0,
     "the authorizer answers an HTTP API's events of version 2.0 simply (isAuthorized), as that API may be told to expect"},
    {MEMBER(jobs_queue_url), CONFIG_CALLED_URL, "SOUK_JOBS_QUEUE_URL", NULL, "", 0, 0,
     "an SQS queue that is told on Lambda when there is something to deliver; empty: the jobs' schedule finds it"},
    {MEMBER(aws.access_key_id), CONFIG_TEXT, "AWS_ACCESS_KEY_ID", NULL, "", 0, 0,
     "who calls AWS; empty: the role of the container that souk runs in"},
    {MEMBER(aws.secret_access_key), CONFIG_PASSWORD, "AWS_SECRET_ACCESS_KEY", NULL, "", 0, 0,
     "what signs those calls"},
    {MEMBER(aws.session_token), CONFIG_PASSWORD, "AWS_SESSION_TOKEN", NULL, "", 0, 0,
     "beside temporary credentials"},
    {MEMBER(aws.credentials_relative_uri), CONFIG_TEXT, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL, "", 0, 0,
     "where a container asks for its role's credentials, at 169.254.170.2; ECS sets it"},
    {MEMBER(aws.credentials_full_uri), CONFIG_CALLED_URL, "AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL, "", 0, 0,
     "the same as a whole URL, on this machine or at an address of ECS or EKS"},
    {MEMBER(aws.credentials_token), CONFIG_PASSWORD, "AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL, "", 0, 0,
     "what is sent there as Authorization"},
    {MEMBER(aws.credentials_token_file), CONFIG_TEXT, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL, "", 0, 0,
     "a file that holds it"},
    {MEMBER(aws.endpoint_url), CONFIG_CALLED_URL, "AWS_ENDPOINT_URL", NULL, "", 0, 0,
     "where to call AWS instead, for tests and emulators"},
    {MEMBER(aws.endpoint_url_secrets_manager), CONFIG_CALLED_URL, "AWS_ENDPOINT_URL_SECRETS_MANAGER", NULL, "", 0, 0,
     "the same for Secrets Manager alone"},
    {MEMBER(aws.endpoint_url_ses), CONFIG_CALLED_URL, "AWS_ENDPOINT_URL_SESV2", NULL, "", 0, 0,
     "for SES"},
    {MEMBER(aws.endpoint_url_sqs), CONFIG_CALLED_URL, "AWS_ENDPOINT_URL_SQS", NULL, "", 0, 0,
     "for SQS"},
    {MEMBER(job_interval_ms), CONFIG_INT, "SOUK_JOB_INTERVAL_MS", NULL, "1000", 1, 3600000,
     "how often background jobs look for work, in milliseconds"},
    {MEMBER(payment_timeout_ms), CONFIG_INT, "SOUK_PAYMENT_TIMEOUT_MS", NULL, "5000", 1, 60000,
     "how long a payment provider may take to answer, in milliseconds"},
};
/* clang-format on */

_Static_assert(CACHE_BYTES_DEFAULT == 67108864, "the default in the table");

#define SETTING_COUNT COUNT_OF(SETTINGS)

/* Where a value came from, for the complaint. */
struct config_source {
    struct slice value; /* absent: not set there */
    int line;           /* of .env */
    enum { SOURCE_DEFAULT, SOURCE_ENV_FILE, SOURCE_SECRET, SOURCE_ENVIRONMENT, SOURCE_FLAG } from;
};

struct config_reader {
    struct config *config;
    struct arena *arena;
    struct slice *complaint;
    struct config_source *sources; /* SETTING_COUNT */
};

static bool complain(struct slice *complaint, struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool complain(struct slice *complaint, struct arena *arena, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    *complaint = arena_format_list(arena, format, list);
    va_end(list);
    return false;
}

/* A text as a complaint may repeat it: on one line, not too long. */
static struct slice showable(struct arena *arena, struct slice text)
{
    size_t len = text.len < COMPLAINT_VALUE_MAX ? text.len : COMPLAINT_VALUE_MAX;
    char *shown = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        shown[i] = c < 0x20 || c >= 0x7f ? '?' : text.ptr[i];
    }
    return (struct slice){shown, len};
}

static void *member_of(struct config *config, const struct config_setting *setting)
{
    return (char *)config + setting->offset;
}

static const void *const_member_of(const struct config *config, const struct config_setting *setting)
{
    return (const char *)config + setting->offset;
}

/* The setting whose variable this is, or SETTING_COUNT. */
static size_t setting_by_env(struct slice name)
{
    size_t i = 0;
    while (i < SETTING_COUNT && !(SETTINGS[i].env != NULL && slice_is(name, SETTINGS[i].env)))
        i++;
    return i;
}

static size_t setting_by_flag(struct slice name)
{
    size_t i = 0;
    while (i < SETTING_COUNT && !(SETTINGS[i].flag != NULL && slice_is(name, SETTINGS[i].flag)))
        i++;
    return i;
}

bool config_flag_find(struct slice name, bool *takes_value)
{
    size_t i = setting_by_flag(name);
    if (i == SETTING_COUNT)
        return false;
    *takes_value = SETTINGS[i].kind != CONFIG_SWITCH;
    return true;
}

/* --- the rules of each kind: NULL when the value is taken, else the rule that it breaks --- */

static struct slice without_trailing_slashes(struct slice text)
{
    while (text.len > 1 && text.ptr[text.len - 1] == '/')
        text.len--;
    return text;
}

/* Settings end up in C strings, messages and headers: none may hold a control character. */
static bool has_control_character(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static bool is_listen_address(struct slice text)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    struct slice port = slice_skip(text, colon);
    long long number;
    if (colon < 2 || port.len > 5 || !slice_to_int64(port, &number) || number < 0 || number > 65535)
        return false;
    struct slice host = {text.ptr, colon - 1};
    if (memchr(host.ptr, ' ', host.len) != NULL || memchr(host.ptr, '/', host.len) != NULL)
        return false;
    if (host.ptr[0] == '[')
        return host.len > 2 && host.ptr[host.len - 1] == ']';
    return memchr(host.ptr, ':', host.len) == NULL; /* an IPv6 address needs its brackets */
}

static bool is_postgres_url(struct slice url)
{
    return slice_starts_with(url, SLICE("postgresql://")) || slice_starts_with(url, SLICE("postgres://"));
}

static bool is_redis_url(struct slice url)
{
    return slice_starts_with(url, SLICE("redis://")) || slice_starts_with(url, SLICE("rediss://"));
}

bool config_url_next(struct slice *rest, struct slice *url)
{
    if (rest->len == 0)
        return false;
    /* A comma also parts the hosts within one URL: the next URL is what has a scheme of its own. */
    size_t end = 0;
    for (; end < rest->len; end++) {
        struct slice behind = slice_skip(*rest, end + 1 < rest->len ? end + 1 : rest->len);
        if (rest->ptr[end] == ',' &&
            (is_postgres_url(slice_trim(behind)) || is_redis_url(slice_trim(behind))))
            break;
    }
    *url = slice_trim((struct slice){rest->ptr, end});
    *rest = slice_skip(*rest, end < rest->len ? end + 1 : end);
    return true;
}

static bool all_urls(struct slice list, bool (*is_one)(struct slice url))
{
    struct slice url;
    while (config_url_next(&list, &url)) {
        if (!is_one(url))
            return false;
    }
    return true;
}

static bool all_networks(struct slice list, int64_t max)
{
    struct network network;
    int64_t count = 0;
    while (count <= max && network_next(&list, &network))
        count++;
    return list.len == 0 && count <= max;
}

static bool all_origins(struct slice list)
{
    struct slice origin;
    while (origin_next(&list, &origin)) {
        if (!origin_is_valid(origin))
            return false;
    }
    return true;
}

/* Letters, digits and - _ . / as CloudWatch takes them in a dimension. */
static bool is_word(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_' || c == '.' || c == '/'))
            return false;
    }
    return text.len > 0 && text.len <= METRICS_DIMENSION_BYTES_MAX;
}

static const char *apply_text(const struct config_setting *setting, struct slice *member, struct slice value)
{
    if (has_control_character(value))
        return "must not hold control characters";
    if (setting->kind == CONFIG_NAME && !is_word(value))
        return "must be at most " TEXT_OF(METRICS_DIMENSION_BYTES_MAX) " letters, digits and -_./";
    if (setting->kind == CONFIG_PATH || setting->kind == CONFIG_HTTP_URL)
        value = without_trailing_slashes(value);
    struct slice sqlite = SLICE("sqlite:");
    if (setting->kind == CONFIG_DATABASE_URL && !is_postgres_url(value) &&
        !(slice_starts_with(value, sqlite) && value.len > sqlite.len))
        return "must be sqlite:PATH or postgresql://...";
    if (setting->kind == CONFIG_REPLICA_URLS && !all_urls(value, is_postgres_url))
        return "must be postgresql://... of each replica, with commas between them";
    if (setting->kind == CONFIG_NETWORKS && !all_networks(value, setting->max))
        return "must be addresses or networks, such as 10.0.0.0/8 or 2001:db8::/32, with commas between them";
    if (setting->kind == CONFIG_REDIS_URL && !all_urls(value, is_redis_url))
        return "must be redis://... or rediss://...";
    if (setting->kind == CONFIG_SECRET && value.len < CONFIG_SECRET_LEN_MIN)
        return "must have " TEXT_OF(CONFIG_SECRET_LEN_MIN) " characters or more";
    if (setting->kind == CONFIG_LISTEN && !is_listen_address(value))
        return "must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080";
    if (setting->kind == CONFIG_HTTP_URL &&
        ((!slice_starts_with(value, SLICE("http://")) && !slice_starts_with(value, SLICE("https://"))) ||
         value.ptr[value.len - 1] == ':' || memchr(value.ptr, ' ', value.len) != NULL))
        return "must start with http:// or https:// and name a host";
    if (setting->kind == CONFIG_CALLED_URL && value.len > 0 && !slice_starts_with(value, SLICE("https://")) &&
        !slice_starts_with(value, SLICE("http://")))
        return "must start with https://";
    if (setting->kind == CONFIG_SMTP_URL && value.len > 0 && !slice_starts_with(value, SLICE("smtp://")) &&
        !slice_starts_with(value, SLICE("smtps://")))
        return "must be smtp[s]://[user:password@]host[:port]";
    if (setting->kind == CONFIG_ORIGINS && !all_origins(value))
        return "must be exact origins such as https://shop.example.com, with commas between them: lower case, "
               "no path, no wildcard, no default port";
    *member = value;
    return NULL;
}

static const char *apply_choice(const struct config_setting *setting, struct arena *arena, void *member,
                                struct slice value)
{
    const char *const *choices = CHOICES[setting->kind];
    struct buf rule;
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (slice_is(value, choices[i])) {
            memcpy(member, &i, sizeof(i)); /* which is how the compiler lays out an enum without negatives */
            return NULL;
        }
    }
    buf_init(&rule, arena);
    buf_append(&rule, SLICE("must be "));
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (i > 0)
            buf_append(&rule, choices[i + 1] != NULL ? SLICE(", ") : SLICE(" or "));
        buf_append(&rule, slice_from(choices[i]));
    }
    buf_append_char(&rule, '\0');
    return rule.ptr;
}

static const char *apply_int(const struct config_setting *setting, struct arena *arena, int64_t *member,
                             struct slice value)
{
    long long number;
    if (!slice_to_int64(value, &number) || number < setting->min || number > setting->max)
        return arena_format(arena, "must be a whole number from %lld to %lld", (long long)setting->min,
                            (long long)setting->max)
            .ptr;
    *member = number;
    return NULL;
}

/* 0, 1, 0.05: digits only, as SHARE_DIGITS counts them. */
static const char *apply_share(int64_t *member, struct slice value)
{
    struct slice whole, rest = value;
    long long ones, part = 0;
    (void)slice_split(&rest, '.', &whole);
    bool is_good = whole.len > 0 && whole.ptr[0] != '-' && slice_to_int64(whole, &ones) &&
                   (slice_is_absent(rest) || (rest.len > 0 && rest.len <= SHARE_DIGITS &&
                                              rest.ptr[0] != '-' && slice_to_int64(rest, &part)));
    for (size_t i = slice_is_absent(rest) ? SHARE_DIGITS : rest.len; i < SHARE_DIGITS; i++)
        part *= 10;
    if (!is_good || ones > 1 || (ones == 1 && part > 0))
        return "must be a number from 0 to 1 with at most " TEXT_OF(SHARE_DIGITS) " decimals";
    *member = ones * 1000000 + part;
    return NULL;
}

static const char *apply_switch(bool *member, struct slice value)
{
    if (!slice_is(value, "on") && !slice_is(value, "off"))
        return "must be on or off";
    *member = slice_is(value, "on");
    return NULL;
}

static const char *apply(const struct config_setting *setting, struct arena *arena, struct config *config,
                         struct slice value)
{
    void *member = member_of(config, setting);
    switch (setting->kind) {
    case CONFIG_PATH:
    case CONFIG_DATABASE_URL:
    case CONFIG_REPLICA_URLS:
    case CONFIG_REDIS_URL:
    case CONFIG_TEXT:
    case CONFIG_SECRET:
    case CONFIG_LISTEN:
    case CONFIG_NETWORKS:
    case CONFIG_HTTP_URL:
    case CONFIG_PASSWORD:
    case CONFIG_CALLED_URL:
    case CONFIG_SMTP_URL:
    case CONFIG_ORIGINS:
    case CONFIG_NAME:
        return apply_text(setting, member, value);
    case CONFIG_PROVIDER:
    case CONFIG_METRICS:
    case CONFIG_MAIL:
    case CONFIG_TRACE:
        return apply_choice(setting, arena, member, value);
    case CONFIG_INT:
        return apply_int(setting, arena, member, value);
    case CONFIG_SHARE:
        return apply_share(member, value);
    case CONFIG_SWITCH:
        return apply_switch(member, value);
    case CONFIG_LOG_LEVEL:
        return log_level_parse(value, member) ? NULL : "must be off, error, warn, request, info or debug";
    }
    UNREACHABLE("a kind without a rule");
}

/* The default, also where it follows from settings that are already filled. */
static struct slice initial_value(const struct config_setting *setting, struct arena *arena,
                                  const struct config *config)
{
    if (setting->offset == MEMBER(database_url))
        return arena_format(arena, "sqlite:%.*s/souk.db", SLICE_ARG(config->data_directory));
    if (setting->offset == MEMBER(workers))
        return is_postgres_url(config->database_url) ? SLICE("16") : SLICE("4");
    if (setting->offset == MEMBER(rate_write_per_minute))
        return arena_format(arena, "%lld", (long long)(config->rate_per_minute + 1) / 2);
    if (setting->offset == MEMBER(public_url))
        return arena_format(arena, "http://%.*s", SLICE_ARG(config->listen));
    if (setting->offset == MEMBER(mail_driver))
        return config->smtp_url.len > 0 ? SLICE("smtp") : SLICE("file");
    if (setting->offset == MEMBER(auth_role_claim))
        return config->auth_provider == AUTH_COGNITO ? SLICE("cognito:groups") : SLICE("groups");
    return slice_from(setting->initial);
}

/* --- .env --- */

static bool is_name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i], i == 0))
            return false;
    }
    return name.len > 0;
}

/* Whether nothing but space and a comment is left of a line. */
static bool is_line_end(struct slice rest)
{
    struct slice trimmed = slice_trim(rest);
    return trimmed.len == 0 || (trimmed.ptr[0] == '#' && trimmed.ptr != rest.ptr);
}

/* 'literal' or "with \" \\ \n \t"; one line. NULL, or what is wrong. */
static const char *unquote(struct arena *arena, struct slice text, struct slice *value)
{
    char quote = text.ptr[0];
    char *out = arena_alloc(arena, text.len);
    size_t len = 0;
    size_t i = 1;
    for (; i < text.len && text.ptr[i] != quote; i++) {
        char c = text.ptr[i];
        if (c == '\\' && quote == '"' && i + 1 < text.len) {
            c = text.ptr[++i];
            if (c == 'n')
                c = '\n';
            else if (c == 't')
                c = '\t';
            else if (c != '"' && c != '\\' && c != '$')
                return "only \\\" \\\\ \\$ \\n \\t may follow a backslash in double quotes";
        }
        out[len++] = c;
    }
    if (i == text.len)
        return "the quote is not closed";
    if (!is_line_end(slice_skip(text, i + 1)))
        return "something follows the closing quote";
    *value = (struct slice){out, len};
    return NULL;
}

/* One line of .env: an absent name where it sets nothing. NULL, or what is wrong with it. */
static const char *parse_env_line(struct arena *arena, struct slice line, struct slice *name,
                                  struct slice *value)
{
    const struct slice export = SLICE("export ");
    *name = SLICE_ABSENT;
    line = slice_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return NULL;
    if (slice_starts_with(line, export))
        line = slice_trim(slice_skip(line, export.len));
    struct slice rest = line;
    struct slice key;
    if (!slice_split(&rest, '=', &key) || slice_is_absent(rest))
        return "it must be NAME=value";
    if (!is_name(key))
        return "its name must be letters, digits and _, directly before the =";
    struct slice text = slice_trim(rest);
    if (text.len > 0 && (text.ptr[0] == '"' || text.ptr[0] == '\'')) {
        const char *wrong = unquote(arena, text, value);
        if (wrong != NULL)
            return wrong;
    } else {
        /* Without quotes a comment starts at a # behind white space. */
        size_t len = 0;
        while (len < rest.len &&
               !(rest.ptr[len] == '#' && len > 0 && (rest.ptr[len - 1] == ' ' || rest.ptr[len - 1] == '\t')))
            len++;
        *value = slice_trim((struct slice){rest.ptr, len});
    }
    *name = key;
    return NULL;
}

static bool complain_unknown(struct config_reader *reader, struct slice name, const char *where)
{
    return complain(reader->complaint, reader->arena,
                    "%s: there is no setting %.*s; `souk config` lists them all", where,
                    SLICE_ARG(showable(reader->arena, name)));
}

/* Notes a variable when it is a setting's. Those of other programs are let pass, a SOUK_* that is none of
 * ours is not. */
static bool note_env_file_variable(struct config_reader *reader, struct slice name, struct slice value,
                                   int line)
{
    size_t i = setting_by_env(name);
    if (i == SETTING_COUNT) {
        if (!slice_starts_with(name, SLICE("SOUK_")))
            return true;
        return complain_unknown(reader, name, arena_format(reader->arena, ".env line %d", line).ptr);
    }
    struct config_source *source = &reader->sources[i];
    if (source->line != 0)
        return complain(reader->complaint, reader->arena, ".env line %d: %s was already set on line %d", line,
                        SETTINGS[i].env, source->line);
    source->line = line;
    if (value.len > 0) {
        source->value = value;
        source->from = SOURCE_ENV_FILE;
    }
    return true;
}

static bool read_env_file(struct config_reader *reader, struct slice text)
{
    const struct slice byte_order_mark = SLICE("\xef\xbb\xbf"); /* which Windows editors put in front */
    if (slice_is_absent(text))
        return true;
    if (text.len > CONFIG_ENV_FILE_BYTES_MAX)
        return complain(reader->complaint, reader->arena, ".env: it is longer than %zu bytes",
                        CONFIG_ENV_FILE_BYTES_MAX);
    if (slice_starts_with(text, byte_order_mark))
        text = slice_skip(text, byte_order_mark.len);
    struct slice line;
    for (int number = 1; slice_split(&text, '\n', &line); number++) {
        struct slice name;
        struct slice value;
        const char *wrong = parse_env_line(reader->arena, line, &name, &value);
        if (wrong != NULL)
            return complain(reader->complaint, reader->arena, ".env line %d: %s", number, wrong);
        if (!slice_is_absent(name) && !note_env_file_variable(reader, name, value, number))
            return false;
    }
    return true;
}

static bool read_environment(struct config_reader *reader, char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        struct slice value = slice_from(*environment);
        struct slice name;
        if (!slice_split(&value, '=', &name) || slice_is_absent(value))
            continue;
        size_t i = setting_by_env(name);
        if (i == SETTING_COUNT) {
            if (slice_starts_with(name, SLICE("SOUK_")))
                return complain_unknown(reader, name, "environment");
        } else if (value.len > 0) {
            reader->sources[i].value = value;
            reader->sources[i].from = SOURCE_ENVIRONMENT;
        }
    }
    return true;
}

static bool read_secret_settings(struct config_reader *reader, const struct config_given *given, size_t count)
{
    for (size_t g = 0; g < count; g++) {
        size_t i = setting_by_env(given[g].name);
        if (i == SETTING_COUNT) {
            if (slice_starts_with(given[g].name, SLICE("SOUK_")))
                return complain_unknown(reader, given[g].name, "the secret of SOUK_SECRETS_ARN");
        } else if (given[g].value.len > 0) {
            reader->sources[i].value = given[g].value;
            reader->sources[i].from = SOURCE_SECRET;
        }
    }
    return true;
}

static bool read_flags(struct config_reader *reader, const struct config_flag *flags, size_t flag_count)
{
    for (size_t f = 0; f < flag_count; f++) {
        size_t i = setting_by_flag(flags[f].name);
        struct slice name = showable(reader->arena, flags[f].name);
        if (i == SETTING_COUNT)
            return complain(reader->complaint, reader->arena, "command line: there is no flag --%.*s",
                            SLICE_ARG(name));
        bool is_switch = SETTINGS[i].kind == CONFIG_SWITCH;
        if (is_switch && flags[f].value.len > 0)
            return complain(reader->complaint, reader->arena, "command line: --%.*s takes no value",
                            SLICE_ARG(name));
        if (!is_switch && flags[f].value.len == 0)
            return complain(reader->complaint, reader->arena, "command line: --%.*s needs a value",
                            SLICE_ARG(name));
        reader->sources[i].value = is_switch ? SLICE("off") : flags[f].value;
        reader->sources[i].from = SOURCE_FLAG;
    }
    return true;
}

static struct slice source_name(struct arena *arena, const struct config_source *source)
{
    switch (source->from) {
    case SOURCE_FLAG:
        return SLICE("command line");
    case SOURCE_ENVIRONMENT:
        return SLICE("environment");
    case SOURCE_SECRET:
        return SLICE("the secret of SOUK_SECRETS_ARN");
    case SOURCE_ENV_FILE:
        return arena_format(arena, ".env line %d", source->line);
    case SOURCE_DEFAULT:
        break;
    }
    return SLICE("default");
}

/* "SOUK_WORKERS (environment)", "SOUK_LOG (.env line 3)", "--listen" */
static struct slice describe_source(struct arena *arena, const struct config_setting *setting,
                                    const struct config_source *source)
{
    if (source->from == SOURCE_FLAG)
        return arena_format(arena, "--%s", setting->flag);
    struct slice name = source_name(arena, source);
    return arena_format(arena, "%s (%.*s)", setting->env != NULL ? setting->env : setting->flag,
                        SLICE_ARG(name));
}

static bool fill(struct config_reader *reader, size_t i)
{
    const struct config_setting *setting = &SETTINGS[i];
    struct config_source *source = &reader->sources[i];
    struct slice value = source->value;
    if (slice_is_absent(value))
        value = initial_value(setting, reader->arena, reader->config);
    else
        value = arena_copy(reader->arena, value);
    if (slice_is_absent(value)) /* only the secret: see config_secret_ensure */
        return true;
    const char *rule = apply(setting, reader->arena, reader->config, value);
    if (rule == NULL)
        return true;
    struct slice where = describe_source(reader->arena, setting, source);
    if (setting->kind == CONFIG_SECRET || setting->kind == CONFIG_DATABASE_URL ||
        setting->kind == CONFIG_REPLICA_URLS || setting->kind == CONFIG_REDIS_URL ||
        setting->kind == CONFIG_PASSWORD || setting->kind == CONFIG_SMTP_URL || /* it may hold a password */
        source->from == SOURCE_SECRET)
        return complain(reader->complaint, reader->arena, "%.*s %s", SLICE_ARG(where), rule);
    return complain(reader->complaint, reader->arena, "%.*s %s, not '%.*s'", SLICE_ARG(where), rule,
                    SLICE_ARG(showable(reader->arena, value)));
}

bool config_load_sources(struct config *config, struct arena *arena, const struct config_sources *sources,
                         struct slice *complaint)
{
    struct config_reader reader = {.config = config, .arena = arena, .complaint = complaint};
    reader.sources = ARENA_ARRAY(arena, struct config_source, SETTING_COUNT);
    *config = (struct config){.sources = reader.sources};
    *complaint = SLICE_ABSENT;
    /* Each source beats those read before it. */
    if (!read_env_file(&reader, sources->env_file) ||
        !read_secret_settings(&reader, sources->secret, sources->secret_count) ||
        !read_environment(&reader, sources->environment) ||
        !read_flags(&reader, sources->flags, sources->flag_count))
        return false;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (!fill(&reader, i))
            return false;
    }
    return true;
}

/* --- files --- */

/* The file's text, up to `max` bytes and one more, so that the caller sees that it is too long. Absent with
 * errno. */
static struct slice read_whole(struct arena *arena, int fd, size_t max)
{
    char *text = arena_alloc(arena, max + 1);
    size_t len = 0;
    while (len < max + 1) {
        ssize_t count = read(fd, text + len, max + 1 - len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return SLICE_ABSENT;
        if (count == 0)
            break;
        len += (size_t)count;
    }
    return (struct slice){text, len};
}

bool config_load(struct config *config, struct arena *arena, const struct config_sources *sources,
                 struct slice *complaint)
{
    struct config_sources all = *sources;
    CHECK(sources->environment == NULL && slice_is_absent(sources->env_file));
    int fd = open(".env", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        all.env_file = read_whole(arena, fd, CONFIG_ENV_FILE_BYTES_MAX);
        int error = errno;
        close(fd);
        if (slice_is_absent(all.env_file))
            return complain(complaint, arena, ".env: it cannot be read: %s", strerror(error));
    } else if (errno != ENOENT) {
        return complain(complaint, arena, ".env: it cannot be opened: %s", strerror(errno));
    }
    all.environment = environ;
    return config_load_sources(config, arena, &all, complaint);
}

/* mkdir -p. False with errno. */
static bool make_folders(struct arena *arena, struct slice path)
{
    char *name = (char *)arena_alloc(arena, path.len + 1);
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    for (size_t i = 1; i <= path.len; i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        char end = name[i];
        name[i] = '\0';
        if (mkdir(name, 0700) != 0 && errno != EEXIST)
            return false;
        name[i] = end;
    }
    struct stat status;
    if (stat(name, &status) != 0)
        return false;
    errno = ENOTDIR;
    return S_ISDIR(status.st_mode);
}

/* Writes all of it to the disk, under a name that nobody else uses. False with errno. */
static bool write_new_file(const char *path, struct slice text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    ssize_t written = write(fd, text.ptr, text.len);
    if (written >= 0 && (size_t)written != text.len)
        errno = ENOSPC;
    bool done = written == (ssize_t)text.len && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && done) {
        error = errno;
        done = false;
    }
    if (!done)
        unlink(path);
    errno = error;
    return done;
}

/* Makes the secret's file complete or not at all: it is written under another name and linked to its own,
 * which fails when another process was first; then that one's secret counts. A crash can leave no half of it.
 * False with errno. */
static bool create_secret(struct arena *arena, const char *path)
{
    uint8_t random[32];
    char text[2 * sizeof(random) + 1];
    random_fill(random, sizeof(random));
    hex_encode(random, sizeof(random), text);
    text[sizeof(text) - 1] = '\n';
    struct slice temporary = arena_format(arena, "%s.%016llx", path, (unsigned long long)random_u64());
    if (!write_new_file(temporary.ptr, (struct slice){text, sizeof(text)}))
        return false;
    bool done = link(temporary.ptr, path) == 0 || errno == EEXIST;
    int error = errno;
    unlink(temporary.ptr);
    errno = error;
    return done;
}

/* Reads DATA/secret into the settings, with its rules. */
static bool read_secret(struct config *config, struct arena *arena, const char *path, int fd,
                        struct slice *complaint)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return complain(complaint, arena, "%s must be a file", path);
    if ((status.st_mode & 077) != 0)
        return complain(complaint, arena, "%s can be read by others (mode %04o): run chmod 600 on it", path,
                        (unsigned)(status.st_mode & 07777));
    struct slice text = read_whole(arena, fd, 1024);
    if (slice_is_absent(text))
        return complain(complaint, arena, "%s cannot be read: %s", path, strerror(errno));
    text = slice_trim(text);
    if (text.len < CONFIG_SECRET_LEN_MIN || text.len >= 1024 || has_control_character(text))
        return complain(complaint, arena, "%s must hold one line of %d characters or more", path,
                        CONFIG_SECRET_LEN_MIN);
    config->secret = arena_copy(arena, text);
    return true;
}

bool config_secret_ensure(struct config *config, struct arena *arena, struct slice *complaint)
{
    bool shared = is_postgres_url(config->database_url);
    if (shared && slice_is_absent(config->secret))
        return complain(complaint, arena,
                        "SOUK_SECRET must be set with PostgreSQL: every node of the shop needs the same");
    if (shared)
        return true;
    if (!make_folders(arena, config->data_directory))
        return complain(complaint, arena, "the data folder %.*s cannot be made: %s",
                        SLICE_ARG(config->data_directory), strerror(errno));
    if (!slice_is_absent(config->secret))
        return true;
    const char *path = arena_format(arena, "%.*s/secret", SLICE_ARG(config->data_directory)).ptr;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (!create_secret(arena, path))
            return complain(complaint, arena, "%s cannot be made: %s", path, strerror(errno));
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return complain(complaint, arena, "%s cannot be opened: %s", path, strerror(errno));
    bool done = read_secret(config, arena, path, fd, complaint);
    close(fd);
    return done;
}

/* --- printing --- */

/* A URL without the password in it: user:***@host. Also without parameters, since libpq takes password=
 * there. */
static void print_url(struct slice url, struct buf *out)
{
    struct slice rest = url;
    struct slice scheme;
    bool is_smtp = slice_starts_with(url, SLICE("smtp"));
    if ((!is_postgres_url(url) && !is_redis_url(url) && !is_smtp) || !slice_split(&rest, '/', &scheme)) {
        buf_append(out, url);
        return;
    }
    const char *query = memchr(url.ptr, '?', url.len);
    size_t end = query != NULL ? (size_t)(query - url.ptr) : url.len;
    size_t user = scheme.len + 2; /* behind "://" */
    size_t at = end;
    while (at > user && url.ptr[at - 1] != '@')
        at--;
    size_t colon = user;
    while (colon < at && url.ptr[colon] != ':')
        colon++;
    if (colon < at) {
        buf_append(out, (struct slice){url.ptr, colon});
        buf_append(out, SLICE(":***"));
        at--; /* the @ itself is shown */
    } else {
        at = 0;
    }
    buf_append(out, (struct slice){url.ptr + at, end - at});
    if (query != NULL)
        buf_append(out, SLICE("?***"));
}

static void print_urls(struct slice list, struct buf *out)
{
    struct slice url;
    for (bool is_first = true; config_url_next(&list, &url); is_first = false) {
        if (!is_first)
            buf_append_char(out, ',');
        print_url(url, out);
    }
}

static void print_value(const struct config_setting *setting, const struct config *config, struct buf *out)
{
    unsigned choice;
    int64_t ppm;
    const void *member = const_member_of(config, setting);
    switch (setting->kind) {
    case CONFIG_PATH:
    case CONFIG_LISTEN:
    case CONFIG_NETWORKS:
    case CONFIG_TEXT:
    case CONFIG_HTTP_URL:
    case CONFIG_CALLED_URL:
    case CONFIG_ORIGINS:
    case CONFIG_NAME:
        buf_append(out, *(const struct slice *)member);
        return;
    case CONFIG_DATABASE_URL:
    case CONFIG_SMTP_URL:
        print_url(*(const struct slice *)member, out);
        return;
    case CONFIG_REPLICA_URLS:
    case CONFIG_REDIS_URL:
        print_urls(*(const struct slice *)member, out);
        return;
    case CONFIG_SECRET:
    case CONFIG_PASSWORD:
        buf_append(out, (*(const struct slice *)member).len == 0 ? SLICE("(not set)") : SLICE("(set)"));
        return;
    case CONFIG_PROVIDER:
    case CONFIG_METRICS:
    case CONFIG_MAIL:
    case CONFIG_TRACE:
        memcpy(&choice, member, sizeof(choice));
        buf_append(out, slice_from(CHOICES[setting->kind][choice]));
        return;
    case CONFIG_SHARE:
        memcpy(&ppm, member, sizeof(ppm));
        buf_format(out, "%lld.%06lld", (long long)(ppm / 1000000), (long long)(ppm % 1000000));
        return;
    case CONFIG_INT:
        buf_append_int(out, *(const int64_t *)member);
        return;
    case CONFIG_SWITCH:
        buf_append(out, *(const bool *)member ? SLICE("on") : SLICE("off"));
        return;
    case CONFIG_LOG_LEVEL:
        buf_append(out, slice_from(log_level_name(*(const enum log_level *)member)));
        return;
    }
}

void config_print(const struct config *config, struct buf *out)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct config_setting *setting = &SETTINGS[i];
        if (setting->env != NULL)
            buf_append(out, slice_from(setting->env));
        if (setting->flag != NULL)
            buf_format(out, "%s--%s", setting->env != NULL ? ", " : "", setting->flag);
        buf_append(out, SLICE(" = "));
        if (config->sources[i].from == SOURCE_SECRET) /* what is kept there is not shown here */
            buf_append(out, SLICE("(set)"));
        else
            print_value(setting, config, out);
        struct slice initial = initial_value(setting, out->arena, config);
        if (initial.len > 0)
            buf_format(out, " (default %.*s)", SLICE_ARG(initial));
        if (config->sources[i].from != SOURCE_DEFAULT)
            buf_format(out, ", from %.*s", SLICE_ARG(source_name(out->arena, &config->sources[i])));
        buf_format(out, "\n    %s\n", setting->help);
    }
}
