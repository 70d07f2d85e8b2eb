"""Exit codes of the commands, which sweeps read from their workers too."""

DONE = 0
FAILED = 1
REFUSED = 2  # the flags, config, data or folder cannot be used; nothing was started
STOPPED = 75  # a signal stopped the run, and its state is saved; the same command continues
