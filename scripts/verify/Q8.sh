#!/usr/bin/env bash
# Q8: 16 writers update overlapping rows, with one unique index and with two; tables of 1 to 1 600 columns.
# Control: the same updates by hand, in the order in which they come.
exec "$(dirname "$0")/query-truth.sh" q8
