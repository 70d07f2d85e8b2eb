"""The networks, and their sections of the config: what can be chosen in each, with its legal range and its meaning.

`NETWORKS` lists them.

A network published in two versions has two names whose fields are the same and whose defaults differ, so that
every difference between the versions is a field that can be set.
A section has as many fields as there are settings of its network, some more than ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cnn_jax.config.networks import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    InceptionV3,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
    Network,
    SqueezeNet10,
    SqueezeNet11,
    Vgg,
    ZFNet,
)
from cnn_jax.config.registry import Entry, by_name, choice
from cnn_jax.config.types import (
    LARGEST_DEPTH,
    Activation,
    Epsilon,
    Factor,
    Faults,
    Fraction,
    KernelInit,
    Norm,
    Order,
    Padding,
    PerStage,
    Pixels,
    Pooling,
    PoolKind,
    PoolPadding,
    Shortcut,
    Size,
    Width,
)


class Cnn(Network):
    """Stages of convolution, bias, activation and pooling, then dense layers. The default is the lecture's."""

    name: Literal["cnn"] = Field("cnn", description="the lecture's network as a configurable stack")
    features: tuple[Width, ...] = Field(
        (32, 64, 64), min_length=1, max_length=LARGEST_DEPTH, description="convolution kernels of each stage"
    )
    kernel_size: PerStage[Size] = Field(3, description="pixels; one value, or one for each stage")
    strides: PerStage[Size] = Field(1, description="strides of the convolutions; one, or one a stage")
    padding: PerStage[Padding] = Field("VALID", description="padding of the convolutions; one, or one a stage")  # type: ignore[assignment]
    dilation: PerStage[Size] = Field(1, description="pixels between a kernel's taps; one value, or one for each stage")
    groups: PerStage[Width] = Field(1, description="channel groups that convolve apart; one, or one a stage")
    pooling: PerStage[Pooling] = Field(("max", "max", "none"), description="one value, or one for each stage")
    pool_window: PerStage[Size] = Field(2, description="pixels; one value, or one for each stage")
    pool_strides: PerStage[Size] | None = Field(
        None, description="one value, or one for each stage; none is the window"
    )
    pool_padding: PerStage[PoolPadding] = Field("VALID", description="one value, or one for each stage")
    order: Order = Field("conv-norm-activation", description="order of the parts of a stage, pooling last")
    dense: tuple[Width, ...] = Field(
        (64,), max_length=LARGEST_DEPTH, description="widths of the hidden dense layers; () for none"
    )
    dropout: Fraction = Field(0.0, description="share of each hidden dense layer's outputs dropped in training")
    kernel_init: KernelInit = "glorot_uniform"

    def faults(self) -> Faults:
        stages = len(self.features)
        for field in _PER_STAGE:
            value = getattr(self, field)
            if is_per_stage(field, value) and len(value) not in (1, stages):
                yield (
                    (field, "features"),
                    f"config.model.{field} has {len(value)} entries, one for each stage, and config.model.features has "
                    f"{stages}; give {stages} entries, or one value for all stages"
                    + (
                        f" (a {value[0]}x{value[1]} one is written (({value[0]}, {value[1]}),))"
                        if _is_pair(value)
                        else ""
                    ),
                )


_PER_STAGE = (
    *("kernel_size", "strides", "padding", "dilation", "groups"),
    *("pooling", "pool_window", "pool_strides", "pool_padding"),
)


def _is_pair(value: tuple[object, ...]) -> bool:
    return len(value) == 2 and all(isinstance(entry, int) for entry in value)


def is_per_stage(field: str, value: object) -> bool:
    """Tells whether a field of the network `cnn` lists one entry per stage, rather than one value for all.

    A tuple lists stages, but for the explicit pads of one padding, ((low, high), (low, high)).
    """
    if not isinstance(value, tuple):
        return False
    explicit_pads = len(value) == 2 and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(pad, int) for pad in pair) for pair in value
    )
    return not (explicit_pads and field in ("padding", "pool_padding"))


class LeNet5(Network):
    """LeCun, Bottou, Bengio and Haffner, 1998; the lecture's table 13-1."""

    name: Literal["lenet5"] = Field("lenet5", description="LeCun et al., 1998; the lecture's table 13-1")
    padding: Padding = Field("VALID", description="padding of C1, C3 and C5")
    activation: Activation = Field("tanh", description="after C1, C3, C5 and F6; the paper's is scaled_tanh")
    pad_to: Pixels | None = Field(32, description="pixels: smaller images get a border of zeros; none: no border")
    features: tuple[Width, Width, Width] = Field((6, 16, 120), description="maps of C1, C3 and C5")
    kernel_size: Size = Field(5, description="kernel size of C1, C3 and C5, pixels")
    strides: Size = Field(1, description="strides of C1 and C3")
    pooling: PoolKind = Field("avg", description="kind of S2 and S4")
    pool_window: Size = Field(2, description="window of S2 and S4, pixels")
    pool_strides: Size | None = Field(None, description="strides of S2 and S4; none is the window")
    pool_padding: PoolPadding = Field("VALID", description="padding of S2 and S4")
    pool_activation: Activation = Field("tanh", description="after S2 and S4; the paper's is sigmoid")
    subsampling: Literal["plain", "trainable"] = Field(
        "plain", description="trainable: S2 and S4 scale each map by a coefficient and add a bias, as in the paper"
    )
    connection: Literal["full", "table"] = Field(
        "full",
        description="S2 to C3: every map to every map, or the paper's table I, which takes 6 and 16 maps",
    )
    dense: tuple[Width, ...] = Field(
        (84,), max_length=LARGEST_DEPTH, description="width of F6; more or fewer hidden layers as listed"
    )
    output: Literal["dense", "rbf"] = Field(
        "dense", description="a dense layer, or Euclidean radial basis units: distances to the classes' prototypes"
    )
    prototypes: Literal["digits", "random", "learned"] = Field(
        "random",
        description="centres of output=rbf: 7x12 pictures of the digits (84 inputs, 10 classes), random, or trained",
    )
    dropout: Fraction = Field(0.0, description="share of each hidden dense layer's outputs dropped in training")
    kernel_init: KernelInit = "glorot_uniform"

    def faults(self) -> Faults:
        if self.connection == "table" and self.features[:2] != (6, 16):
            yield (
                ("connection", "features"),
                f"config.model.connection=table joins 6 maps to 16, and config.model.features begins with "
                f"{self.features[:2]}; use features=(6,16,{self.features[2]}), or connection=full",
            )
        width = self.dense[-1] if self.dense else self.features[2]
        if self.output == "rbf" and self.prototypes == "digits" and width != 84:
            yield (
                ("output", "prototypes", "dense"),
                f"config.model.prototypes=digits are pictures of 7x12 = 84 pixels, and the last hidden layer has "
                f"{width} units; use dense=(84,), or prototypes=random",
            )


class _AlexNet(Network):
    stem_padding: Padding = Field(
        ((1, 2), (1, 2)), description="padding of C1: ((1, 2), (1, 2)) makes 55x55 of 224x224"
    )
    stem_kernel_size: Size = Field(11, description="kernel size of C1, pixels")
    stem_strides: Size = Field(4, description="strides of C1")
    features: tuple[Width, Width, Width, Width, Width] = Field(
        (96, 256, 384, 384, 256), description="maps of the five convolutions"
    )
    kernel_size: tuple[Size, Size, Size, Size] = Field(
        (5, 3, 3, 3), description="the other convolutions' sizes, pixels"
    )
    groups: Literal[1, 2] = Field(1, description="2: the second, fourth and fifth convolution in two halves")
    pooling: Pooling = Field("max", description="after the first, second and last convolution")
    pool_window: Size = Field(3, description="pixels")
    pool_strides: Size = Field(2, description="pixels between windows")
    pool_padding: PoolPadding = Field("VALID", description="padding of the pooling")
    last_pool: bool = Field(True, description="pool after the last convolution, which the lecture's table leaves out")
    lrn: bool = Field(True, description="local response normalisation after the first two convolutions")
    dense: tuple[Width, ...] = Field(
        (4096, 4096), max_length=LARGEST_DEPTH, description="widths of the hidden dense layers; () for none"
    )
    dropout: Fraction = Field(0.5, description="share of values dropped in training")
    dropout_on: Literal["outputs", "inputs"] = Field(
        "outputs", description="hidden dense layers' outputs, or (torchvision) their inputs"
    )
    head_size: Size | None = Field(None, description="maps are averaged down to this size before the dense layers")


class AlexNet(_AlexNet):
    """Krizhevsky, Sutskever and Hinton, 2012; the lecture's table 13-2."""

    name: Literal["alexnet"] = Field("alexnet", description="Krizhevsky et al., 2012; the lecture's table 13-2")


class TorchvisionAlexNet(_AlexNet):
    """torchvision's, after Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014."""

    published: ClassVar[bool] = True
    name: Literal["alexnet_torchvision"] = Field(
        "alexnet_torchvision", description="torchvision's AlexNet, narrower and without response normalisation"
    )
    stem_padding: Padding = 2
    features: tuple[Width, Width, Width, Width, Width] = (64, 192, 384, 256, 256)
    lrn: bool = False
    dropout_on: Literal["outputs", "inputs"] = "inputs"
    head_size: Size | None = 6


UpTo2 = Annotated[int, Field(ge=0, le=2)]
UpTo5 = Annotated[int, Field(ge=0, le=5)]


class _GoogLeNet(Network):
    stem_features: tuple[Width, Width, Width] = Field((64, 64, 192), description="maps of the stem's convolutions")
    stem_kernel_size: Size = Field(7, description="kernel size of the first convolution, pixels")
    stem_strides: Size = Field(2, description="strides of the first convolution")
    stem_pools: tuple[bool, bool] = Field((True, True), description="pool after the stem's first and last convolution")
    width: Factor = Field(1.0, description="factor on the maps of every convolution, rounded to at least 1")
    modules: tuple[UpTo2, UpTo5, UpTo2] = Field(
        (2, 5, 2), description="inception modules of each stage, the first of the paper's 2, 5 and 2"
    )
    five_by_five: Size = Field(5, description="kernel of the modules' third branch, pixels")
    pooling: PoolKind = Field("max", description="between the stages and in the modules' fourth branch")
    pool_window: Size = Field(3, description="window of the pooling between the stages, pixels")
    pool_strides: Size = Field(2, description="strides of the pooling between the stages")
    last_pool_window: Size = Field(3, description="window of the pooling before the last stage, pixels")
    pool_padding: PoolPadding = Field("SAME", description="padding of the pooling between the stages")
    pool_ceil: bool = Field(False, description="let a last window of that pooling reach beyond the map")
    lrn: bool = Field(True, description="local response normalisation in the stem")
    aux_heads: bool = Field(True, description="two auxiliary classifiers in training, on the second stage's modules")
    aux_pool: Literal["window", "adaptive"] = Field(
        "window", description="before an auxiliary classifier: 5x5 windows of stride 3, or averages down to 4x4"
    )
    aux_dense: Width = Field(1024, description="width of the auxiliary classifiers' hidden layer")
    aux_dropout: Fraction = Field(0.7, description="share of its outputs dropped in training")
    dropout: Fraction = Field(0.4, description="share of the pooled features dropped in training")


class GoogLeNet(_GoogLeNet):
    """Szegedy et al., 2015, table 1."""

    name: Literal["googlenet"] = Field("googlenet", description="Szegedy et al., 2015, table 1")


class TorchvisionGoogLeNet(_GoogLeNet):
    """torchvision's, whose weights are published."""

    published: ClassVar[bool] = True
    name: Literal["googlenet_torchvision"] = Field(
        "googlenet_torchvision", description="torchvision's GoogLeNet: batch norm, 3x3 in place of 5x5 kernels"
    )
    padding: Padding = "TORCH"
    norm: Norm = "batch"
    norm_eps: Epsilon = 1e-3
    five_by_five: Size = 3
    last_pool_window: Size = 2
    pool_padding: PoolPadding = "VALID"
    pool_ceil: bool = True
    lrn: bool = False
    aux_heads: bool = False
    aux_pool: Literal["window", "adaptive"] = "adaptive"
    dropout: Fraction = 0.2


class _ResNet(Network):
    padding: Padding = "TORCH"
    norm: Norm = "batch"
    kernel_init: KernelInit = "he_fan_out"
    activation_order: Literal["post", "pre"] = Field(
        "post", description="order in the blocks: conv-norm-activation, or (v2) norm-activation-conv"
    )
    zero_init_scale: bool = Field(False, description="start each block's last norm at scale 0, the block as identity")
    dropout: Fraction = Field(0.0, description="share of the maps between a block's convolutions dropped in training")
    scan: bool = Field(
        False, description="run a stage's equal blocks as a loop: deep networks start sooner; other last bits"
    )


class ResNet(_ResNet):
    """He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, table 1."""

    published: ClassVar[bool] = True
    name: Literal["resnet"] = Field("resnet", description="He et al., 2016, table 1: four stages")
    depth: Literal[18, 34, 50, 101, 152] = Field(18, description="layers; from 50 on of bottleneck blocks")
    width: Width = Field(64, description="maps of the stem and of the first stage's inner convolutions")
    bottleneck_width: Width = Field(1, description="factor on the inner maps of bottlenecks; 2 are wide ResNets")
    bottleneck_groups: Width = Field(
        1, description="groups of the bottlenecks' 3x3 convolutions: 32 with bottleneck_width=2 is ResNeXt 32x4d"
    )
    stage_strides: tuple[Size, Size, Size, Size] = Field((1, 2, 2, 2), description="strides of stages' first blocks")
    stride_in: Literal["3x3", "1x1"] = Field(
        "3x3", description="the convolution of a bottleneck that strides: 3x3 is v1.5 (torchvision), 1x1 the paper's"
    )
    shortcut: Shortcut = Field(
        "projection", description="where shapes change: 1x1 convolution, or strided and zero-padded; none: plain nets"
    )
    stem_kernel_size: Size = Field(7, description="first convolution's size, pixels; 3 for images of 28 or 32")
    stem_strides: Size = Field(2, description="strides of the first convolution; 1 for images of 28 or 32")
    stem_pooling: Pooling = Field("max", description="after the first convolution; none for images of 28 or 32")
    stem_pool_window: Size = Field(3, description="pixels")
    stem_pool_strides: Size = Field(2, description="pixels between windows")
    stem_pool_padding: PoolPadding = Field("TORCH", description="padding of that pooling")

    def faults(self) -> Faults:
        if self.depth >= 50:
            return
        none = f"and config.model.depth={self.depth} has none; use depth=50, 101 or 152"
        if self.bottleneck_width != 1:
            yield (
                ("bottleneck_width", "depth"),
                f"config.model.bottleneck_width={self.bottleneck_width} widens bottlenecks, {none}, or another "
                "config.model.width",
            )
        if self.bottleneck_groups != 1:
            yield (
                ("bottleneck_groups", "depth"),
                f"config.model.bottleneck_groups={self.bottleneck_groups} splits bottlenecks, {none}",
            )


class CifarResNet(_ResNet):
    """He et al., 2016, section 4.2; wide: Zagoruyko and Komodakis, "Wide residual networks", 2016."""

    name: Literal["resnet_cifar"] = Field(
        "resnet_cifar", description="He et al., 2016, section 4.2: three stages for small images; and wide variants"
    )
    depth: Literal[8, 14, 16, 20, 22, 26, 28, 32, 34, 38, 40, 44, 50, 56, 110, 164] = Field(
        20, description="layers, 6n + 2 for n blocks in each stage; 6n + 4 as wide networks count: 16, 22, 28, 34, 40"
    )
    width: Width = Field(16, description="maps of the stem and, times widen, of the first stage")
    widen: Width = Field(1, description="factor on the stages' maps: 10 in WRN-28-10")
    stage_strides: tuple[Size, Size, Size] = Field((1, 2, 2), description="strides of each stage's first block")
    shortcut: Shortcut = Field(
        "padded", description="where shapes change: strided and zero-padded, or 1x1 convolution; none: plain nets"
    )
    stem_kernel_size: Size = Field(3, description="kernel size of the first convolution, pixels")
    stem_strides: Size = Field(1, description="strides of the first convolution")


# Every network. Its fields in `--help`, its checks and its tests follow from here.
NETWORKS: dict[str, Entry[Network]] = by_name(
    Entry(Cnn, "cnn_jax.models.cnn:CnnModule"),
    Entry(LeNet5, "cnn_jax.models.lenet5:LeNet5Module"),
    Entry(AlexNet, "cnn_jax.models.alexnet:AlexNetModule"),
    Entry(TorchvisionAlexNet, "cnn_jax.models.alexnet:AlexNetModule"),
    Entry(GoogLeNet, "cnn_jax.models.googlenet:GoogLeNetModule"),
    Entry(TorchvisionGoogLeNet, "cnn_jax.models.googlenet:GoogLeNetModule"),
    Entry(SqueezeNet10, "cnn_jax.models.squeezenet:SqueezeNetModule"),
    Entry(SqueezeNet11, "cnn_jax.models.squeezenet:SqueezeNetModule"),
    Entry(ZFNet, "cnn_jax.models.zfnet:ZFNetModule"),
    Entry(Vgg, "cnn_jax.models.vgg:VggModule"),
    Entry(InceptionV3, "cnn_jax.models.inception_v3:InceptionV3Module"),
    Entry(ResNet, "cnn_jax.models.resnet:ResNetModule"),
    Entry(CifarResNet, "cnn_jax.models.resnet:CifarResNetModule"),
    Entry(DenseNet, "cnn_jax.models.densenet:DenseNetModule"),
    Entry(MobileNetV2, "cnn_jax.models.mobilenet_v2:MobileNetV2Module"),
    Entry(MobileNetV3Large, "cnn_jax.models.mobilenet_v3:MobileNetV3Module"),
    Entry(MobileNetV3Small, "cnn_jax.models.mobilenet_v3:MobileNetV3Module"),
    Entry(EfficientNet, "cnn_jax.models.efficientnet:EfficientNetModule"),
    Entry(ConvNeXt, "cnn_jax.models.convnext:ConvNeXtModule"),
)
if TYPE_CHECKING:
    Model = Network
else:
    Model = choice(NETWORKS)
