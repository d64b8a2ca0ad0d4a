-- Deleted roles and service accounts keep their row: what refers to it goes in its own time, or stays for the log.
ALTER TABLE roles ADD COLUMN deleted_at bigint;
CREATE INDEX roles_deleted ON roles (deleted_at) WHERE deleted_at IS NOT NULL;
ALTER TABLE service_accounts ADD COLUMN deleted_at bigint;
CREATE INDEX service_accounts_page ON service_accounts (realm_id, id);
CREATE INDEX service_accounts_organization ON service_accounts (organization_id, id);
CREATE INDEX api_keys_page ON api_keys (service_account_id, id);
CREATE INDEX entries_page ON entries (realm_id, id);
CREATE INDEX entries_role_page ON entries (realm_id, role_id, id);
CREATE INDEX entries_organization_page ON entries (organization_id, id);
CREATE INDEX entries_realm_wide ON entries (realm_id, id) WHERE organization_id IS NULL;
CREATE INDEX entries_grants ON entries (realm_id, id) WHERE role_id IS NULL;
CREATE INDEX entries_resource ON entries (realm_id, resource_type, resource_id, id) WHERE resource_id IS NOT NULL;
