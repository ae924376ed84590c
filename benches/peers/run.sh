#!/usr/bin/env bash
# Driftline beside a Python consumer with whylogs or datasketches, on one topic and one machine.
#
#   benches/peers/run.sh
#
# Needs a broker (deploy/local/kafka.sh up kafka) and Python 3.11 with venv. Prints records by CPU
# second, all threads of the process counted, the best of ROUNDS (3): what else runs on the machine
# only makes a process look slower. Both read the same topic from its beginning and profile all
# fields by producer and schema version: Driftline all RECORDS (3,000,000), Python the first
# PEER_RECORDS (500,000) of them. Driftline also commits what it has counted in transactions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export DRIFTLINE_TEST_KAFKA="${DRIFTLINE_TEST_KAFKA:-127.0.0.1:29092}"
export RECORDS="${RECORDS:-3000000}" ROUNDS="${ROUNDS:-3}" FIELDS=all
PEER_RECORDS="${PEER_RECORDS:-500000}"
VENV="${PEERS_VENV:-target/peers-venv}"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

[[ -x "$VENV/bin/python" ]] || python3 -m venv "$VENV"
"$VENV/bin/pip" install --quiet --requirement benches/peers/requirements.txt

consume() { cargo bench --quiet --locked --bench consume; }

if [[ -z "${TOPIC:-}" ]]; then
  export TOPIC="bench-peers-$(date +%s)"
  FILL=1 consume >/dev/null
fi
# Ids are those of a registry that starts empty: the same in every run.
SCHEMAS=(--schema 1=schemas/demo/order-v12.avsc --schema 2=schemas/demo/order-v13.avsc)

consume | tee "$WORK/driftline" >&2
for ((round = 0; round < ROUNDS; round++)); do
  for tool in nothing whylogs datasketches; do
    "$VENV/bin/python" benches/peers/profile.py --brokers "$DRIFTLINE_TEST_KAFKA" \
      --topic "$TOPIC" --tool "$tool" --records "$PEER_RECORDS" "${SCHEMAS[@]}" |
      tee -a "$WORK/peers" >&2
  done
done

"$VENV/bin/python" - "$WORK/driftline" "$WORK/peers" <<'PYTHON'
import json, re, sys

microseconds = [float(x) for x in re.findall(r"observe\s+\d+/s ([\d.]+) us", open(sys.argv[1]).read())]
rows = {}
for line in map(json.loads, open(sys.argv[2])):
    rows.setdefault((line["tool"], line["versions"]), []).append(line["records"] / line["cpu_s"])
ours = [1e6 / x for x in microseconds]
print("| profiled by | records by CPU second, best of runs (all) | Driftline is |\n|---|---|---|")
print(f"| driftline | {max(ours):,.0f} ({', '.join(f'{x:,.0f}' for x in ours)}) | |")
for (tool, versions), rates in rows.items():
    every = ", ".join(f"{x:,.0f}" for x in rates)
    print(f"| {tool} ({versions}) | {max(rates):,.0f} ({every}) | {max(ours) / max(rates):.1f} x |")
PYTHON
