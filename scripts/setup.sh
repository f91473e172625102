#!/usr/bin/env bash
# setup.sh [PACKAGE...]: sees to it that the Debian packages we need, and those given, are installed, and that cargo works.
# Root gets what is missing by apt; anybody else gets the line to run. Quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    build-essential pkg-config libclang-dev                                            # to compile
    libavcodec-dev libavformat-dev libavfilter-dev libavutil-dev libswresample-dev     # linked by the converter
    postgresql rabbitmq-server                                                         # started by `make run`
    ffmpeg curl ca-certificates                                                        # for clips in tests, and to try things
    "$@"
)

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

missing_packages() {
    local installed
    installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
        sed -n 's/^installed //p' || true)
    comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$installed")
}

install_missing() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || fail "These packages are missing. Run this, then try again:" "" "  sudo $install" ""
    echo "Installing: ${missing[*]}"
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive $install
}

check_cargo() {
    command -v cargo >/dev/null || fail "Rust is missing. Install it from https://rustup.rs and open a new shell."
    local toolchain
    toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    cargo --version >/dev/null 2>&1 || fail "Rust $toolchain is missing. Run this, then try again:" "" \
        "  rustup toolchain install $toolchain --profile minimal --component clippy,rustfmt" ""
}

command -v dpkg-query >/dev/null || fail "This is not a Debian system. Install what these Debian packages hold: ${packages[*]}"
install_missing
check_cargo
