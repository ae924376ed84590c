#!/usr/bin/env bash
# Writes what the binary is built from as a CycloneDX document: crates, and the C libraries inside
# them with the versions of their sources. Needs no network once crates are fetched.
#
#   deploy/sbom.sh driftline.cdx.json
set -euo pipefail

[[ $# -eq 1 ]] || { echo "usage: deploy/sbom.sh FILE" >&2; exit 78; }
FILE="$(realpath -m "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DRIFTLINE_SBOM="$FILE" cargo test --quiet --locked --test supply_chain the_list_names >/dev/null
echo "wrote $FILE"
