/* Settings of the process, from the command line, the environment, a secret of AWS Secrets Manager, `.env`,
 * or the default - in that order. One table (config.c) defines each: its name, default, kind, bounds and one
 * line of help; `souk config` prints it. Business settings (tax, shipping, holds) are not here: they live in
 * the database. */
#pragma once

#include "base/buf.h"
#include "base/log.h"

#define CONFIG_SECRET_LEN_MIN 32
#define CONFIG_ENV_FILE_BYTES_MAX ((size_t)64 << 10)

/* How metrics leave: asked for by GET /metrics, or written to standard output as well (metrics_emf.h). */
enum metrics_form { METRICS_PROMETHEUS, METRICS_EMF };

/* Where the traces of requests go: nowhere, to an OpenTelemetry collector, to the daemon of AWS X-Ray. */
enum trace_form { TRACE_OFF, TRACE_OTLP, TRACE_XRAY };

/* Who keeps the accounts and issues the access tokens. */
enum auth_provider { AUTH_LOCAL, AUTH_COGNITO, AUTH_OIDC };

/* What carries mail. */
enum mail_driver { MAIL_DRIVER_FILE, MAIL_DRIVER_SMTP, MAIL_DRIVER_SES };

/* How AWS is called; the names are those of AWS's own SDKs. Every text may be empty. */
struct config_aws {
    struct slice region;                   /* AWS_REGION */
    struct slice access_key_id;            /* AWS_ACCESS_KEY_ID */
    struct slice secret_access_key;        /* AWS_SECRET_ACCESS_KEY */
    struct slice session_token;            /* AWS_SESSION_TOKEN */
    struct slice credentials_relative_uri; /* AWS_CONTAINER_CREDENTIALS_RELATIVE_URI */
    struct slice credentials_full_uri;     /* AWS_CONTAINER_CREDENTIALS_FULL_URI */
    struct slice credentials_token;        /* AWS_CONTAINER_AUTHORIZATION_TOKEN */
    struct slice credentials_token_file;   /* AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE */
    struct slice endpoint_url;             /* AWS_ENDPOINT_URL, and of one service: */
    struct slice endpoint_url_secrets_manager;
    struct slice endpoint_url_ses;
    struct slice endpoint_url_sqs;
};

struct config_source; /* where a value came from */

struct config {
    const struct config_source *sources; /* of each setting, for config_print */
    struct slice secrets_arn;            /* SOUK_SECRETS_ARN; empty: none */
    struct config_aws aws;
    /* where the data is */
    struct slice data_directory; /* --data, SOUK_DATA: ./data; without trailing slashes */
    struct slice
        database_url; /* DATABASE_URL: sqlite:DATA/souk.db; sqlite:PATH, postgres:// or postgresql:// */
    struct slice database_secret_arn; /* DATABASE_SECRET_ARN; empty: the URL says who logs in */
    struct slice replica_urls;        /* DATABASE_REPLICA_URLS: see config_url_next; empty: none */
    int64_t replica_lag_ms;           /* SOUK_REPLICA_LAG_MS: 1000 */
    int64_t database_timeout_ms;      /* SOUK_DATABASE_TIMEOUT_MS: 5000; to connect, and for each statement */
    bool database_prepare;            /* SOUK_DATABASE_PREPARE: on | off */
    struct slice redis_url;           /* REDIS_URL: see config_url_next; empty: no Redis */
    struct slice redis_prefix;        /* SOUK_REDIS_PREFIX: "souk:" */
    int64_t redis_timeout_ms;         /* SOUK_REDIS_TIMEOUT_MS: 200 */
    struct slice
        secret; /* SOUK_SECRET, else DATA/secret (made on first start, mode 0600); absent before that */
    /* the server */
    struct slice listen; /* --listen, SOUK_LISTEN: 127.0.0.1:8080; port 0 takes a free one */
    struct slice
        public_url; /* SOUK_PUBLIC_URL: what links in mail start with; http://LISTEN; no slash at its end */
    struct slice cors_origins;        /* SOUK_CORS_ORIGINS: see origin_next; empty: none */
    int64_t io_threads;               /* SOUK_IO_THREADS: 0 = one a core, at most 8 */
    int64_t workers;                  /* SOUK_WORKERS: 4 on SQLite, 16 on PostgreSQL */
    int64_t connections_max;          /* SOUK_CONNECTIONS_MAX */
    int64_t request_timeout_ms;       /* SOUK_REQUEST_TIMEOUT_MS: 10000; from all of it is here */
    int64_t cache_bytes;              /* SOUK_CACHE_BYTES; 0 turns the memory cache off */
    bool rate_limit;                  /* SOUK_RATE_LIMIT: on | off */
    int64_t rate_per_minute;          /* SOUK_RATE_PER_MINUTE: of one caller, to read; 1000 */
    int64_t rate_write_per_minute;    /* SOUK_RATE_WRITE_PER_MINUTE: half of it */
    int64_t rate_login_per_minute;    /* SOUK_RATE_LOGIN_PER_MINUTE: 20 */
    int64_t rate_checkout_per_minute; /* SOUK_RATE_CHECKOUT_PER_MINUTE: 60 */
    int64_t rate_whole_per_second;    /* SOUK_RATE_WHOLE_PER_SECOND: of all callers together, 10000 */
    int64_t rate_whole_burst;         /* SOUK_RATE_WHOLE_BURST: 20000 */
    struct slice trusted_proxies;     /* SOUK_TRUSTED_PROXIES: see network_next; empty: none */
    enum log_level log_level;         /* SOUK_LOG */
    enum metrics_form metrics;        /* SOUK_METRICS: prometheus | emf */
    enum trace_form trace;            /* SOUK_TRACE: off | otlp | xray */
    int64_t trace_sample_ppm;         /* SOUK_TRACE_SAMPLE: 0.1, here in millionths */
    struct slice otlp_endpoint;       /* OTEL_EXPORTER_OTLP_ENDPOINT: http://127.0.0.1:4318 */
    struct slice xray_address;        /* AWS_XRAY_DAEMON_ADDRESS: 127.0.0.1:2000 */
    struct slice service_name;        /* OTEL_SERVICE_NAME: souk */
    struct slice stage;               /* SOUK_STAGE: production */
    bool migrate_at_start;            /* SOUK_MIGRATE: on | off */
    bool jobs;                        /* --no-jobs */
    bool test_payments;               /* SOUK_TEST_PAYMENTS: off | on */
    int64_t access_token_seconds;     /* SOUK_ACCESS_TOKEN_SECONDS: 900 */
    bool require_admin_mfa;           /* SOUK_REQUIRE_ADMIN_MFA: off */
    int64_t audit_days;               /* SOUK_AUDIT_DAYS: 365 */
    int64_t refresh_token_seconds;    /* SOUK_REFRESH_TOKEN_SECONDS: 2592000 */
    /* who keeps the accounts; auth/issuer.h says which go together */
    enum auth_provider auth_provider;   /* AUTH_PROVIDER: local | cognito | oidc */
    struct slice auth_issuer;           /* AUTH_ISSUER; may be empty, as all texts below */
    struct slice auth_audience;         /* AUTH_AUDIENCE */
    struct slice auth_role_claim;       /* AUTH_ROLE_CLAIM: groups, cognito:groups */
    struct slice auth_role_map;         /* AUTH_ROLE_MAP: group=role,group=role */
    struct slice cognito_user_pool_id;  /* COGNITO_USER_POOL_ID */
    struct slice cognito_client_id;     /* COGNITO_CLIENT_ID */
    struct slice cognito_client_secret; /* COGNITO_CLIENT_SECRET */
    struct slice cognito_endpoint;      /* COGNITO_ENDPOINT */
    int64_t auth_timeout_ms;            /* SOUK_AUTH_TIMEOUT_MS: 3000 */
    int64_t jwks_interval_ms;           /* SOUK_JWKS_INTERVAL_MS: 10000 */
    struct slice ca_file;               /* SOUK_CA_FILE: of outgoing TLS; empty: the system's */
    /* mail */
    bool lambda_simple_authorizer; /* SOUK_LAMBDA_SIMPLE_AUTHORIZER: off | on */
    bool lambda_streaming;         /* SOUK_LAMBDA_STREAMING: off | on */
    struct slice smtp_url;         /* SOUK_SMTP_URL; may be empty */
    enum mail_driver mail_driver;  /* SOUK_MAIL: file | smtp | ses */
    bool smtp_tls;                 /* SOUK_SMTP_TLS: on | off */
    int64_t smtp_timeout_ms;       /* SOUK_SMTP_TIMEOUT_MS: 15000 */
    struct slice mail_from;        /* SOUK_MAIL_FROM; empty: no-reply@ the public URL's host */
    struct slice jobs_queue_url;   /* SOUK_JOBS_QUEUE_URL; empty: none */
    /* what tests shorten */
    int64_t job_interval_ms;    /* SOUK_JOB_INTERVAL_MS: 1000 */
    int64_t payment_timeout_ms; /* SOUK_PAYMENT_TIMEOUT_MS: 5000 */
};

/* A flag of the command line that sets a setting: {"listen", "127.0.0.1:8080"}; {"no-jobs", ""}. */
struct config_flag {
    struct slice name;
    struct slice value;
};

/* Takes the next URL off a list of them (commas between them; a comma followed by no scheme belongs to the
 * URL, whose hosts it parts). False at the end. */
bool config_url_next(struct slice *rest, struct slice *url);

/* Whether `--name` is a setting's flag, and whether a value follows it: for the command line's parser. */
bool config_flag_find(struct slice name, bool *takes_value);

/* A setting by its variable's name, out of a secret. */
struct config_given {
    struct slice name;
    struct slice value;
};

struct config_sources {
    const struct config_flag *flags;
    size_t flag_count;
    char *const *environment; /* a list "NAME=value" that ends with NULL; NULL: none */
    const struct config_given *secret;
    size_t secret_count;
    struct slice env_file; /* the text of `.env`, or absent */
};

/* Fills `config` from the flags, the process's environment, the secret and `.env` of the current folder;
 * texts live in `arena`. On a wrong setting returns false with one clear line in `*complaint` that names the
 * setting, the value's rule and where the value came from. An empty variable counts as not set; of a flag
 * given twice the last one counts. A SOUK_* name that no setting has is refused, wherever it stands: a typing
 * error must not pass for the default. Does not create anything (see config_secret_ensure). `sources` names
 * no environment and no `.env`. */
bool config_load(struct config *config, struct arena *arena, const struct config_sources *sources,
                 struct slice *complaint);
/* The same from given texts alone, for tests and fuzzing. Touches nothing else. */
bool config_load_sources(struct config *config, struct arena *arena, const struct config_sources *sources,
                         struct slice *complaint);
/* Makes the data folder (mode 0700, with its parents) when the database is SQLite. When SOUK_SECRET is not
 * set, reads or creates DATA/secret: 64 hexadecimal characters, mode 0600; several processes that start at
 * once get the same one. Refuses a file that others may read or that is shorter than CONFIG_SECRET_LEN_MIN,
 * and PostgreSQL without SOUK_SECRET, since all nodes of one shop must share it. */
bool config_secret_ensure(struct config *config, struct arena *arena, struct slice *complaint);
/* Every setting: name, value (secrets as "(set)", passwords in URLs as "***"), default, help; for `souk
 * config`. */
void config_print(const struct config *config, struct buf *out);
