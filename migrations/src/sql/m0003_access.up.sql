CREATE TABLE permissions (
    realm_id uuid NOT NULL REFERENCES realms (id),
    name text NOT NULL,
    title text NOT NULL,
    section text NOT NULL,
    protected boolean NOT NULL,
    retired_at bigint,
    created_at bigint NOT NULL,
    PRIMARY KEY (realm_id, name)
);

CREATE TABLE roles (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    name text NOT NULL,
    title text NOT NULL,
    definition text NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT roles_name UNIQUE (realm_id, name)
);

CREATE TABLE entries (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    principal_id uuid NOT NULL,
    role_id uuid REFERENCES roles (id),
    pattern text,
    reach text,
    organization_id uuid REFERENCES organizations (id),
    resource_type text,
    resource_id text,
    not_before bigint,
    expires_at bigint,
    source text NOT NULL,
    created_at bigint NOT NULL,
    created_by uuid
);
-- With the realm, which every query names: SQLite would else read a whole realm by entries_role.
CREATE INDEX entries_principal ON entries (principal_id, realm_id);
CREATE INDEX entries_role ON entries (realm_id, role_id, organization_id, principal_id);
CREATE INDEX entries_organization ON entries (organization_id, principal_id);
