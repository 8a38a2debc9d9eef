-- By the database's own clock, so that nobody compares two machines'. Jobs that are there already count from now on.
ALTER TABLE jobs ADD COLUMN enqueued_at BIGINT NOT NULL DEFAULT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS BIGINT);
