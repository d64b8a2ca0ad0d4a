-- Who holds what, in the order of the holders: a list of them is read from where it left off, and sorts nothing.
DROP INDEX entries_role;
CREATE INDEX entries_role ON entries (realm_id, role_id, principal_id);
CREATE INDEX holders_realm_wide ON entries (realm_id, role_id, principal_id) WHERE organization_id IS NULL;
CREATE INDEX holders_pattern ON entries (realm_id, pattern, principal_id) WHERE pattern IS NOT NULL;
CREATE INDEX holders_resource ON entries (realm_id, resource_type, resource_id, principal_id) WHERE resource_type IS NOT NULL;
