"""CIFAR-10 and CIFAR-100 as their author publishes them: archives, files, classes."""

from __future__ import annotations

import dataclasses

from cnn_jax.data.sources.published import PublishedSet


@dataclasses.dataclass(frozen=True)
class Archive:
    """One published archive.

    Attributes:
      name: Name of the file.
      md5: Its MD5 (hex), which the author's page tells.
      sha256: Its SHA-256 (hex), which TFDS tells; None where it does not.
      size: Bytes; None where nobody tells.
    """

    name: str
    md5: str
    sha256: str | None = None
    size: int | None = None


URL = "https://www.cs.toronto.edu/~kriz/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarSet(PublishedSet):
    """A published data set of 60,000 images of 32x32 pixels; its labels are in the order of the binary form.

    Attributes:
      archives: Published archives; the one that is downloaded has a SHA-256.
      files: Names of the training and the test files, without their suffixes.
    """

    archives: tuple[Archive, ...]
    files: dict[str, tuple[str, ...]]
    image_shape: tuple[int, int, int] = (32, 32, 3)
    counts: dict[str, int] = dataclasses.field(default_factory=lambda: {"train": 50_000, "test": 10_000})
    homepage: str = f"{URL}cifar.html"
    citation: str = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009"


CIFAR10 = CifarSet(
    name="cifar10",
    title="CIFAR-10",
    archives=(
        Archive("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        Archive(
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
        ),
        Archive("cifar-10-matlab.tar.gz", "70270af85842c9e89bb428ec9976c926"),
    ),
    files={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    class_names={
        "labels": (*("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),)
    },
    description="50,000 training and 10,000 test images of 32x32 colour pixels, 10 classes.",
)

_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""

CIFAR100 = CifarSet(
    name="cifar100",
    title="CIFAR-100",
    archives=(
        Archive("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        Archive(
            "cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            168_513_733,
        ),
        Archive("cifar-100-matlab.tar.gz", "6a4bfa1dcd5c9453dda6bb54194911f4"),
    ),
    files={"train": ("train",), "test": ("test",)},
    class_names={"coarse_labels": tuple(_COARSE.split()), "fine_labels": tuple(_FINE.split())},
    description="50,000 training and 10,000 test images of 32x32 colour pixels, 100 classes in 20 groups.",
)

CIFAR_SETS = {each.name: each for each in (CIFAR10, CIFAR100)}
