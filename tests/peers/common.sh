# shellcheck shell=bash
# Sourced by the scripts in litellm/ and model-servers/; does nothing by itself but set these:
#   CACHE  what is installed and built, kept: ${XDG_CACHE_HOME:-~/.cache}/litellm-registrar
#   WORK   what one run leaves: databases, logs, pid files. Two runs with two WORKs know nothing of each other.
set -euo pipefail
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/litellm-registrar
WORK=${WORK:-${TMPDIR:-/tmp}/litellm-registrar-$(id -u)}
HOST=${HOST:-127.0.0.1} # what servers listen on
JOBS=${JOBS:-$(nproc)}
PYTHON=${PYTHON:-python3}
export PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$CACHE"
WORK=$(realpath -m "$WORK")

say() { echo "$*" >&2; }
die() { say "error: $*"; exit 1; }

# apt_install PACKAGE...: Debian packages, without starting the services in them
apt_install() {
  [ "$(id -u)" = 0 ] || die "Debian packages are missing, and only root can install them: $*"
  say "installing Debian packages: $*"
  local guard=/usr/sbin/policy-rc.d code=0
  if [ -e "$guard" ]; then guard=; else printf '#!/bin/sh\nexit 101\n' > "$guard"; chmod +x "$guard"; fi
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2 || code=$?
  [ -z "$guard" ] || rm -f "$guard"
  [ "$code" = 0 ] || die "apt-get could not install $*"
}

# need COMMAND PACKAGE: installs a Debian package where the command is missing
need() { command -v "$1" > /dev/null || apt_install "$2"; }

# lock NAME: one build of NAME at a time; held until the script ends
lock() { exec 9> "$CACHE/$1.lock"; flock 9; }

# make_venv DIR: a virtual environment of its own, independent of any that is active
make_venv() {
  [ ! -x "$1/bin/pip" ] || return 0
  "$PYTHON" -m venv "$1" 2> /dev/null || { apt_install python3-venv; "$PYTHON" -m venv --clear "$1"; }
}

# ---- processes. One is known by a name; WORK/run/NAME.{pid,start,cmd,log} belong to it. A pid counts only together
# ---- with its start time, so that a number the kernel has given away again is never killed.

# started PID: when the process was started (clock ticks since boot); nothing if it is gone or a zombie
started() {
  local stat
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 0
  # shellcheck disable=SC2086 # split into the fields after the command name: 3 (state) and on
  set -- ${stat##*) }
  [ "$1" = Z ] || echo "${20}"
}

# pid_of NAME: its pid; fails when it does not run
pid_of() {
  local pid now
  pid=$(cat "$WORK/run/$1.pid" 2> /dev/null) && now=$(started "$pid") && [ -n "$now" ] &&
    [ "$now" = "$(cat "$WORK/run/$1.start" 2> /dev/null)" ] && echo "$pid"
}

# launch NAME COMMAND...: in the background, in a session of its own, its log appended. Running already with the same
# command: nothing.
launch() {
  local name=$1 run="$WORK/run/$1" pid
  shift
  if pid=$(pid_of "$name"); then
    [ "$(cat "$run.cmd")" = "$*" ] || die "$name already runs with other arguments (pid $pid): stop it first"
    return 0
  fi
  mkdir -p "$WORK/run"
  printf '%s\n' "$*" > "$run.cmd"
  # 9>&-: the process must not keep a build lock
  setsid nohup "$@" >> "$run.log" 2>&1 < /dev/null 9>&- &
  pid=$!
  started "$pid" > "$run.start"
  echo "$pid" > "$run.pid"
}

# wait_until NAME SECONDS COMMAND...: until COMMAND works; fails, with the end of the log, when NAME ends before or
# the time is over (then NAME is stopped)
wait_until() {
  local name=$1 seconds=$2 end=$((SECONDS + $2)) log="$WORK/run/$1.log"
  shift 2
  until "$@" > /dev/null 2>&1; do
    if ! pid_of "$name" > /dev/null; then
      tail -n 30 "$log" >&2; die "$name ended, see $log"
    elif [ "$SECONDS" -ge "$end" ]; then
      tail -n 30 "$log" >&2; stop "$name"; die "$name was not ready within $seconds s, see $log"
    fi
    sleep 0.1
  done
}

# free PORT: fails when something listens there
free() { ! curl -s -o /dev/null -m 2 "$(base_url "$1")/" || die "port $1 is in use by another program"; }

# group_lives PGID: whether any process of that group lives. One whose first thread has ended (Z) does while another one
# lives: it holds its ports.
group_lives() {
  local file stat threads
  for file in /proc/[0-9]*/stat; do
    { read -r stat < "$file"; } 2> /dev/null || continue
    # shellcheck disable=SC2086 # fields after the command name: state, parent, group
    set -- "$1" ${stat##*) }
    [ "$4" = "$1" ] || continue
    threads=("${file%stat}"task/*)
    if [ "$2" != Z ] || [ ${#threads[@]} -gt 1 ]; then return 0; fi
  done
  return 1
}

# stop NAME [SIGNAL]: ends it and its children; SIGKILL after STOP_SECONDS (15). KILL as SIGNAL: at once, all of them.
stop() {
  local name=$1 signal=${2:-TERM} pid end
  if pid=$(pid_of "$name"); then
    if [ "$signal" = KILL ]; then kill -KILL -- "-$pid"; else kill "-$signal" "$pid"; fi
    end=$((SECONDS + ${STOP_SECONDS:-15}))
    # its children too: launch made it the leader of a process group
    while group_lives "$pid" && [ "$SECONDS" -lt "$end" ]; do sleep 0.05; done
    if group_lives "$pid"; then signal="$signal, then KILL"; kill -KILL -- "-$pid"; fi
    say "stopped $name pid=$pid ($signal)"
  fi
  rm -f "$WORK/run/$name".{pid,start,cmd}
}

# base_url PORT: where a local client reaches what listens on HOST
base_url() {
  case "$HOST" in
    0.0.0.0 | ::) echo "http://127.0.0.1:$1" ;;
    *:*) echo "http://[$HOST]:$1" ;;
    *) echo "http://$HOST:$1" ;;
  esac
}
