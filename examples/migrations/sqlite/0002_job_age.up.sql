-- SQLite adds no column whose default is computed: the table is made anew. Jobs that are there already count from now on.
CREATE TABLE jobs_with_age (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    category TEXT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    enqueued_at BIGINT NOT NULL DEFAULT (unixepoch())
);
INSERT INTO jobs_with_age (id, tenant, category, attempts, error) SELECT id, tenant, category, attempts, error FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_with_age RENAME TO jobs;
