"""Ahead-of-time compilation of the steps, for accelerators that need not be attached, and the programs' costs."""
