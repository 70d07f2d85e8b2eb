"""Exit codes of the commands, which sweeps read from their workers too."""

DONE = 0
FAILED = 1
REFUSED = 2  # the flags, config, data or folder cannot be used; nothing was started
PAUSED = 76  # between a search and its workers alone: the epoch of a rung is reached, and the state saved
STOPPED = 75  # a signal stopped the run, and its state is saved; the same command continues
