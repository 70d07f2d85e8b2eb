"""Cases that cnn_jax and captum both compute."""

CLASSES = (207, 700)  # of the two images
STEPS = 4  # of integrated gradients
BASELINE = 0.25  # of integrated gradients and occlusion
WINDOWS = (((64, 64), (32, 32)), ((60, 75), (50, 40)))  # of occlusion, and strides; the second do not divide the image
