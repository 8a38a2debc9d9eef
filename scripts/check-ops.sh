#!/usr/bin/env bash
# Every check of what runs the service, the heavy ones too; about half an hour, most of it one static build. Needs root for images (chroot) and for what is missing.
# Usage: scripts/check-ops.sh [OPTION OF scripts/verify.sh …]
# Exit status: that of the first that fails.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

scripts/check-alerts.sh
scripts/check-dashboards.sh
scripts/check-collector.sh
scripts/check-hpa.sh
scripts/terraform.sh check
step "a release, rehearsed"
scripts/release.sh --dry-run "$(awk '/^\[workspace.package\]/ { inside = 1 } inside && /^version = / { gsub(/"/, "", $3); print $3; exit }' Cargo.toml)"
scripts/check-policy.sh
scripts/check-consumer.sh
scripts/check-make.sh
scripts/observe.sh --check
scripts/verify.sh ops "$@"
