"""Images on the devices: their order, normalisation and augmentation, inside jit."""
