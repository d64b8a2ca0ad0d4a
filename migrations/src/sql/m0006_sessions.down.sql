DROP INDEX sessions_expiry;
DROP INDEX sessions_live;
ALTER TABLE sessions DROP COLUMN token_hash;
ALTER TABLE sessions DROP COLUMN rotated_at;
ALTER TABLE sessions DROP COLUMN generation;
