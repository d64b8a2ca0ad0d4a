-- The SPIFFE ids that a realm's service accounts may have: a JSON list of prefixes, given by the platform.
ALTER TABLE realms ADD COLUMN spiffe_prefixes text NOT NULL DEFAULT '[]';
