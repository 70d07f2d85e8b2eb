"""The networks in Keras's functional style, for any backend; every map has the size that torchvision's has."""

from __future__ import annotations

import functools

import keras
from keras import layers
from layouts import INCEPTIONS, RESNET18, RESNET50


def cnn(classes: int) -> keras.Model:
    """The lecture's, for 28x28x1."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, dtype="float32"),
        ]
    )


def alexnet(classes: int) -> keras.Model:
    """AlexNet as torchvision has it, for 224x224x3."""

    def convolution(x, features: int, kernel: int):
        return layers.Conv2D(features, kernel, padding="same", activation="relu")(x)

    image = keras.Input((224, 224, 3))
    x = layers.ZeroPadding2D(2)(image)
    x = layers.Conv2D(64, 11, strides=4, activation="relu")(x)
    x = layers.MaxPooling2D(3, 2)(x)
    x = convolution(x, 192, 5)
    x = layers.MaxPooling2D(3, 2)(x)
    x = convolution(x, 384, 3)
    x = convolution(x, 256, 3)
    x = convolution(x, 256, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(0.5)(x)
        x = layers.Dense(4096, activation="relu")(x)
    return keras.Model(image, layers.Dense(classes, dtype="float32")(x))


def _normed(x, features: int, kernel: int, stride: int = 1, eps: float = 1e-5):
    x = layers.Conv2D(features, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=eps)(x)


def _inception_convolution(x, features: int, kernel: int, stride: int = 1):
    return layers.ReLU()(_normed(x, features, kernel, stride, eps=1e-3))


def _inception(x, a: int, b1: int, b3: int, c1: int, c3: int, d: int):
    convolution = _inception_convolution
    branches = [
        convolution(x, a, 1),
        convolution(convolution(x, b1, 1), b3, 3),
        convolution(convolution(x, c1, 1), c3, 3),
        convolution(layers.MaxPooling2D(3, 1, padding="same")(x), d, 1),
    ]
    return layers.Concatenate()(branches)


def googlenet(classes: int) -> keras.Model:
    """GoogLeNet as torchvision has it, without auxiliary heads, for 224x224x3."""
    image = keras.Input((224, 224, 3))
    x = _inception_convolution(image, 64, 7, 2)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = _inception_convolution(x, 64, 1)
    x = _inception_convolution(x, 192, 3)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for blocks, pooling in INCEPTIONS:
        for widths in blocks:
            x = _inception(x, *widths)
        if pooling:
            x = layers.MaxPooling2D(pooling, 2, padding="same")(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Dense(classes, dtype="float32")(x))


def _residual(x, features: int, stride: int, bottleneck: bool):
    """Two 3x3 convolutions, or a bottleneck of three with the stride in its 3x3, and the way around them."""
    relu, outputs = layers.ReLU, 4 * features if bottleneck else features
    same = stride == 1 and x.shape[-1] == outputs
    around = x if same else _normed(x, outputs, 1, stride)
    if bottleneck:
        x = relu()(_normed(x, features, 1))
    x = relu()(_normed(x, features, 3, stride))
    x = _normed(x, outputs, 1 if bottleneck else 3)
    return relu()(layers.Add()([x, around]))


def _resnet(image, x, stages: tuple[int, ...], bottleneck: bool, classes: int) -> keras.Model:
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            x = _residual(x, 64 * 2**stage, 2 if stage and not block else 1, bottleneck)
    return keras.Model(image, layers.Dense(classes, dtype="float32")(layers.GlobalAveragePooling2D()(x)))


def resnet18(classes: int, image_shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    """ResNet-18 with the stem for small images: 3x3, stride 1, no pooling."""
    image = keras.Input(image_shape)
    return _resnet(image, layers.ReLU()(_normed(image, 64, 3)), RESNET18, False, classes)


def resnet50(classes: int) -> keras.Model:
    """ResNet-50 as torchvision has it, for 224x224x3."""
    image = keras.Input((224, 224, 3))
    x = layers.ReLU()(_normed(image, 64, 7, 2))
    return _resnet(image, layers.MaxPooling2D(3, 2, padding="same")(x), RESNET50, True, classes)


NETWORKS = {
    "cnn": cnn,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet18_fashion": functools.partial(resnet18, image_shape=(28, 28, 1)),
    "resnet50": resnet50,
}
