-- What is asked while a realm is locked: who of an organization holds a role or a pattern there and on what, and whom
-- somebody leads.
-- With the realm first, which every query names: SQLite would else read a whole realm by another index of it.
CREATE INDEX entries_place ON entries (realm_id, organization_id, role_id, pattern, principal_id, resource_id);
DROP INDEX users_manager;
CREATE INDEX users_manager ON users (realm_id, manager_id, id);
