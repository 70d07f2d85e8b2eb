"""Process start and exit for one command: signals, standard streams, exit code."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from cnn_jax.cli import imports
from cnn_jax.run import standard_streams, stop_signal
from cnn_jax.run.exit_codes import DONE


def start() -> None:
    """Runs the command line of this process and exits."""
    standard_streams.open_closed()
    stop_signal.exit_on_signals()  # a signal may arrive during the imports
    with imports.uncollected():
        from cnn_jax.cli.main import main

    standard_streams.protect()
    try:
        exit_code = main(sys.argv[1:])
    except KeyboardInterrupt:
        stop_signal.leave("SIGINT")
    gc.freeze()  # saves the final collection of all objects, which takes half a second
    exit_code = standard_streams.exit_code(exit_code)
    if exit_code != DONE:  # Orbax's threads may wait ten minutes for parts of a checkpoint that could not be written
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
