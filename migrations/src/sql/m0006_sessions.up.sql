-- How often a session's refresh token was exchanged, when last, and the SHA-256 of the newest one: NULL where a release
-- before this one began the session, which has no such token.
ALTER TABLE sessions ADD COLUMN generation bigint NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN rotated_at bigint;
ALTER TABLE sessions ADD COLUMN token_hash bytea;
CREATE INDEX sessions_live ON sessions (user_id, id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);
