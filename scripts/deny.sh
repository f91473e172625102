#!/usr/bin/env bash
# deny.sh CARGO_DENY: checks licences, bans and sources; and known vulnerabilities when the database of them can be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo_deny=$1

"$cargo_deny" --workspace check bans licenses sources

if timeout 60 "$cargo_deny" fetch db >/dev/null 2>&1; then
    "$cargo_deny" --workspace check --disable-fetch advisories
else
    echo "ADVISORIES NOT CHECKED: the RustSec database (github.com/rustsec/advisory-db) cannot be reached from here." >&2
fi
