DROP INDEX api_keys_made;
