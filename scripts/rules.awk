# What rules and their tests hold, a fact a line, tab-separated, with the place it stands at:
#   alert FILE LINE NAME SEVERITY SUMMARY RUNBOOK · record FILE LINE NAME · metric FILE LINE RULE NAME · label FILE LINE RULE NAME LABEL · fires|silent FILE LINE ALERT
# Of a page of the runbook, the lines of its ```promql blocks: metric and label as above, with the rule "-", and query FILE LINE QUERY.
# Usage: awk -f scripts/rules.awk RULES-OR-TESTS.yml … PAGE.md …
# Reads YAML as it is written here: a key a line, an expression beside its `expr:` or below `expr: |`.
BEGIN { OFS = "\t" }

function value(line) { sub(/^[^:]*: */, "", line); gsub(/^["']|["']$/, "", line); return line }
function or_none(text) { return text == "" ? "-" : text }

function flush_test() {
  if (tested != "") print (fires ? "fires" : "silent"), file, tested_at, tested
  tested = ""
  fires = 0
}

function flush() {
  if (kind == "alert") print "alert", file, at, name, or_none(severity), or_none(summary), or_none(runbook)
  if (kind == "record") print "record", file, at, name
  flush_test()
  kind = name = severity = summary = runbook = ""
  in_expr = 0
}

# The labels that a line of PromQL picks series by, each with the name of its metric.
function labels(line,   selector, name_of, each, n, i) {
  gsub(/"[^"]*"/, "", line)
  while (match(line, /[a-zA-Z_:][a-zA-Z0-9_:]*\{[^}]*\}/)) {
    selector = substr(line, RSTART, RLENGTH - 1)
    line = substr(line, RSTART + RLENGTH)
    name_of = selector
    sub(/\{.*/, "", name_of); sub(/[^{]*\{/, "", selector)
    n = split(selector, each, ",")
    for (i = 1; i <= n; i++) if (match(each[i], /[a-zA-Z_][a-zA-Z0-9_]*/)) print "label", file, FNR, name, name_of, substr(each[i], RSTART, RLENGTH)
  }
}

# The names of metrics in a line of PromQL: what remains of it without strings, matchers, ranges, label lists and functions.
function metrics(line,   word) {
  sub(/(^| )#.*/, "", line)
  labels(line)
  gsub(/"[^"]*"/, "", line); gsub(/\{[^}]*\}/, "", line); gsub(/\[[^\]]*\]/, "", line)
  gsub(/(by|without|on|ignoring|group_left|group_right) *\([^)]*\)/, "", line)
  gsub(/offset +-?[0-9]+[a-z]+/, "", line); gsub(/[0-9.]+[eE][-+]?[0-9]+/, "", line)
  while (match(line, /[a-zA-Z_:][a-zA-Z0-9_:]*/)) {
    word = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    if (line ~ /^ *\(/ || word ~ /^(and|or|unless|bool|by|without|on|ignoring|group_left|group_right|Inf|NaN)$/) continue
    print "metric", file, FNR, name, word
  }
}

FNR == 1 { flush(); file = FILENAME; page = file ~ /[.]md$/; in_block = 0 }
page && /^```/ { in_block = /^```promql/; next }
page && in_block { name = "-"; metrics($0); print "query", file, FNR, $0 }
page { next }
/^ *- (alert|record|name): / { flush() }
/^ *- (alert|record): / { kind = $2; sub(/:$/, "", kind); name = value($0); at = FNR; next }
/^ *expr: [|>]/ { in_expr = 1; match($0, /[^ ]/); depth = RSTART; next }
/^ *expr: / { metrics(value($0)); next }
in_expr && match($0, /[^ ]/) { if (RSTART > depth) { metrics($0); next } in_expr = 0 }
/^ *severity: / { severity = value($0) }
/^ *summary: / && kind != "" { summary = value($0) }
/^ *runbook_url: / && kind != "" { runbook = value($0) }
/^ *(- )?alertname: / { flush_test(); tested = value($0); tested_at = FNR }
/^ *- exp_labels: / { fires = 1 }
END { flush() }
