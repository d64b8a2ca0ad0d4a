DROP INDEX outbox_delivered;
DROP INDEX memberships_undecided;
DROP INDEX users_undecided;
DROP INDEX users_unerased;
DROP INDEX users_deleted;
DROP INDEX tombstones_user;
DROP TABLE tombstone_keys;
