"""How a process of this program ends, as the command line promises and as sweeps read of their workers."""

DONE = 0
FAILED = 1
REFUSED = 2  # bad flags, config, data or folder: nothing was started
STOPPED = 75  # by a signal, the state saved; the same command goes on
