-- What staff may do, what they did, and what guards an account beside its password.

-- A staff role is a set of scopes. What a user may do now is read from here at each request.
CREATE TABLE roles (
    name TEXT NOT NULL PRIMARY KEY,         -- support; 'customer' is no staff role and stands not here
    description TEXT NOT NULL DEFAULT '',   -- for whom it is meant
    scopes TEXT NOT NULL,                   -- their names with a space between them; '*': all there are
    is_built_in INTEGER NOT NULL DEFAULT 0 CHECK (is_built_in IN (0, 1)), -- cannot be deleted
    version INTEGER NOT NULL DEFAULT 1,     -- rises with every edit; ETag and If-Match
    created_at INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL DEFAULT 0,
    CHECK (name <> 'customer'),
    CHECK ((name = 'admin') = (scopes = '*')) -- nobody takes anything from it
) STRICT, WITHOUT ROWID;
INSERT INTO roles (name, description, scopes, is_built_in) VALUES
    ('admin', 'Everything', '*', 1),
    ('staff', 'The day''s work: catalogue, stock and orders',
     'catalogue:write inventory:write orders:read orders:write customers:read settings:read', 1),
    ('catalogue-manager', 'Categories, products and their stock', 'catalogue:write inventory:write settings:read', 0),
    ('order-clerk', 'Orders from payment to delivery', 'inventory:write orders:read orders:write customers:read', 0),
    ('support', 'Answers customers: reads accounts and orders', 'orders:read customers:read', 0);

ALTER TABLE users ADD COLUMN staff_role TEXT;         -- with role 'staff': which of roles; NULL: the one named staff
ALTER TABLE users ADD COLUMN second_factor_at INTEGER; -- since when log-ins ask for a code; NULL: they do not
CREATE INDEX users_staff_role ON users (staff_role) WHERE staff_role IS NOT NULL;

-- What staff changed. Rows are only added; the sweep removes what is past its time, an erasure what was personal in them.
CREATE TABLE audit_log (
    id BLOB NOT NULL PRIMARY KEY,           -- UUIDv7: in the order of the changes
    created_at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('user', 'api_key', 'system')),
    actor_id BLOB,                          -- of the user or the key; NULL: system
    operation TEXT NOT NULL,                -- productUpdate: the contract's operationId
    resource_kind TEXT NOT NULL,            -- product, order, user, role, settings, ...
    resource_id TEXT NOT NULL,              -- its id or name
    state_before TEXT,                      -- JSON, without secrets; NULL: there was none, or it was erased
    state_after TEXT,                       -- JSON, without secrets; NULL: there is none, or it was erased
    address TEXT,                           -- of the client
    user_agent TEXT,
    request_id TEXT NOT NULL                -- X-Request-Id
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_resource ON audit_log (resource_kind, resource_id, id);

ALTER TABLE sessions ADD COLUMN address TEXT;    -- of the client that logged in; NULL: not known
ALTER TABLE sessions ADD COLUMN user_agent TEXT; -- of the client that logged in; NULL: not known

-- Whose personal data a stored reply may hold, so that an erasure finds it.
ALTER TABLE idempotency_records ADD COLUMN subject_id BLOB; -- of users; NULL: nobody's
CREATE INDEX idempotency_records_subject ON idempotency_records (subject_id) WHERE subject_id IS NOT NULL;

-- Failed log-ins and the like, counted until a window ends: by account, by account and network, by device.
CREATE TABLE attempt_counters (
    key BLOB NOT NULL PRIMARY KEY,          -- a keyed hash of what is counted: no address and no e-mail stands here
    count INTEGER NOT NULL,
    window_ends_at INTEGER NOT NULL         -- from then on it counts as 0
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_counters_window ON attempt_counters (window_ends_at);

-- Time-based one-time passwords (RFC 6238).
CREATE TABLE second_factors (
    user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret BLOB NOT NULL,            -- encrypted under SOUK_SECRET
    last_step INTEGER NOT NULL DEFAULT 0,   -- the time step of the newest code that was used: each is good once
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER                    -- NULL: enrolled, not yet proved by a code
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_codes (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash BLOB NOT NULL,                -- HMAC-SHA256 under a key of SOUK_SECRET
    created_at INTEGER NOT NULL,
    used_at INTEGER,                        -- single use
    PRIMARY KEY (user_id, code_hash)
) STRICT, WITHOUT ROWID;

-- Log-ins whose password was right and whose code is still to come.
CREATE TABLE login_challenges (
    token_hash BLOB NOT NULL PRIMARY KEY,   -- SHA-256 of the token that the client holds
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_cookie INTEGER NOT NULL CHECK (is_cookie IN (0, 1)), -- how the session was asked for
    cart_id BLOB,                           -- the guest's cart to take along
    attempts INTEGER NOT NULL DEFAULT 0,    -- wrong codes so far
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER                         -- single use
) STRICT, WITHOUT ROWID;
CREATE INDEX login_challenges_user ON login_challenges (user_id);
CREATE INDEX login_challenges_expiry ON login_challenges (expires_at);
