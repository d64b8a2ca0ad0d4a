CREATE TABLE organizations (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    slug text NOT NULL,
    title text NOT NULL,
    kind text NOT NULL,
    suspended boolean NOT NULL,
    founded_at bigint,
    entitlements text NOT NULL,
    contacts text NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    registered_by uuid,
    CONSTRAINT organizations_slug UNIQUE (realm_id, slug)
);

CREATE TABLE identifiers (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    realm_id uuid NOT NULL REFERENCES realms (id),
    scheme text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (organization_id, scheme, value)
);
CREATE INDEX identifiers_value ON identifiers (realm_id, scheme, value);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    email text NOT NULL,
    identity text NOT NULL,
    display_name text NOT NULL,
    search text NOT NULL,
    approval text NOT NULL,
    approval_at bigint,
    approval_by uuid,
    approval_note text,
    verified_at bigint,
    verified_how text,
    deleted_at bigint,
    deleted_by uuid,
    valid_from bigint,
    valid_until bigint,
    password_hash text,
    password_set_at bigint,
    password_must_change boolean NOT NULL,
    session_epoch bigint NOT NULL,
    manager_id uuid REFERENCES users (id),
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    last_sign_in_at bigint
);
CREATE UNIQUE INDEX users_identity ON users (realm_id, identity) WHERE deleted_at IS NULL;
CREATE INDEX users_page ON users (realm_id, id);
CREATE INDEX users_manager ON users (manager_id);
CREATE INDEX users_approval ON users (realm_id, approval, id);

CREATE TABLE holds (
    user_id uuid NOT NULL REFERENCES users (id),
    realm_id uuid NOT NULL REFERENCES realms (id),
    cause text NOT NULL,
    at bigint NOT NULL,
    set_by uuid,
    note text,
    PRIMARY KEY (user_id, cause)
);

CREATE TABLE memberships (
    user_id uuid NOT NULL REFERENCES users (id),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    realm_id uuid NOT NULL REFERENCES realms (id),
    state text NOT NULL,
    attributes text NOT NULL,
    created_at bigint NOT NULL,
    decided_at bigint,
    decided_by uuid,
    codes text,
    PRIMARY KEY (user_id, organization_id)
);
CREATE INDEX memberships_organization ON memberships (organization_id, state, user_id);

CREATE TABLE service_accounts (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    organization_id uuid REFERENCES organizations (id),
    name text NOT NULL,
    title text NOT NULL,
    spiffe_id text,
    disabled_at bigint,
    created_at bigint NOT NULL,
    created_by uuid,
    version bigint NOT NULL,
    CONSTRAINT service_accounts_name UNIQUE (realm_id, name)
);
CREATE UNIQUE INDEX service_accounts_spiffe ON service_accounts (spiffe_id) WHERE spiffe_id IS NOT NULL;

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    service_account_id uuid NOT NULL REFERENCES service_accounts (id),
    secret_hash bytea NOT NULL,
    title text NOT NULL,
    created_at bigint NOT NULL,
    created_by uuid,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);
CREATE UNIQUE INDEX api_keys_secret ON api_keys (secret_hash);
CREATE INDEX api_keys_account ON api_keys (service_account_id);

CREATE TABLE codes (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    user_id uuid NOT NULL REFERENCES users (id),
    purpose text NOT NULL,
    address text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    spent_at bigint
);
CREATE INDEX codes_user ON codes (user_id, purpose);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    user_id uuid NOT NULL REFERENCES users (id),
    client_id text NOT NULL,
    epoch bigint NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at bigint
);
CREATE INDEX sessions_user ON sessions (user_id, ended_at);

CREATE TABLE tombstones (
    realm_id uuid NOT NULL REFERENCES realms (id),
    digest bytea NOT NULL,
    user_id uuid NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (realm_id, digest)
);
