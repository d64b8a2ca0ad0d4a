DROP INDEX entries_resource;
DROP INDEX entries_pattern;
DROP INDEX entries_realm_wide;
DROP INDEX entries_role;
CREATE INDEX entries_role ON entries (realm_id, role_id, organization_id, principal_id);
