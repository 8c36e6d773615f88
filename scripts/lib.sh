# What the scripts share: where things are, how they speak, Node of our own. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
log_directory=build/log

# Node 20 or newer: the system's, or the one that scripts/setup put into build/node.
node_directory=$root/build/node/node_modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin
use_our_node() {
    [ -x "$node_directory/node" ] || return 0
    PATH=$node_directory:$PATH
    # It knows only the authorities that it was built with; Debian's Node trusts the system's.
    export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
}
use_our_node

say() { printf '%s\n' "$*"; }
# What went wrong, then what to do about it, one argument a line.
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

seconds_as_text() {
    if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# step NAME "what it does" command...: runs the command with its output in build/log/NAME.log. On a terminal shows the newest
# line and the time, elsewhere a sign of life every 30 s; of what takes no two seconds nothing is said. On failure shows the end of
# the log (step_tail lines, default 40) and returns the command's status.
step() {
    local name=$1 what=$2 started=$SECONDS status=0 next=2 took=0 pid line columns
    shift 2
    mkdir -p "$log_directory"
    local log=$log_directory/$name.log
    set -m # a process group of its own, so that Ctrl-C can end all of it
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    set +m
    # shellcheck disable=SC2064
    trap "kill -- -$pid 2>/dev/null; wait $pid 2>/dev/null; exit 130" INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        took=$((SECONDS - started))
        if [ -t 1 ]; then
            columns=$(tput cols 2>/dev/null || echo 80)
            line=$(tail -c 300 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -1 | tr -cd '[:print:]' || true)
            line="$what ... $(seconds_as_text $took)  $line"
            printf '\r\033[K%s' "${line:0:columns-1}"
        elif [ $took -ge $next ]; then
            if [ $next -eq 2 ]; then say "$what ..."; else say "  still at it after $(seconds_as_text $took)"; fi
            next=$((next == 2 ? 30 : next + 30))
        fi
        sleep 0.2
    done
    wait "$pid" || status=$?
    trap - INT TERM
    took=$((SECONDS - started))
    [ -t 1 ] && printf '\r\033[K'
    if [ "$status" -ne 0 ]; then
        say "$what: FAILED after $(seconds_as_text $took)"
        grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | tail -"${step_tail:-40}" | sed 's/^/    /'
        say "The whole output is in $log."
    elif [ $took -ge 2 ]; then
        say "$what: $(seconds_as_text $took)"
    fi
    return "$status"
}

# The value that souk will use for a setting: of the environment, else of .env, else the default given.
setting() {
    local value=${!1:-}
    if [ -z "$value" ] && [ -f .env ]; then
        value=$(sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" .env | tail -1 | sed "s/[[:space:]]*\$//; s/^\"\(.*\)\"\$/\1/; s/^'\(.*\)'\$/\1/")
    fi
    printf '%s' "${value:-$2}"
}

# Whether something listens on HOST:PORT of this machine.
port_is_taken() {
    local host=${1%:*} port=${1##*:}
    case $host in 0.0.0.0 | '*' | '') host=127.0.0.1 ;; '[::]') host=::1 ;; \[*\]) host=${host:1:-1} ;; esac
    (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

# The version of the sources, of which CMakeLists.txt is the one place.
souk_version() { sed -n 's/^project(souk VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt"; }

# What files of a release are dated with, so that the same sources give the same bytes: SOURCE_DATE_EPOCH, else the newest commit's
# time, else (sources without git) the changelog's.
source_date() {
    printf '%s' "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
}
