CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    realm_id uuid NOT NULL REFERENCES realms (id),
    template text NOT NULL,
    recipient text NOT NULL,
    user_id uuid,
    code_id uuid REFERENCES codes (id),
    parameters text NOT NULL,
    created_at bigint NOT NULL,
    next_attempt_at bigint,
    attempts integer NOT NULL,
    delivered_at bigint,
    last_error text
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE audit (
    sequence {serial},
    id uuid NOT NULL,
    realm_id uuid NOT NULL REFERENCES realms (id),
    at bigint NOT NULL,
    organization_id uuid,
    actor_id uuid,
    impersonator_id uuid,
    action text NOT NULL,
    target_id uuid,
    outcome text NOT NULL,
    reason text,
    details text NOT NULL,
    peer text,
    request_id text,
    trace_id text
);
CREATE INDEX audit_realm ON audit (realm_id, sequence);
CREATE INDEX audit_organization ON audit (organization_id, sequence);
CREATE INDEX audit_actor ON audit (actor_id, sequence);
CREATE INDEX audit_target ON audit (target_id, sequence);

CREATE TABLE answers (
    realm_id uuid NOT NULL REFERENCES realms (id),
    actor_id uuid NOT NULL,
    rpc text NOT NULL,
    request_id text NOT NULL,
    body_digest bytea NOT NULL,
    answer text NOT NULL,
    revision bigint NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (realm_id, actor_id, rpc, request_id)
);
CREATE INDEX answers_age ON answers (created_at);
