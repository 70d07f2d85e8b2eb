#!/bin/sh
# Makes a virtual environment in the folder $1, with $PYTHON or the first fitting Python on the PATH.
set -eu
folder=$1
for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
        echo "making $folder with $("$python" --version)"
        if "$python" -m venv --clear "$folder"; then
            exit 0
        fi
        rm -rf "$folder"
        echo "$python cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
done
echo "found no Python 3.11 to 3.13 (looked for: ${PYTHON:-python3 python3.13 python3.12 python3.11});" \
    "name one: make PYTHON=/path/to/python3.12" >&2
exit 1
