CREATE TABLE throttles (
    realm_id uuid NOT NULL REFERENCES realms (id),
    account bytea NOT NULL,
    source bytea NOT NULL,
    failures integer NOT NULL,
    next_attempt_at bigint NOT NULL,
    touched_at bigint NOT NULL,
    PRIMARY KEY (realm_id, account, source)
);
CREATE INDEX throttles_age ON throttles (touched_at);
