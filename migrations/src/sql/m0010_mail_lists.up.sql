CREATE INDEX outbox_realm ON outbox (realm_id, id);
CREATE INDEX outbox_waiting ON outbox (realm_id, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (realm_id, id) WHERE next_attempt_at IS NULL AND delivered_at IS NULL;
CREATE INDEX outbox_template ON outbox (realm_id, template, id);
CREATE INDEX outbox_user ON outbox (user_id, id);
CREATE INDEX outbox_recipient ON outbox (recipient, id);
