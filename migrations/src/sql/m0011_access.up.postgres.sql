
CREATE INDEX service_accounts_search ON service_accounts USING gin (name gin_trgm_ops);
