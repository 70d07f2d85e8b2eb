"""Steps compiled ahead of time, for accelerators that need not be here, and what the compiled programs will cost."""
