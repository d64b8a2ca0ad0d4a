DROP INDEX users_manager;
CREATE INDEX users_manager ON users (manager_id);
DROP INDEX entries_place;
