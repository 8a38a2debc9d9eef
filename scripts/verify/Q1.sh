#!/usr/bin/env bash
# Q1: rows a second into PostgreSQL beside psql \copy in binary format, interleaved on one server, each after TRUNCATE and CHECKPOINT;
# what 100-row flushes wait for. First the ceiling: bytes encoded beforehand. Control: push_values, held to the same target.
exec "$(dirname "$0")/query-truth.sh" q1
