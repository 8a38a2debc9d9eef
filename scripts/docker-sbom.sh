#!/usr/bin/env bash
# Prints what is in the server's executable, as CycloneDX 1.5: each crate with version, licence and package URL, from cargo's own tree. The same lock file
# gives the same text.
# Usage: scripts/docker-sbom.sh
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

cargo tree --quiet --locked -p offgridflow --edges normal --prefix none --no-dedupe --format '{p}	{l}' | sort -u | awk -F '\t' '
  { split($1, part, " "); name = part[1]; version = substr(part[2], 2); own = index($1, "(/") > 0 }
  name == "offgridflow" { root = version; next }
  {
    purl = own ? "" : sprintf(",\n      \"purl\": \"pkg:cargo/%s@%s\"", name, version)
    licence = $2 == "" ? "" : sprintf(",\n      \"licenses\": [{ \"expression\": \"%s\" }]", $2)
    gsub(/\//, " OR ", licence)
    all = all sprintf("%s\n    {\n      \"type\": \"library\",\n      \"name\": \"%s\",\n      \"version\": \"%s\"%s%s\n    }", all == "" ? "" : ",", name, version, purl, licence)
  }
  END {
    printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n"
    printf "  \"metadata\": { \"component\": { \"type\": \"application\", \"name\": \"offgridflow\", \"version\": \"%s\" } },\n", root
    printf "  \"components\": [%s\n  ]\n}\n", all
  }'
