-- Where a line is in the order in which lines are followed; absent until it is placed there, once it is committed.
ALTER TABLE audit ADD COLUMN position bigint;
CREATE INDEX audit_unplaced ON audit (sequence) WHERE position IS NULL;
CREATE INDEX audit_followed ON audit (realm_id, position) WHERE position IS NOT NULL;
-- In the order in which lines are listed, for each thing that they are listed by.
DROP INDEX audit_realm;
CREATE INDEX audit_realm ON audit (realm_id, at, sequence);
DROP INDEX audit_organization;
CREATE INDEX audit_organization ON audit (realm_id, organization_id, at, sequence);
DROP INDEX audit_actor;
CREATE INDEX audit_actor ON audit (realm_id, actor_id, at, sequence);
DROP INDEX audit_target;
CREATE INDEX audit_target ON audit (realm_id, target_id, at, sequence);
CREATE INDEX audit_action ON audit (realm_id, action, at, sequence);
CREATE INDEX audit_age ON audit (at);
