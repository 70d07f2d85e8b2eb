"""Random experiments, legal and bad."""
