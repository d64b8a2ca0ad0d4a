-- What substring search looks at: the slug, a line further the title, folded alike. What an earlier release makes while a
-- deploy rolls is found by it once it is written again.
ALTER TABLE organizations ADD COLUMN search text NOT NULL DEFAULT '';
UPDATE organizations SET search = slug || '
' || lower(title);
CREATE INDEX organizations_page ON organizations (realm_id, id);
CREATE INDEX organizations_kind ON organizations (realm_id, kind, id);
CREATE INDEX organizations_suspended ON organizations (realm_id, id) WHERE suspended;
CREATE INDEX memberships_page ON memberships (organization_id, user_id);
