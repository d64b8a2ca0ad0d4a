ALTER TABLE realms DROP COLUMN spiffe_prefixes;
