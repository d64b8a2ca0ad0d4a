CREATE TABLE tombstone_keys (
    realm_id uuid PRIMARY KEY REFERENCES realms (id),
    sealed_key bytea NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX tombstones_user ON tombstones (user_id);

CREATE INDEX users_deleted ON users (realm_id, identity, deleted_at) WHERE deleted_at IS NOT NULL;
-- An account without an address is erased already.
CREATE INDEX users_unerased ON users (realm_id, deleted_at) WHERE deleted_at IS NOT NULL AND email <> '';
CREATE INDEX users_undecided ON users (realm_id, created_at) WHERE approval = 'Pending' AND deleted_at IS NULL;
CREATE INDEX memberships_undecided ON memberships (realm_id, created_at) WHERE state = 'Pending';
CREATE INDEX outbox_delivered ON outbox (realm_id, delivered_at) WHERE delivered_at IS NOT NULL;
