DROP TABLE signing_keys;
DROP TABLE changes;
DROP TABLE realms;
DROP TABLE meta;
