#!/usr/bin/env bash
# Q4: the link cut before and after every flush, the writer killed and replayed with its ledger, a lagging replica promoted.
# Controls: at-least-once delivery on the same cuts; the transaction id asked for without its timeline.
exec "$(dirname "$0")/query-truth.sh" q4
