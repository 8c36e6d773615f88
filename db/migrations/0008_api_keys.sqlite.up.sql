-- Keys of programs, the plans that limit them, and how much they were used.

CREATE TABLE plans (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    rate_per_minute INTEGER NOT NULL CHECK (rate_per_minute > 0), -- requests of one key
    burst INTEGER NOT NULL CHECK (burst > 0), -- how many of them at once
    monthly_quota INTEGER CHECK (monthly_quota > 0), -- requests of one key in a calendar month (UTC); NULL: no limit
    quota_binds TEXT NOT NULL DEFAULT 'secret' CHECK (quota_binds IN ('secret', 'all')), -- which kinds of keys
    version INTEGER NOT NULL DEFAULT 1,     -- rises with every edit; ETag and If-Match
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7
    kind TEXT NOT NULL CHECK (kind IN ('publishable', 'secret')),
    name TEXT NOT NULL,                     -- what it is for
    plan_id BLOB NOT NULL REFERENCES plans (id),
    scopes TEXT NOT NULL DEFAULT '',        -- of a secret key, with spaces between them
    expires_at INTEGER,                     -- NULL: it does not by itself
    revoked_at INTEGER,                     -- NULL: it was not
    created_by BLOB NOT NULL,               -- the user who made it
    version INTEGER NOT NULL DEFAULT 1,     -- rises with every edit; ETag and If-Match
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (kind = 'secret' OR scopes = '')
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_plan ON api_keys (plan_id);

-- What a key is known by. A rotation adds one; those before it stay good until their time.
CREATE TABLE api_key_secrets (
    hash BLOB NOT NULL PRIMARY KEY,         -- SHA-256 of the key as it is sent: 256 random bits need no slow hash
    key_id BLOB NOT NULL REFERENCES api_keys (id),
    prefix TEXT NOT NULL,                   -- its first characters, to know it by
    last4 TEXT NOT NULL,                    -- its last characters
    created_at INTEGER NOT NULL,
    valid_until INTEGER                     -- NULL: the newest one
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_secrets_key ON api_key_secrets (key_id);

CREATE TABLE api_key_usage (
    key_id BLOB NOT NULL REFERENCES api_keys (id),
    month INTEGER NOT NULL,                 -- 202611 is November 2026, in UTC
    requests INTEGER NOT NULL,              -- that were let through
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, month)
) STRICT, WITHOUT ROWID;
