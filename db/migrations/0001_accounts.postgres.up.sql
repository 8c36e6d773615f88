-- Accounts: who may log in, where they live, and the keys and tokens that prove it.

-- Likeness of words by their trigrams: for the search of accounts here, for typing errors in the search of products (0002). The
-- extension is a trusted one: who may create objects in the database (the database's owner; or GRANT CREATE ON DATABASE) may create
-- it, no superuser is needed. Where that is not wanted, a superuser creates it beforehand and this line does nothing.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE users (
    id uuid NOT NULL PRIMARY KEY,
    email text NOT NULL,
    email_folded text COLLATE "C" NOT NULL,
    password_hash text,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    name_sort text COLLATE "C" NOT NULL DEFAULT '',
    phone text,
    role text NOT NULL DEFAULT 'customer' CHECK (role IN ('customer', 'staff', 'admin')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
    email_verified_at timestamptz,
    preferences jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_login_at timestamptz,
    deleted_at timestamptz
);
COMMENT ON TABLE users IS 'Accounts: who may log in';
COMMENT ON COLUMN users.id IS 'UUIDv7';
COMMENT ON COLUMN users.email IS 'as typed, for mail';
COMMENT ON COLUMN users.email_folded IS 'lower case, for look-ups';
COMMENT ON COLUMN users.password_hash IS 'argon2id, encoded; NULL: cannot log in with a password';
COMMENT ON COLUMN users.first_name IS 'given name';
COMMENT ON COLUMN users.last_name IS 'family name';
COMMENT ON COLUMN users.name_sort IS 'last and first name, folded, for search and sort';
COMMENT ON COLUMN users.phone IS 'as typed; NULL: none';
COMMENT ON COLUMN users.role IS 'customer, staff or admin: what the account may do';
COMMENT ON COLUMN users.status IS 'active, or disabled: may not log in';
COMMENT ON COLUMN users.email_verified_at IS 'ms since 1970; NULL: not yet';
COMMENT ON COLUMN users.preferences IS 'JSON object of the user''s own choosing';
COMMENT ON COLUMN users.version IS 'rises with every edit; ETag and If-Match';
COMMENT ON COLUMN users.created_at IS 'when the account was made';
COMMENT ON COLUMN users.updated_at IS 'when it was last edited';
COMMENT ON COLUMN users.last_login_at IS 'when it last logged in; NULL: never';
COMMENT ON COLUMN users.deleted_at IS 'soft delete: orders keep pointing here';
CREATE UNIQUE INDEX users_email ON users (email_folded) WHERE deleted_at IS NULL;
-- The list of accounts by name; by age it is the primary key's (an id is time-ordered).
CREATE INDEX users_name ON users (name_sort, id) WHERE deleted_at IS NULL;
-- The beginnings of words that the search looks for, in every column it looks at: somebody who is not there is not found at once.
CREATE INDEX users_search ON users USING gin (email_folded gin_trgm_ops, name_sort gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX users_staff ON users (role, id) WHERE role <> 'customer';

CREATE TABLE addresses (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    first_name text NOT NULL,
    last_name text NOT NULL,
    company text,
    address1 text NOT NULL,
    address2 text,
    city text NOT NULL,
    province text,
    zip text NOT NULL,
    country text NOT NULL,
    phone text,
    is_default_shipping boolean NOT NULL DEFAULT FALSE,
    is_default_billing boolean NOT NULL DEFAULT FALSE,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE addresses IS 'The address book of each account';
COMMENT ON COLUMN addresses.id IS 'UUIDv7';
COMMENT ON COLUMN addresses.user_id IS 'whose address book it stands in';
COMMENT ON COLUMN addresses.first_name IS 'of who receives';
COMMENT ON COLUMN addresses.last_name IS 'of who receives';
COMMENT ON COLUMN addresses.company IS 'NULL: none';
COMMENT ON COLUMN addresses.address1 IS 'street and number';
COMMENT ON COLUMN addresses.address2 IS 'flat, floor, ...; NULL: none';
COMMENT ON COLUMN addresses.city IS 'city or town';
COMMENT ON COLUMN addresses.province IS 'state or province; NULL: none';
COMMENT ON COLUMN addresses.zip IS 'postal code';
COMMENT ON COLUMN addresses.country IS 'ISO 3166-1 alpha-2';
COMMENT ON COLUMN addresses.phone IS 'for the carrier; NULL: none';
COMMENT ON COLUMN addresses.is_default_shipping IS 'goods go here unless said otherwise; at most one of a user';
COMMENT ON COLUMN addresses.is_default_billing IS 'invoices go here unless said otherwise; at most one of a user';
COMMENT ON COLUMN addresses.version IS 'rises with every edit; ETag and If-Match';
COMMENT ON COLUMN addresses.created_at IS 'when it was added';
COMMENT ON COLUMN addresses.updated_at IS 'when it was last edited';
CREATE INDEX addresses_user ON addresses (user_id, id);

CREATE TABLE signing_keys (
    kid text COLLATE "C" NOT NULL PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    sealed_private bytea NOT NULL,
    public_jwk json NOT NULL,
    created_at timestamptz NOT NULL,
    activated_at timestamptz,
    retired_at timestamptz
);
COMMENT ON TABLE signing_keys IS 'Keys that sign access tokens, shared by all nodes';
COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 thumbprint';
COMMENT ON COLUMN signing_keys.state IS 'next: published, not used yet; active: signs (one at a time); retired: only verifies';
COMMENT ON COLUMN signing_keys.sealed_private IS 'the private key, encrypted under SOUK_SECRET';
COMMENT ON COLUMN signing_keys.public_jwk IS 'JSON, published';
COMMENT ON COLUMN signing_keys.created_at IS 'when it was made';
COMMENT ON COLUMN signing_keys.activated_at IS 'when it began to sign; NULL: not yet';
COMMENT ON COLUMN signing_keys.retired_at IS 'when it ceased to sign; NULL: not yet';
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';

CREATE TABLE sessions (
    id uuid NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_cookie boolean NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
COMMENT ON TABLE sessions IS 'Log-ins';
COMMENT ON COLUMN sessions.id IS 'UUIDv7; the claim "sid" of its access tokens';
COMMENT ON COLUMN sessions.user_id IS 'who is logged in';
COMMENT ON COLUMN sessions.is_cookie IS 'the refresh token travels in a cookie';
COMMENT ON COLUMN sessions.created_at IS 'when it was opened';
COMMENT ON COLUMN sessions.last_used_at IS 'when a token of it was last refreshed';
COMMENT ON COLUMN sessions.expires_at IS 'good until then';
COMMENT ON COLUMN sessions.revoked_at IS 'log-out, new password, changed role, or a refresh token used twice';
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    token_hash bytea NOT NULL PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
COMMENT ON TABLE refresh_tokens IS 'What a session exchanges for its next access token';
COMMENT ON COLUMN refresh_tokens.token_hash IS 'SHA-256 of the token; the token itself is never stored';
COMMENT ON COLUMN refresh_tokens.session_id IS 'whose next access token it buys';
COMMENT ON COLUMN refresh_tokens.created_at IS 'when it was given out';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'good until then';
COMMENT ON COLUMN refresh_tokens.used_at IS 'when it was exchanged for its successor';
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE account_tokens (
    token_hash bytea NOT NULL PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
COMMENT ON TABLE account_tokens IS 'Single-use tokens that are mailed';
COMMENT ON COLUMN account_tokens.token_hash IS 'SHA-256 of what was mailed';
COMMENT ON COLUMN account_tokens.user_id IS 'whose account it is about';
COMMENT ON COLUMN account_tokens.purpose IS 'verify_email or reset_password';
COMMENT ON COLUMN account_tokens.created_at IS 'when it was mailed';
COMMENT ON COLUMN account_tokens.expires_at IS 'good until then';
COMMENT ON COLUMN account_tokens.used_at IS 'single use';
CREATE INDEX account_tokens_user ON account_tokens (user_id, purpose);
CREATE INDEX account_tokens_expiry ON account_tokens (expires_at);
