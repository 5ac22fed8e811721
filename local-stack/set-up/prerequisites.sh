#!/usr/bin/env bash
# Checks that the tools which set-up starts from are there and new enough, and that they can work in this directory: one line
# for each that is not so, exit status 1. Reads nothing from the network and changes nothing.
# shellcheck source=local-stack/set-up/shell.sh
. "$(dirname -- "$0")/shell.sh"
cd -- "$(dirname -- "$0")/../.."

refuse() { # what is wrong, the rule
    printf '%s; %s. Nothing was changed.\n' "$1" "$2" >&2
    exit 1
}

# A path goes into lists (of PATH, of Java's classes, of Kafka's directories), settings, URLs and patterns, each with
# characters of its own that mean something. Set-up and demo pass under a path of all that are let through here.
for path in "$PWD" "$(pwd -P)"; do
    # Bash 3.2 and macOS have no other way to look at bytes.
    odd=$(printf %s "$path" | LC_ALL=C tr -d "A-Za-z0-9/ ._+@=~()\200-\377-" | LC_ALL=C tr -c '[:print:]' '?')
    [ -z "$odd" ] || refuse "this directory's path has the character ${odd:0:1} in it (? stands for an invisible one)" \
        "letters, digits, space and ._-+@=~() work"
    printf %s "$path" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1 ||
        refuse "this directory's path is not UTF-8" "rename it, or clone elsewhere"
done
# Spark asks the system for it.
id -un >/dev/null 2>&1 || refuse "user $(id -u) has no name on this machine" "run as a user whom 'id -un' can name"

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
need mvn "" "" "apt install maven" "brew install maven"

# Spark 3.5 needs 17 here, and its Hadoop a java.lang.SecurityManager that can be allowed: Java 24 has none any more
# (https://openjdk.org/jeps/486). As Spark does, JAVA_HOME is looked at first.
need_java() { # oldest, newest, Debian, macOS
    local java version where="on the PATH"
    java=$(command -v java || true)
    if [ -n "${JAVA_HOME:-}" ]; then
        java=$JAVA_HOME/bin/java where="of JAVA_HOME"
    fi
    if [ -z "$java" ] || ! [ -x "$java" ]; then
        fault java "${java:-java} $where: not found" "$3" "$4"
        return
    fi
    # Without what the shell adds to every Java: the jobs run without it, too.
    version=$(
        unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS
        "$java" -XshowSettings:properties -version 2>&1 </dev/null | sed -n 's/^ *java\.specification\.version = //p'
    ) || true
    case $version in
    '') fault java "$java $where does not say its version" "$3" "$4" ;;
    *)
        if ! at_least "$version" "$1" || ! at_least "$2" "$version"; then
            fault java "$java $where is Java $version, $1 to $2 is needed (JAVA_HOME chooses another)" "$3" "$4"
        fi
        ;;
    esac
}
need_java 17 23 "apt install openjdk-17-jdk-headless" "brew install openjdk@17"
if [ "$faults" -eq 0 ] && ! printed=$(mvn --version 2>&1); then
    fault mvn "'mvn --version' failed: $(grep -v '^Picked up' <<<"$printed" | head -n 1)" "apt install maven" "brew install maven"
fi

if command -v python3.11 >/dev/null && ! python3.11 -c 'import ensurepip, venv' 2>/dev/null; then
    fault "python3.11" "its venv module is missing" "apt install python3.11-venv" "brew reinstall python@3.11"
fi

if [ "$faults" -gt 0 ]; then
    echo "$faults prerequisite(s) missing; nothing was changed." >&2
    exit 1
fi
