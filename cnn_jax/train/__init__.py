"""Training: state, steps, optimizers, checkpoints and the one loop."""
