"""A run's folder: paths, typed records, metrics files, provenance, the stop signal, exit codes. No JAX."""
