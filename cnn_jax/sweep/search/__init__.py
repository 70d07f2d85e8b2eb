"""Searches: points drawn in batches from ranges, stopped early at rungs, the best confirmed on fresh seeds."""
