"""Training: state, steps, optimizers, checkpoints and the training loop."""
