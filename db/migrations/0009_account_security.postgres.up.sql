-- What staff may do, what they did, and what guards an account beside its password.

CREATE TABLE roles (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    description text NOT NULL DEFAULT '',
    scopes text NOT NULL,
    is_built_in boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    updated_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    CHECK (name <> 'customer'),
    CHECK ((name = 'admin') = (scopes = '*')) -- nobody takes anything from it
);
COMMENT ON TABLE roles IS 'Staff roles: sets of scopes. What a user may do now is read from here at each request';
COMMENT ON COLUMN roles.name IS 'support; ''customer'' is no staff role and stands not here';
COMMENT ON COLUMN roles.description IS 'for whom it is meant';
COMMENT ON COLUMN roles.scopes IS 'their names with a space between them; ''*'': all there are';
COMMENT ON COLUMN roles.is_built_in IS 'cannot be deleted';
COMMENT ON COLUMN roles.version IS 'rises with every edit; ETag and If-Match';
COMMENT ON COLUMN roles.created_at IS 'when it was made; 1970: with the shop';
COMMENT ON COLUMN roles.updated_at IS 'when it was last edited; 1970: never';
INSERT INTO roles (name, description, scopes, is_built_in) VALUES
    ('admin', 'Everything', '*', true),
    ('staff', 'The day''s work: catalogue, stock and orders',
     'catalogue:write inventory:write orders:read orders:write customers:read settings:read', true),
    ('catalogue-manager', 'Categories, products and their stock', 'catalogue:write inventory:write settings:read', false),
    ('order-clerk', 'Orders from payment to delivery', 'inventory:write orders:read orders:write customers:read', false),
    ('support', 'Answers customers: reads accounts and orders', 'orders:read customers:read', false);

ALTER TABLE users ADD COLUMN staff_role text COLLATE "C", ADD COLUMN second_factor_at timestamptz;
COMMENT ON COLUMN users.staff_role IS 'with role ''staff'': which of roles; NULL: the one named staff';
COMMENT ON COLUMN users.second_factor_at IS 'since when log-ins ask for a code; NULL: they do not';
CREATE INDEX users_staff_role ON users (staff_role) WHERE staff_role IS NOT NULL;

CREATE TABLE audit_log (
    id uuid NOT NULL PRIMARY KEY,
    created_at timestamptz NOT NULL,
    actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'api_key', 'system')),
    actor_id uuid,
    operation text NOT NULL,
    resource_kind text COLLATE "C" NOT NULL,
    resource_id text COLLATE "C" NOT NULL,
    state_before json,
    state_after json,
    address text,
    user_agent text,
    request_id text NOT NULL
);
COMMENT ON TABLE audit_log IS 'What staff changed. Rows are only added; the sweep removes what is past its time, an erasure what was personal in them';
COMMENT ON COLUMN audit_log.id IS 'UUIDv7: in the order of the changes';
COMMENT ON COLUMN audit_log.created_at IS 'when it was changed';
COMMENT ON COLUMN audit_log.actor_kind IS 'user, api_key or system: who did it';
COMMENT ON COLUMN audit_log.actor_id IS 'of the user or the key; NULL: system';
COMMENT ON COLUMN audit_log.operation IS 'productUpdate: the contract''s operationId';
COMMENT ON COLUMN audit_log.resource_kind IS 'product, order, user, role, settings, ...';
COMMENT ON COLUMN audit_log.resource_id IS 'its id or name';
COMMENT ON COLUMN audit_log.state_before IS 'JSON, without secrets; NULL: there was none, or it was erased';
COMMENT ON COLUMN audit_log.state_after IS 'JSON, without secrets; NULL: there is none, or it was erased';
COMMENT ON COLUMN audit_log.address IS 'of the client';
COMMENT ON COLUMN audit_log.user_agent IS 'of the client, as it says; NULL: it does not';
COMMENT ON COLUMN audit_log.request_id IS 'X-Request-Id';
CREATE INDEX audit_log_actor ON audit_log (actor_id, id);
CREATE INDEX audit_log_resource ON audit_log (resource_kind, resource_id, id);

ALTER TABLE sessions ADD COLUMN address text, ADD COLUMN user_agent text;
COMMENT ON COLUMN sessions.address IS 'of the client that logged in; NULL: not known';
COMMENT ON COLUMN sessions.user_agent IS 'of the client that logged in; NULL: not known';

ALTER TABLE idempotency_records ADD COLUMN subject_id uuid;
COMMENT ON COLUMN idempotency_records.subject_id IS 'of users: whose personal data the reply may hold, so that an erasure finds it; NULL: nobody''s';
CREATE INDEX idempotency_records_subject ON idempotency_records (subject_id) WHERE subject_id IS NOT NULL;

CREATE TABLE attempt_counters (
    key bytea NOT NULL PRIMARY KEY,
    count bigint NOT NULL,
    window_ends_at timestamptz NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05); -- every row is updated and deleted within the day
COMMENT ON TABLE attempt_counters IS 'Failed log-ins and the like, counted until a window ends: by account, by account and network, by device';
COMMENT ON COLUMN attempt_counters.key IS 'a keyed hash of what is counted: no address and no e-mail stands here';
COMMENT ON COLUMN attempt_counters.count IS 'so far in this window';
COMMENT ON COLUMN attempt_counters.window_ends_at IS 'from then on it counts as 0';
CREATE INDEX attempt_counters_window ON attempt_counters (window_ends_at);

CREATE TABLE second_factors (
    user_id uuid NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz
);
COMMENT ON TABLE second_factors IS 'Time-based one-time passwords (RFC 6238)';
COMMENT ON COLUMN second_factors.user_id IS 'of the account';
COMMENT ON COLUMN second_factors.sealed_secret IS 'encrypted under SOUK_SECRET';
COMMENT ON COLUMN second_factors.last_step IS 'the time step of the newest code that was used: each is good once';
COMMENT ON COLUMN second_factors.created_at IS 'when it was enrolled';
COMMENT ON COLUMN second_factors.confirmed_at IS 'NULL: enrolled, not yet proved by a code';

CREATE TABLE recovery_codes (
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (user_id, code_hash)
);
COMMENT ON TABLE recovery_codes IS 'What stands in for a one-time password when the device is lost';
COMMENT ON COLUMN recovery_codes.user_id IS 'of the account';
COMMENT ON COLUMN recovery_codes.code_hash IS 'HMAC-SHA256 under a key of SOUK_SECRET';
COMMENT ON COLUMN recovery_codes.created_at IS 'when it was made';
COMMENT ON COLUMN recovery_codes.used_at IS 'single use';

CREATE TABLE login_challenges (
    token_hash bytea NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_cookie boolean NOT NULL,
    cart_id uuid,
    attempts bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05); -- every row is updated and deleted within the day
COMMENT ON TABLE login_challenges IS 'Log-ins whose password was right and whose code is still to come';
COMMENT ON COLUMN login_challenges.token_hash IS 'SHA-256 of the token that the client holds';
COMMENT ON COLUMN login_challenges.user_id IS 'who logs in';
COMMENT ON COLUMN login_challenges.is_cookie IS 'how the session was asked for';
COMMENT ON COLUMN login_challenges.cart_id IS 'the guest''s cart to take along';
COMMENT ON COLUMN login_challenges.attempts IS 'wrong codes so far';
COMMENT ON COLUMN login_challenges.created_at IS 'when the password was right';
COMMENT ON COLUMN login_challenges.expires_at IS 'then the password is asked again';
COMMENT ON COLUMN login_challenges.used_at IS 'single use';
CREATE INDEX login_challenges_user ON login_challenges (user_id);
CREATE INDEX login_challenges_expiry ON login_challenges (expires_at);
