DROP INDEX outbox_recipient;
DROP INDEX outbox_user;
DROP INDEX outbox_template;
DROP INDEX outbox_dead;
DROP INDEX outbox_waiting;
DROP INDEX outbox_realm;
