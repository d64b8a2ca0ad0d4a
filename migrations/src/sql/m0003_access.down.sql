DROP TABLE entries;
DROP TABLE roles;
DROP TABLE permissions;
