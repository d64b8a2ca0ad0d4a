DROP INDEX holders_resource;
DROP INDEX holders_pattern;
DROP INDEX holders_realm_wide;
DROP INDEX entries_role;
CREATE INDEX entries_role ON entries (realm_id, role_id, organization_id, principal_id);
