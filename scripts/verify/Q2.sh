#!/usr/bin/env bash
# Q2: rows a second into SQLite beside sqlite3 .import with equal pragmas, interleaved; 64 writers and 8 readers of one file.
# Control: a transaction a row, held to the same target.
exec "$(dirname "$0")/query-truth.sh" q2
