DROP TABLE account_tokens;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE signing_keys;
DROP TABLE addresses;
DROP TABLE users;
