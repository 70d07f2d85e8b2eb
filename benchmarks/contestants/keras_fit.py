"""The lecture's own program: Keras's `fit` with validation, on the backend that $KERAS_BACKEND names."""

import argparse
import importlib.metadata
import json
import time

import keras
import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", required=True, help=".npz with train_images, train_labels, test_images, test_labels")
parser.add_argument("--batch_size", type=int, required=True)
parser.add_argument("--epochs", type=int, required=True)
options = parser.parse_args()

arrays = np.load(options.data)
train_images = arrays["train_images"].astype("float32") / 255.0
test_images = arrays["test_images"].astype("float32") / 255.0
train_labels, test_labels = arrays["train_labels"].astype("int32"), arrays["test_labels"].astype("int32")

keras.utils.set_random_seed(0)
layers = keras.layers
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10),
    ]
)
assert model.count_params() == 93_322
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])

backend, ends = keras.backend.backend(), []
history = model.fit(
    train_images,
    train_labels,
    batch_size=options.batch_size,
    epochs=options.epochs + 1,  # the first one compiles, and is not counted
    validation_data=(test_images, test_labels),
    verbose=0,
    callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.monotonic()))],
)
print(
    json.dumps(
        {
            "images_per_second": len(train_images) * options.epochs / (ends[-1] - ends[0]),
            "accuracy": history.history["val_accuracy"][-1],
            "versions": f"keras {keras.__version__}, {backend} {importlib.metadata.version(backend)}",
        }
    )
)
