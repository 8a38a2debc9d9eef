#!/usr/bin/env bash
# Q3: batches with random bad rows on PostgreSQL and SQLite: the table, the classes of the rejects, every row accounted for.
# Control: one write a batch, without a search for the bad row.
exec "$(dirname "$0")/query-truth.sh" q3
