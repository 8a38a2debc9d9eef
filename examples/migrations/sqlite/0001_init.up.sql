CREATE TABLE factors (
    tenant TEXT NOT NULL,             -- '' for the published defaults
    category TEXT NOT NULL,
    unit TEXT NOT NULL,
    numerator BIGINT NOT NULL CHECK (numerator >= 0),     -- kg CO2e a unit is numerator / denominator
    denominator BIGINT NOT NULL CHECK (denominator > 0),
    scope SMALLINT NOT NULL CHECK (scope BETWEEN 1 AND 3),
    in_totals BOOLEAN NOT NULL,
    source TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, category)
) WITHOUT ROWID;

CREATE TABLE activities (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    category TEXT NOT NULL,
    unit TEXT NOT NULL,
    quantity_millionths BIGINT NOT NULL,
    year SMALLINT NOT NULL,
    month SMALLINT NOT NULL CHECK (month BETWEEN 0 AND 12), -- 0: only the year is known
    adjustment BOOLEAN NOT NULL,
    scope SMALLINT NOT NULL,
    in_totals BOOLEAN NOT NULL,
    co2e_grams BIGINT NOT NULL,
    factor_version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    category TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    error TEXT
);
