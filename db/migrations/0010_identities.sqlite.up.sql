-- Who an identity provider's users are here. A row is made at the first log-in.

CREATE TABLE identities (
    issuer TEXT NOT NULL,                   -- iss of its tokens
    subject TEXT NOT NULL,                  -- sub of its tokens: the provider's own id of the user
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE, -- the account it logs in to
    groups_at INTEGER NOT NULL,             -- iat of the newest token whose groups were looked at; older ones give no role
    valid_from INTEGER,                     -- tokens that were issued before count no more; NULL: none was ended
    created_at INTEGER NOT NULL,            -- when it first logged in
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX identities_user ON identities (user_id);
