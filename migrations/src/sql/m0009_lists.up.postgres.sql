CREATE INDEX organizations_search ON organizations USING gin (search gin_trgm_ops, entitlements gin_trgm_ops);
