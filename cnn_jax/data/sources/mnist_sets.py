"""MNIST and Fashion-MNIST as their authors publish them: files, their addresses and sums, classes."""

from __future__ import annotations

import dataclasses

from cnn_jax.data.sources.published import PublishedSet

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One IDX file as its authors published it.

    Attributes:
      content_sha256: SHA-256 of the unpacked content.
      gz_sha256: SHA-256 of the gz file at the official address; other gz files may hold the same content.
      gz_bytes: Its length.
    """

    content_sha256: str
    gz_sha256: str
    gz_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedSet(PublishedSet):
    """A published data set of four IDX files.

    Attributes:
      url: The official address, to which a file's name and .gz are added.
      files: By name; train and test, images and labels.
      debian_folder: Where Debian's package puts the files; None where there is no package.
      debian_package: Its name.
    """

    url: str
    files: dict[str, SourceFile]
    debian_folder: str | None = None
    debian_package: str | None = None
    image_shape: tuple[int, int, int] = (28, 28, 1)
    counts: dict[str, int] = dataclasses.field(default_factory=lambda: {"train": 60_000, "test": 10_000})


FASHION_MNIST = NamedSet(
    name="fashion_mnist",
    title="Fashion-MNIST",
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    files={
        TRAIN_IMAGES: SourceFile(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26421880,
        ),
        TRAIN_LABELS: SourceFile(
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29515,
        ),
        TEST_IMAGES: SourceFile(
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4422102,
        ),
        TEST_LABELS: SourceFile(
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5148,
        ),
    },
    class_names={
        "label": (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        )
    },
    debian_folder="/usr/share/datasets/fashion-mnist",
    debian_package="dataset-fashion-mnist",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    description="60,000 training and 10,000 test images of Zalando's articles, 28x28 grey pixels, 10 classes.",
    citation="Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning, 2017",
)

MNIST = NamedSet(
    name="mnist",
    title="MNIST",
    url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    files={
        TRAIN_IMAGES: SourceFile(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9912422,
        ),
        TRAIN_LABELS: SourceFile(
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28881,
        ),
        TEST_IMAGES: SourceFile(
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1648877,
        ),
        TEST_LABELS: SourceFile(
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4542,
        ),
    },
    class_names={"label": tuple("0123456789")},
    homepage="http://yann.lecun.com/exdb/mnist/",
    description="60,000 training and 10,000 test images of handwritten digits, 28x28 grey pixels, 10 classes.",
    citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, 1998",
)

NAMED_SETS = {each.name: each for each in (FASHION_MNIST, MNIST)}
