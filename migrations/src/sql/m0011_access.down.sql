DROP INDEX entries_resource;
DROP INDEX entries_grants;
DROP INDEX entries_realm_wide;
DROP INDEX entries_organization_page;
DROP INDEX entries_role_page;
DROP INDEX entries_page;
DROP INDEX api_keys_page;
DROP INDEX service_accounts_organization;
DROP INDEX service_accounts_page;
-- Whoever does not know that it was deleted finds it disabled.
UPDATE service_accounts SET disabled_at = deleted_at WHERE deleted_at IS NOT NULL;
ALTER TABLE service_accounts DROP COLUMN deleted_at;
DELETE FROM entries WHERE role_id IN (SELECT id FROM roles WHERE deleted_at IS NOT NULL);
DELETE FROM roles WHERE deleted_at IS NOT NULL;
DROP INDEX roles_deleted;
ALTER TABLE roles DROP COLUMN deleted_at;
