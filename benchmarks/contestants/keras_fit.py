"""Keras's `fit` over arrays in memory, on the backend that $KERAS_BACKEND names, compiled as Keras chooses."""

import importlib.metadata
import math
import time

import keras
import turn
from keras_networks import NETWORKS

this = turn.Turn(turn.parser(__doc__).parse_args())
keras.utils.set_random_seed(0)
if this.precision == "bfloat16":
    keras.config.set_dtype_policy("mixed_bfloat16")
images, tests = this.images.astype("float32") / 255, None
if this.test_images is not None:
    tests = (this.test_images.astype("float32") / 255, this.test_labels)
model = NETWORKS[this.network](this.classes)
if this.optimizer == "adam":
    optimizer = keras.optimizers.Adam(this.learning_rate, epsilon=turn.ADAM_EPS)
else:
    optimizer = keras.optimizers.SGD(this.learning_rate, momentum=turn.MOMENTUM)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])

ends = []
history = model.fit(
    images,
    this.labels,
    batch_size=this.batch_size,
    epochs=this.epochs + 1,  # the first one compiles, and is not counted
    validation_data=tests,
    verbose=0,
    callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.monotonic()))],
).history

backend = keras.backend.backend()


def device():
    """Where the backend works."""
    if backend == "jax":
        import jax_device

        return jax_device.device()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return turn.Device("cpu", "cpu", None)
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return turn.Device("gpu", name, tf.config.experimental.get_memory_info("GPU:0")["peak"])


jitted = "" if model.jit_compile else ", no jit"
this.end(
    seconds=ends[-1] - ends[0],
    parameters=sum(math.prod(weight.shape) for weight in model.trainable_weights),
    loss=history["loss"][-1],
    accuracy=history["val_accuracy"][-1] if tests else None,
    device=device(),
    versions=f"keras {keras.__version__}, {backend} {importlib.metadata.version(backend)}{jitted}",
)
