"""Convolution and pooling beside PyTorch and TensorFlow: `make test-peers`."""
