"""Config sections: the fields of every network; ZFNet, VGG, Inception v3 and the networks after ResNet.

As in `model.py`: the choices of each, with their legal ranges and meanings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cnn_jax.config.types import (
    LARGEST_DEPTH,
    Activation,
    Count,
    Decay,
    Epsilon,
    Factor,
    Faults,
    Fraction,
    KernelInit,
    Lowering,
    Norm,
    Padding,
    Pooling,
    PoolPadding,
    PositiveShare,
    Section,
    Size,
    Width,
)

Blocks = Annotated[int, Field(ge=0, le=LARGEST_DEPTH)]
UpTo2 = Annotated[int, Field(ge=0, le=2)]
UpTo3 = Annotated[int, Field(ge=0, le=3)]
UpTo4 = Annotated[int, Field(ge=0, le=4)]
UpTo8 = Annotated[int, Field(ge=0, le=8)]
UpTo11 = Annotated[int, Field(ge=0, le=11)]
UpTo15 = Annotated[int, Field(ge=0, le=15)]
PaperLayer = Annotated[int, Field(ge=1, le=9)]


class Network(Section):
    """Fields that every network has: the policies that its blocks are built by."""

    published: ClassVar[bool] = False  # whether weights can be had: pretrained/names.py has their layers' names
    if TYPE_CHECKING:
        name: str  # each network's own word

    padding: Padding = Field("SAME", description="padding of the convolutions whose kernels exceed a pixel")
    activation: Activation = Field("relu", description="between the layers")
    norm: Norm = Field(
        "none",
        description="normalisation of convolutions' maps: by batch, by groups of channels, by layer (each pixel's "
        "channels), none",
    )
    norm_momentum: Decay = Field(0.9, description="share of batch norm's running statistics that a step keeps")
    norm_eps: Epsilon = Field(1e-5, description="added to the variance")
    norm_groups: Width = Field(8, description="number of channel groups in group norm")
    norm_images: Count | None = Field(
        None,
        description="images of a batch whose statistics batch norm takes together; none: all. "
        "With batch_size / devices no device waits for another's",
    )
    kernel_init: KernelInit = Field("he_normal", description="initial weights; biases start at zero")
    compute: Literal["float32", "bfloat16"] = Field(
        "float32", description="type of maps and products; parameters, statistics and loss stay float32"
    )
    lowering: Lowering = Field("auto", description="how convolutions are computed: auto chooses by platform")


class Vgg(Network):
    """Simonyan and Zisserman, 2015, table 1; torchvision's."""

    published: ClassVar[bool] = True
    name: Literal["vgg"] = Field("vgg", description="Simonyan and Zisserman, 2015: 3x3 convolutions in five stages")
    depth: Literal[11, 13, 16, 19] = Field(16, description="layers with weights: the paper's A, B, D and E")
    width: Factor = Field(1.0, description="factor on the maps of every convolution, rounded to at least 1")
    kernel_size: Size = Field(3, description="kernel size of the convolutions, pixels")
    conv_bias: bool = Field(True, description="biases of convolutions that a norm follows, as torchvision's have")
    pooling: Pooling = Field("max", description="after the stages that stage_pools lists")
    stage_pools: tuple[bool, bool, bool, bool, bool] = Field(
        (True, True, True, True, True), description="pool after each stage; images of 28 or 32 leave out some"
    )
    pool_window: Size = Field(2, description="pixels")
    pool_strides: Size = Field(2, description="pixels between windows")
    pool_padding: PoolPadding = Field("VALID", description="padding of the pooling")
    head_size: Size | None = Field(
        7, description="maps are averaged to this size before the dense layers; none leaves them as they are"
    )
    dense: tuple[Width, ...] = Field(
        (4096, 4096), max_length=LARGEST_DEPTH, description="widths of the hidden dense layers; () for none"
    )
    dropout: Fraction = Field(0.5, description="share of each hidden dense layer's outputs dropped in training")
    kernel_init: KernelInit = "he_fan_out"


class ZFNet(Network):
    """Zeiler and Fergus, 2014, figure 3."""

    name: Literal["zfnet"] = Field("zfnet", description="Zeiler and Fergus, 2014, figure 3: AlexNet with a finer start")
    padding: Padding = Field("SAME", description="padding of the third, fourth and fifth convolution")
    early_padding: tuple[Padding, Padding] = Field(
        (1, "VALID"), description="padding of the first and the second convolution"
    )
    features: tuple[Width, Width, Width, Width, Width] = Field(
        (96, 256, 384, 384, 256), description="maps of the five convolutions"
    )
    kernel_size: tuple[Size, Size, Size, Size, Size] = Field(
        (7, 5, 3, 3, 3), description="the convolutions' sizes, pixels"
    )
    strides: tuple[Size, Size] = Field(
        (2, 2), description="strides of the first and the second convolution; 1 for images of 28 or 32"
    )
    lrn: bool = Field(True, description="response normalisation after the first two poolings")
    pooling: Pooling = Field("max", description="after the first, second and last convolution")
    pool_window: Size = Field(3, description="pixels")
    pool_strides: Size = Field(2, description="pixels between windows")
    pool_padding: PoolPadding = Field("VALID", description="padding of the pooling")
    pool_ceil: bool = Field(True, description="let a last window of the pooling reach beyond the map")
    dense: tuple[Width, ...] = Field(
        (4096, 4096), max_length=LARGEST_DEPTH, description="widths of the hidden dense layers; () for none"
    )
    dropout: Fraction = Field(0.5, description="share of each hidden dense layer's outputs dropped in training")


class DenseNet(Network):
    """Huang, Liu, van der Maaten and Weinberger, 2017, table 1; torchvision's."""

    published: ClassVar[bool] = True
    name: Literal["densenet"] = Field(
        "densenet", description="Huang et al., 2017: every layer reads all before it; the default is DenseNet-121"
    )
    padding: Padding = "TORCH"
    norm: Norm = "batch"
    blocks: tuple[Blocks, ...] = Field(
        (6, 12, 24, 16),
        min_length=1,
        max_length=LARGEST_DEPTH,
        description="layers of each dense block: (6,12,32,32) is -169, (6,12,48,32) -201; (6,12,36,24) with growth=48 "
        "and stem_features=96 -161",
    )
    growth: Width = Field(32, description="maps that each layer adds")
    bottleneck: Width = Field(4, description="factor on growth: maps of a layer's 1x1 convolution")
    compression: PositiveShare = Field(0.5, description="share of the maps that a transition between blocks keeps")
    kernel_size: Size = Field(3, description="size of the layers' larger kernels, pixels")
    transition_pooling: Pooling = Field("avg", description="between the blocks, of 2x2 windows")
    dropout: Fraction = Field(0.0, description="share of each layer's outputs dropped in training")
    stem_features: Width = Field(64, description="maps of the first convolution")
    stem_kernel_size: Size = Field(7, description="first convolution's size, pixels; 3 for images of 28 or 32")
    stem_strides: Size = Field(2, description="strides of the first convolution; 1 for images of 28 or 32")
    stem_pooling: Pooling = Field("max", description="after the first convolution; none for images of 28 or 32")
    stem_pool_window: Size = Field(3, description="pixels")
    stem_pool_strides: Size = Field(2, description="pixels between windows")
    stem_pool_padding: PoolPadding = Field("TORCH", description="padding of that pooling")


class _Mobile(Network):
    """Fields of the networks of inverted residual blocks."""

    published: ClassVar[bool] = True
    padding: Padding = "TORCH"
    norm: Norm = "batch"
    kernel_init: KernelInit = "he_fan_out"
    width: Factor = Field(1.0, description="factor on the maps of every convolution, rounded to a multiple of 8")
    stem_kernel_size: Size = Field(3, description="kernel size of the first convolution, pixels")
    stem_strides: Size = Field(2, description="strides of the first convolution; 1 for images of 28 or 32")
    dropout: Fraction = Field(0.2, description="share of the values before the logits dropped in training")


Seven = tuple[Blocks, Blocks, Blocks, Blocks, Blocks, Blocks, Blocks]
SevenSizes = tuple[Size, Size, Size, Size, Size, Size, Size]


class MobileNetV2(_Mobile):
    """Sandler, Howard, Zhu, Zhmoginov and Chen, 2018, table 2; torchvision's."""

    name: Literal["mobilenet_v2"] = Field(
        "mobilenet_v2", description="Sandler et al., 2018: inverted residuals, depthwise convolutions"
    )
    activation: Activation = "relu6"
    stem_features: Width = Field(32, description="maps of the first convolution")
    blocks: Seven = Field((1, 2, 3, 4, 3, 3, 1), description="blocks of each of the seven stages")
    stage_strides: SevenSizes = Field((1, 2, 2, 2, 1, 2, 1), description="strides of each stage's first block")
    kernel_size: Size = Field(3, description="size of the depthwise convolutions, pixels")
    expansion: Width = Field(6, description="factor on a block's maps inside it; the first stage has none")
    head_features: Width = Field(1280, description="maps of the last convolution; a width below 1 leaves them as many")


class _MobileNetV3(_Mobile):
    norm_momentum: Decay = 0.99
    norm_eps: Epsilon = 1e-3
    activation: Activation = Field("hard_swish", description="in the stem, the later blocks and the head")
    early_activation: Activation = Field("relu", description="in the earlier blocks")
    gate: Activation = Field("hard_sigmoid", description="of the squeeze-and-excitation: what the maps are scaled by")
    squeeze_ratio: Fraction = Field(0.25, description="squeezed values for each of a block's inner maps; 0: no gates")
    stage_strides: tuple[Size, Size, Size, Size] = Field(
        (2, 2, 2, 2), description="strides of the four blocks that halve the maps"
    )


class MobileNetV3Large(_MobileNetV3):
    """Howard et al., 2019, table 1; torchvision's."""

    name: Literal["mobilenet_v3_large"] = Field(
        "mobilenet_v3_large", description="Howard et al., 2019, table 1: with squeeze-and-excitation"
    )
    modules: UpTo15 = Field(15, description="blocks, the first of the table's fifteen")
    head_features: Width = Field(1280, description="width of the hidden dense layer")


class MobileNetV3Small(_MobileNetV3):
    """Howard et al., 2019, table 2; torchvision's."""

    name: Literal["mobilenet_v3_small"] = Field("mobilenet_v3_small", description="Howard et al., 2019, table 2")
    modules: UpTo11 = Field(11, description="blocks, the first of the table's eleven")
    head_features: Width = Field(1024, description="width of the hidden dense layer")


class EfficientNet(_Mobile):
    """Tan and Le, 2019, table 1; torchvision's."""

    name: Literal["efficientnet"] = Field(
        "efficientnet", description="Tan and Le, 2019, table 1: the default is EfficientNet-B0"
    )
    activation: Activation = "silu"
    gate: Activation = Field("sigmoid", description="of the squeeze-and-excitation: what the maps are scaled by")
    stem_features: Width = Field(32, description="maps of the first convolution")
    blocks: Seven = Field((1, 2, 2, 3, 3, 4, 1), description="blocks of each of the seven stages")
    stage_strides: SevenSizes = Field((1, 2, 2, 2, 1, 2, 1), description="strides of each stage's first block")
    kernel_size: SevenSizes = Field((3, 3, 5, 3, 5, 5, 3), description="size of each stage's depthwise convolutions")
    expansion: Width = Field(6, description="factor on a block's maps inside it; the first stage has none")
    squeeze_ratio: Fraction = Field(0.25, description="squeezed values for each of a block's input maps; 0: no gates")
    head_features: Width = Field(1280, description="maps of the last convolution, times width")
    drop_path: Fraction = Field(
        0.2,
        description="share of the images for which a block is left out in training; it rises from 0 towards this",
    )


class ConvNeXt(Network):
    """Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, 2022; torchvision's."""

    published: ClassVar[bool] = True
    name: Literal["convnext"] = Field(
        "convnext", description="Liu et al., 2022: layer norm, GELU, 7x7 depthwise; the default is ConvNeXt-T"
    )
    padding: Padding = Field("TORCH", description="padding of the depthwise convolutions")
    patch_padding: Padding = Field("VALID", description="padding of the stem and of the convolutions between stages")
    activation: Activation = Field("gelu_exact", description="between a block's two 1x1 convolutions")
    norm: Norm = "layer"
    norm_eps: Epsilon = 1e-6
    kernel_init: KernelInit = "lecun_normal"
    features: tuple[Width, Width, Width, Width] = Field((96, 192, 384, 768), description="maps of each stage")
    blocks: tuple[Blocks, Blocks, Blocks, Blocks] = Field((3, 3, 9, 3), description="blocks of each stage")
    kernel_size: Size = Field(7, description="size of the depthwise convolutions, pixels")
    expansion: Width = Field(4, description="factor on a block's maps inside it")
    stem_size: Size = Field(4, description="pixels of the stem's patches; 1 or 2 for images of 28 or 32")
    stage_strides: tuple[Size, Size, Size] = Field(
        (2, 2, 2), description="kernel and strides of the convolutions between the stages"
    )
    layer_scale: Epsilon | None = Field(
        1e-6, description="initial factor on each block's maps, learned; none: no such factors"
    )
    drop_path: Fraction = Field(
        0.1,
        description="share of the images for which the last block is left out in training; it rises evenly from 0",
    )


class InceptionV3(Network):
    """Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, 2016, table 1; torchvision's."""

    published: ClassVar[bool] = True
    name: Literal["inception_v3"] = Field(
        "inception_v3", description="Szegedy et al., 2016: factorised convolutions; images of 299"
    )
    padding: Padding = Field("TORCH", description="padding of the modules' convolutions")
    norm: Norm = "batch"
    norm_eps: Epsilon = 1e-3
    width: Factor = Field(1.0, description="factor on the maps of every convolution, rounded to at least 1")
    modules: tuple[UpTo3, UpTo4, UpTo2] = Field(
        (3, 4, 2),
        description="inception modules of each size, the first of the paper's; before the second and third "
        "size lies one that halves the maps",
    )
    stem_strides: Size = Field(2, description="strides of the first convolution; 1 for images of 28 or 32")
    stem_padding: Padding = Field("VALID", description="padding of the stem's first, second and last convolution")
    stem_pools: tuple[bool, bool] = Field((True, True), description="pool after the stem's third and last convolution")
    reduction_padding: PoolPadding = Field(
        "VALID", description="padding of the pooling, and of the convolutions that stride, between the sizes"
    )
    pooling: Pooling = Field("avg", description="in the modules' last branch, of 3x3 windows of stride 1")
    aux_heads: bool = Field(True, description="an auxiliary classifier in training, after the second size's modules")
    aux_pool: Literal["window", "adaptive"] = Field(
        "window", description="before the auxiliary classifier: 5x5 windows of stride 3, or averages down to 5x5"
    )
    dropout: Fraction = Field(0.5, description="share of the pooled features dropped in training")


class _SqueezeNet(Network):
    published: ClassVar[bool] = True
    kernel_init: KernelInit = "he_uniform"
    stem_padding: Padding = Field("VALID", description="padding of the first convolution")
    stem_strides: Size = Field(2, description="strides of the first convolution; 1 for images of 28 or 32")
    width: Factor = Field(1.0, description="factor on the maps of every convolution, rounded to at least 1")
    modules: UpTo8 = Field(8, description="fire modules, the first of the paper's eight, fire2 to fire9")
    squeeze_ratio: PositiveShare = Field(0.125, description="a fire module's squeezed maps for each of its outputs")
    share_3x3: Fraction = Field(0.5, description="share of a fire module's outputs that have the larger kernel")
    kernel_size: Size = Field(3, description="size of the fire modules' larger kernels, pixels")
    pooling: Pooling = Field("max", description="after the layers that pool_after lists")
    pool_window: Size = Field(3, description="pixels")
    pool_strides: Size = Field(2, description="pixels between windows")
    pool_padding: PoolPadding = Field("VALID", description="padding of the pooling")
    pool_ceil: bool = Field(True, description="let a last window of the pooling reach beyond the map")
    dropout: Fraction = Field(0.5, description="share of the last maps dropped in training")
    head_activation: Activation = Field(
        "relu", description="activation of the classes' maps, whose means are the logits"
    )
    if TYPE_CHECKING:
        pool_after: tuple[PaperLayer, ...]  # each version has its own default

    def faults(self) -> Faults:
        if len(set(self.pool_after)) < len(self.pool_after):
            yield (
                ("pool_after",),
                f"config.model.pool_after={self.pool_after} names a layer twice; "
                f"the nearest is {tuple(sorted(set(self.pool_after)))}",
            )


class SqueezeNet10(_SqueezeNet):
    """Iandola et al., 2016, table 1."""

    name: Literal["squeezenet1_0"] = Field("squeezenet1_0", description="Iandola et al., 2016, table 1; torchvision's")
    stem_features: Width = Field(96, description="maps of the first convolution")
    stem_kernel_size: Size = Field(7, description="kernel size of the first convolution; 3 for images of 28 or 32")
    pool_after: tuple[PaperLayer, ...] = Field(
        (1, 4, 8), max_length=9, description="layers that are pooled after: 1 is conv1, 2 to 9 the fire modules"
    )


class SqueezeNet11(_SqueezeNet):
    """The authors' second version, with 2.3 times fewer multiply-adds."""

    name: Literal["squeezenet1_1"] = Field("squeezenet1_1", description="its authors' quicker version; torchvision's")
    stem_features: Width = Field(64, description="maps of the first convolution")
    stem_kernel_size: Size = Field(3, description="kernel size of the first convolution, pixels")
    pool_after: tuple[PaperLayer, ...] = Field(
        (1, 3, 5), max_length=9, description="layers that are pooled after: 1 is conv1, 2 to 9 the fire modules"
    )
