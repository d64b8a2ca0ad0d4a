DROP INDEX memberships_page;
DROP INDEX organizations_suspended;
DROP INDEX organizations_kind;
DROP INDEX organizations_page;
ALTER TABLE organizations DROP COLUMN search;
