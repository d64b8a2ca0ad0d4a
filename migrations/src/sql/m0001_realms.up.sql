CREATE TABLE meta (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE realms (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    title text NOT NULL,
    platform boolean NOT NULL,
    suspended boolean NOT NULL,
    policy text NOT NULL,
    revision bigint NOT NULL,
    mark bigint NOT NULL,
    catalogue_revision bigint NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE changes (
    realm_id uuid NOT NULL REFERENCES realms (id),
    revision bigint NOT NULL,
    key text NOT NULL,
    mark bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (realm_id, revision, key)
);

CREATE TABLE signing_keys (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    public_key bytea NOT NULL,
    sealed_key bytea NOT NULL,
    created_at bigint NOT NULL,
    retired_at bigint
);
CREATE INDEX signing_keys_realm ON signing_keys (realm_id);
