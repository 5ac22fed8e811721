#!/usr/bin/env bash
# Checks that the tools which set-up starts from are there and new enough: one line for each that is not, exit status 1.
# Reads nothing from the network and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

faults=0
fault() { # tool, what is wrong, what to install on Debian, on macOS
    printf '%s: %s. Install: Debian  %s  |  macOS  %s\n' "$1" "$2" "$3" "$4" >&2
    faults=$((faults + 1))
}

at_least() { # version, minimum
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$2" ]
}

number_in() { # the first dotted number in the text
    grep -oE '[0-9]+(\.[0-9]+)*' <<<"$1" | head -n 1
}

need() { # tool, minimum version ("" = any), command that prints the version, Debian, macOS
    local tool=$1 minimum=$2 version_command=$3 printed
    if ! command -v "$tool" >/dev/null; then
        fault "$tool" "not found" "$4" "$5"
    elif [ -n "$minimum" ]; then
        if ! printed=$($version_command 2>&1); then
            fault "$tool" "'$version_command' failed: $(head -n 1 <<<"$printed")" "$4" "$5"
        elif ! at_least "$(number_in "$printed")" "$minimum"; then
            fault "$tool" "version $(number_in "$printed") is too old, $minimum or newer is needed" "$4" "$5"
        fi
    fi
}

rust=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
rustup="https://rustup.rs, then 'rustup update stable'"
need cargo "$rust" "cargo --version" "$rustup" "$rustup"
need rustc "$rust" "rustc --version" "$rustup" "$rustup"
need cc "" "" "apt install build-essential" "xcode-select --install"
need c++ "" "" "apt install build-essential" "xcode-select --install" # librdkafka, of producer and event source
need make "" "" "apt install make" "xcode-select --install"
need curl "" "" "apt install curl" "brew install curl"
need git "" "" "apt install git" "xcode-select --install"
need python3.11 "3.11" "python3.11 --version" "apt install python3.11 python3.11-venv" "brew install python@3.11"
need node "20.19" "node --version" "apt install nodejs (20.19 or newer)" "brew install node@20"
need npm "" "" "apt install npm" "brew install node@20"
need java "17" "java -version" "apt install openjdk-17-jdk-headless" "brew install openjdk@17"
need mvn "" "" "apt install maven" "brew install maven"

if command -v python3.11 >/dev/null && ! python3.11 -c 'import ensurepip, venv' 2>/dev/null; then
    fault "python3.11" "its venv module is missing" "apt install python3.11-venv" "brew reinstall python@3.11"
fi

if [ "$faults" -gt 0 ]; then
    echo "$faults prerequisite(s) missing; nothing was changed." >&2
    exit 1
fi
