"""Small ones of the networks from VGG on, which many tests take: every kind of layer, few channels, few layers."""

from __future__ import annotations

from cnn_jax.config.networks import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    InceptionV3,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    Network,
    Vgg,
    ZFNet,
)

SIDE = 18  # pixels of an image that all of them take under padding SAME
TINY: tuple[Network, ...] = (
    ZFNet(features=(4, 4, 6, 6, 4), kernel_size=(5, 3, 3, 3, 3), strides=(1, 1), dense=(8,)),
    Vgg(depth=11, width=0.05, dense=(8,), head_size=2, stage_pools=(True, True, False, False, False)),
    InceptionV3(width=0.05, modules=(0, 1, 1), stem_strides=1, stem_pools=(False, False), aux_pool="adaptive"),
    DenseNet(blocks=(2, 1), growth=4, bottleneck=2, stem_features=6),
    MobileNetV2(width=0.1, blocks=(1, 2, 0, 0, 0, 0, 0), head_features=8),
    MobileNetV3Large(width=0.1, modules=5, head_features=80),
    MobileNetV3Small(width=0.1, modules=3, head_features=80),
    EfficientNet(width=0.1, blocks=(1, 2, 0, 0, 0, 0, 0), head_features=80),
    ConvNeXt(features=(4, 6, 6, 8), blocks=(1, 1, 0, 0), kernel_size=3, stem_size=2, layer_scale=0.5),
)
