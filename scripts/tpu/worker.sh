#!/bin/sh
# What happens on each worker of a slice. It is copied into the home folder and called there by scripts/tpu.
#
#   sh worker.sh install BUNDLE [gs://DATA]   the commit, its packages, the data
#   sh worker.sh launch WORDS...              starts launch.py WORDS, which outlives the connection
#   sh worker.sh follow BYTE SECONDS          prints the log from this byte on, until the run ends or so long
#   sh worker.sh state                        prints: worker HOST running | died | none | launch.py's exit code
#   sh worker.sh stop                         asks launch.py to save and leave, and ends it after a minute
set -eu
checkout=$HOME/cnn_jax
run=$HOME/cnn_jax_run
python=3.11
uv_version=0.13.9

alive() { # the process of this file: launch.py's, pid, or that of the shell that waits for its exit code, shell
    [ -f "$run/$1" ] && grep -q launch.py "/proc/$(cat "$run/$1")/cmdline" 2>/dev/null
}

state() {
    if [ -f "$run/exit_code" ]; then
        cat "$run/exit_code"
    elif alive pid; then
        echo running
    elif [ -f "$run/pid" ]; then
        while [ ! -f "$run/exit_code" ] && alive shell; do
            sleep 0.1 # the code is being written
        done
        cat "$run/exit_code" 2>/dev/null || echo died
    else
        echo none
    fi
}

verb=$1
shift
case $verb in
install)
    rm -rf "$checkout"
    git init --quiet "$checkout"
    git -C "$checkout" fetch --quiet "$HOME/$1" HEAD
    git -C "$checkout" checkout --quiet FETCH_HEAD
    # The images' own Python is older than the project's, so uv brings one.
    python3 -m pip install --quiet --user "uv==$uv_version"
    python3 -m uv venv --quiet --clear --python "$python" "$checkout/.venv"
    python3 -m uv pip install --quiet --python "$checkout/.venv/bin/python" -r "$checkout/requirements-tpu.txt"
    if [ $# -gt 1 ]; then
        mkdir -p "$HOME/.cache/cnn_jax"
        gcloud storage rsync --recursive "$2" "$HOME/.cache/cnn_jax"
    fi
    echo "installed $(git -C "$checkout" rev-parse --short HEAD) on $(hostname)"
    ;;
launch)
    if [ "$(state)" = running ]; then
        echo "a run is under way on $(hostname), process $(cat "$run/pid"); stop it first: sh worker.sh stop" >&2
        exit 1
    fi
    rm -rf "$run"
    mkdir -p "$run"
    cd "$checkout"
    # Moved into place, so that a code that can be read is whole.
    # shellcheck disable=SC2016
    setsid nohup sh -c '
        trap "" HUP
        run=$1
        shift
        .venv/bin/python launch.py "$@" &
        child=$!
        echo "$$" >"$run/shell"
        echo "$child" >"$run/pid.part"
        mv "$run/pid.part" "$run/pid"
        code=0
        wait "$child" || code=$?
        echo "$code" >"$run/exit_code.part"
        mv "$run/exit_code.part" "$run/exit_code"
    ' sh "$run" "$@" >"$run/log" 2>&1 </dev/null &
    tries=0
    until [ -f "$run/pid" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            echo "launch.py did not start on $(hostname)" >&2
            exit 1
        fi
        sleep 0.1
    done
    echo "launched on $(hostname)"
    ;;
follow)
    printed=$1
    ends=$(($(date +%s) + $2))
    while :; do
        now=$(state) # before the log is read, which is whole if the run has ended
        size=$(wc -c <"$run/log")
        if [ "$size" -gt "$printed" ]; then
            tail -c "+$((printed + 1))" "$run/log" | head -c "$((size - printed))"
            printed=$size
        fi
        if [ "$now" != running ] || [ "$(date +%s)" -ge "$ends" ]; then
            break
        fi
        sleep 1
    done
    ;;
state)
    echo "worker $(hostname) $(state)"
    ;;
stop)
    if alive pid; then
        kill -TERM "$(cat "$run/pid")"
    fi
    tries=0
    while [ "$(state)" = running ] && [ $tries -lt 60 ]; do
        tries=$((tries + 1))
        sleep 1
    done
    if alive pid; then
        kill -KILL "$(cat "$run/pid")"
        while alive pid; do
            sleep 0.1
        done
    fi
    echo "worker $(hostname) $(state)"
    ;;
*)
    echo "worker.sh: unknown verb '$verb'" >&2
    exit 2
    ;;
esac
