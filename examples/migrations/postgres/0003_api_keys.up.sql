-- Two places an owner, so that a new key is valid beside the old one; the index holds it, whoever asks at once.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,             -- '' for administrators
    place SMALLINT NOT NULL CHECK (place BETWEEN 1 AND 2),
    digest TEXT NOT NULL,             -- SHA-256 in hexadecimal: the key itself is kept nowhere
    issued_at BIGINT NOT NULL DEFAULT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT),
    revoked BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE UNIQUE INDEX api_keys_valid ON api_keys (tenant, place) WHERE NOT revoked;
