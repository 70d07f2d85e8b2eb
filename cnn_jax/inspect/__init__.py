"""Looking inside networks, and at what convolution does to pictures."""
