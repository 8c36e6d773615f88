-- Keys of programs, the plans that limit them, and how much they were used.

CREATE TABLE plans (
    id uuid NOT NULL PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    rate_per_minute bigint NOT NULL CHECK (rate_per_minute > 0),
    burst bigint NOT NULL CHECK (burst > 0),
    monthly_quota bigint CHECK (monthly_quota > 0),
    quota_binds text NOT NULL DEFAULT 'secret' CHECK (quota_binds IN ('secret', 'all')),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE plans IS 'What the keys of programs may use';
COMMENT ON COLUMN plans.id IS 'UUIDv7';
COMMENT ON COLUMN plans.name IS 'unique';
COMMENT ON COLUMN plans.description IS 'for whom it is meant';
COMMENT ON COLUMN plans.rate_per_minute IS 'requests of one key';
COMMENT ON COLUMN plans.burst IS 'how many of them at once';
COMMENT ON COLUMN plans.monthly_quota IS 'requests of one key in a calendar month (UTC); NULL: no limit';
COMMENT ON COLUMN plans.quota_binds IS 'which kinds of keys: secret, all';
COMMENT ON COLUMN plans.version IS 'rises with every edit; ETag and If-Match';
COMMENT ON COLUMN plans.created_at IS 'when it was made';
COMMENT ON COLUMN plans.updated_at IS 'when it was last edited';

CREATE TABLE api_keys (
    id uuid NOT NULL PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('publishable', 'secret')),
    name text NOT NULL,
    plan_id uuid NOT NULL REFERENCES plans (id),
    scopes text NOT NULL DEFAULT '',
    expires_at timestamptz,
    revoked_at timestamptz,
    created_by uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (kind = 'secret' OR scopes = '')
);
COMMENT ON TABLE api_keys IS 'Keys of programs';
COMMENT ON COLUMN api_keys.id IS 'UUIDv7';
COMMENT ON COLUMN api_keys.kind IS 'publishable: in browsers, does what a guest may; secret: on servers';
COMMENT ON COLUMN api_keys.name IS 'what it is for';
COMMENT ON COLUMN api_keys.plan_id IS 'what limits it';
COMMENT ON COLUMN api_keys.scopes IS 'of a secret key, with spaces between them';
COMMENT ON COLUMN api_keys.expires_at IS 'NULL: it does not by itself';
COMMENT ON COLUMN api_keys.revoked_at IS 'NULL: it was not';
COMMENT ON COLUMN api_keys.created_by IS 'the user who made it';
COMMENT ON COLUMN api_keys.version IS 'rises with every edit; ETag and If-Match';
COMMENT ON COLUMN api_keys.created_at IS 'when it was made';
COMMENT ON COLUMN api_keys.updated_at IS 'when it was last edited';
CREATE INDEX api_keys_plan ON api_keys (plan_id);

CREATE TABLE api_key_secrets (
    hash bytea NOT NULL PRIMARY KEY,
    key_id uuid NOT NULL REFERENCES api_keys (id),
    prefix text NOT NULL,
    last4 text NOT NULL,
    created_at timestamptz NOT NULL,
    valid_until timestamptz
);
COMMENT ON TABLE api_key_secrets IS 'What a key is known by; a rotation adds one, those before it stay good until their time';
COMMENT ON COLUMN api_key_secrets.hash IS 'SHA-256 of the key as it is sent: 256 random bits need no slow hash';
COMMENT ON COLUMN api_key_secrets.key_id IS 'whose it is';
COMMENT ON COLUMN api_key_secrets.prefix IS 'its first characters, to know it by';
COMMENT ON COLUMN api_key_secrets.last4 IS 'its last characters';
COMMENT ON COLUMN api_key_secrets.created_at IS 'when it was made';
COMMENT ON COLUMN api_key_secrets.valid_until IS 'NULL: the newest one';
CREATE INDEX api_key_secrets_key ON api_key_secrets (key_id);

CREATE TABLE api_key_usage (
    key_id uuid NOT NULL REFERENCES api_keys (id),
    month bigint NOT NULL,
    requests bigint NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (key_id, month)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05); -- a key in use is updated every second
COMMENT ON TABLE api_key_usage IS 'How often each key was used, by month';
COMMENT ON COLUMN api_key_usage.key_id IS 'of the key';
COMMENT ON COLUMN api_key_usage.month IS '202611 is November 2026, in UTC';
COMMENT ON COLUMN api_key_usage.requests IS 'that were let through';
COMMENT ON COLUMN api_key_usage.last_used_at IS 'when the newest of them came';
