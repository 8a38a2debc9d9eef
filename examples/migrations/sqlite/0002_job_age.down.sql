ALTER TABLE jobs DROP COLUMN enqueued_at;
