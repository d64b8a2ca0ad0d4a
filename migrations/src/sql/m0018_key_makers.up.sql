-- The keys that somebody made, as ListApiKeys pages them and as BlockUser and DeleteUser list them.
CREATE INDEX api_keys_made ON api_keys (created_by, id);
