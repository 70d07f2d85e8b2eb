"""Reports and plots of runs and sweeps; predictions."""
