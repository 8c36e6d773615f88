-- Who an identity provider's users are here. A row is made at the first log-in.

CREATE TABLE identities (
    issuer text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    groups_at timestamptz NOT NULL,
    valid_from timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE identities IS 'Who an identity provider''s users are here';
COMMENT ON COLUMN identities.issuer IS 'iss of its tokens';
COMMENT ON COLUMN identities.subject IS 'sub of its tokens: the provider''s own id of the user';
COMMENT ON COLUMN identities.user_id IS 'the account it logs in to';
COMMENT ON COLUMN identities.groups_at IS 'iat of the newest token whose groups were looked at; older ones give no role';
COMMENT ON COLUMN identities.valid_from IS 'tokens that were issued before count no more; NULL: none was ended';
COMMENT ON COLUMN identities.created_at IS 'when it first logged in';
CREATE INDEX identities_user ON identities (user_id);
