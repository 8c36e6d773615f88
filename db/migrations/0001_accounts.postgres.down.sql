DROP TABLE account_tokens;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE signing_keys;
DROP TABLE addresses;
DROP TABLE users;

-- Not where others have it, or use it.
DO $$
BEGIN
    DROP EXTENSION IF EXISTS pg_trgm;
EXCEPTION
    WHEN insufficient_privilege OR dependent_objects_still_exist THEN NULL;
END
$$;
