"""The config's section `data`: one class for each source of images.

A section has as many fields as its source has settings, some more than ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat
from pydantic_core import PydanticCustomError

from cnn_jax import user_path
from cnn_jax.config.types import Count, Factor, Faults, Fraction, NonNegativeInt, PositiveShare, Section

Side = Annotated[int, Field(ge=1, le=8192)]  # pixels
ColumnNumber = Count | Annotated[int, Field(le=-1)]


def _valid_unicode(text: str) -> str:
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        fault = f"got {text!r}, whose bytes are not UTF-8; rename it, or give a link to it"
        raise PydanticCustomError("unusable_text", "{fault}", {"fault": fault})
    return text


def _usable_path(text: str) -> str:
    if fault := user_path.fault_of(text):
        raise PydanticCustomError("unusable_text", "{fault}", {"fault": fault})
    return text


Text = Annotated[str, AfterValidator(_valid_unicode)]
FilePath = Annotated[Text, AfterValidator(_usable_path)]  # kept as it was given; `user_path.expand` expands the ~


# Fields of several sources, with their meanings.
Workers = Annotated[
    Annotated[int, Field(ge=0, le=1024)] | None,
    Field(description="processes that read and decode, for each process of the run; none is one for each core"),
]
Threads = Annotated[
    int,
    Field(
        ge=1,
        le=1024,
        description="threads that read and decode in each of these processes, or in the run's own with workers=0",
    ),
]
ClassNames = Annotated[tuple[Text, ...] | None, Field(description="names in label order; none uses the labels")]
Archive = Annotated[
    FilePath | None,
    Field(description="published archive (python, binary or matlab) or its unpacked folder; none downloads it"),
]
TrainWord = Annotated[Text, Field(description="word in the names of the training files")]
ValidationWord = Annotated[
    Text | None,
    Field(description="word in the names of the validation files; none holds out validation_fraction"),
]
TestWord = Annotated[
    Text | None, Field(description="word in the names of the test files; none is test, else validation or val")
]

_MEMORY = (
    "where the images lie: device: decoded, on every device; host: decoded, in the host's memory; stream: read and "
    "decoded while the network trains; auto: device up to 2 GB, then host where they take less than half of the free "
    "memory, else stream"
)


class _Data(Section):
    validation_fraction: Fraction = Field(
        0.0, description="share of the training images held out for validation, drawn from the seed; 0 holds out none"
    )
    train_examples: Count | None = Field(
        None, description="use only this many training images, drawn from the seed; none uses all"
    )
    test_examples: Count | None = Field(
        None, description="measure on only this many test images, drawn alike for every seed; none uses all"
    )
    normalize: Literal["scale", "standardize"] = Field(
        "scale", description="scale: pixels / 255; standardize: then minus mean, over deviation, of the training images"
    )


class _InMemory(_Data):
    memory: Literal["device", "host"] = Field(
        "device",
        description="where the images lie: device: on every device, from where steps take them; host: in the host's "
        "memory, from where each step's batch is sent",
    )
    test_shift: NonNegativeInt = Field(
        0,
        description="pixels that each test image is moved along both axes, either way, by the seed; black enters",
    )


class FashionMnist(_InMemory):
    name: Literal["fashion_mnist"] = Field("fashion_mnist", description="60,000 + 10,000 pictures of clothing, 28x28x1")
    idx_dir: FilePath | None = Field(
        None, description="folder with the four IDX files, gz or not; none looks in Debian's folder, then downloads"
    )


class Mnist(_InMemory):
    name: Literal["mnist"] = Field("mnist", description="60,000 + 10,000 handwritten digits, 28x28x1")
    idx_dir: FilePath | None = Field(None, description="folder with the four IDX files, gz or not; none downloads them")


class Cifar10(_InMemory):
    name: Literal["cifar10"] = Field("cifar10", description="50,000 + 10,000 pictures of ten kinds, 32x32x3")
    archive: Archive = None


class Cifar100(_InMemory):
    name: Literal["cifar100"] = Field("cifar100", description="50,000 + 10,000 pictures of 100 kinds, 32x32x3")
    archive: Archive = None
    labels: Literal["fine", "coarse"] = Field("fine", description="fine: the 100 classes; coarse: their 20 groups")


class Csv(_InMemory):
    name: Literal["csv"] = Field("csv", description="CSV files: a label and height x width x channels pixels, 0 to 255")
    train_file: FilePath = Field(description="training images, a line each; gz or not")
    test_file: FilePath = Field(description="test images")
    label_column: ColumnNumber | Text | None = Field(
        None,
        description="the label's column: its name, or its number, 1 for the first and -1 for the last; none takes "
        "the one called label, labels, class or target, and in a file without names the first",
    )
    header: bool | None = Field(None, description="whether the first line names the columns; none finds out")
    height: Side = Field(28, description="pixels")
    width: Side = Field(28, description="pixels")
    channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for RGB")
    layout: Literal["HWC", "CHW"] = Field(
        "HWC", description="order of RGB pixels: HWC: each pixel's three values together; CHW: all red, green, blue"
    )
    class_names: ClassNames = None


class Idx(_InMemory):
    name: Literal["idx"] = Field("idx", description="four IDX files, as MNIST's, gz or not")
    train_images: FilePath = Field(description="IDX file of bytes, [n, height, width] or [n, height, width, channels]")
    train_labels: FilePath = Field(description="IDX file of bytes, [n]")
    test_images: FilePath = Field(description="IDX file, as train_images")
    test_labels: FilePath = Field(description="IDX file, as train_labels")
    class_names: ClassNames = None


class Npz(_InMemory):
    name: Literal["npz"] = Field(
        "npz", description="arrays of NumPy in one .npz file, named as Keras (x_train, y_train) or MedMNIST names them"
    )
    file: FilePath = Field(description="the .npz file; its validation images, if any, are used as such")
    value_range: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None,
        description="values that are black and white; none is 0 to 255 for uint8 and 0 to 65535 for uint16, and other "
        "types need it",
    )
    class_names: ClassNames = None

    def faults(self) -> Faults:
        low, high = self.value_range or (0, 1)
        if low >= high:
            yield (
                ("value_range",),
                f"config.data.value_range=({low:g}, {high:g}) must rise: first the value of black, then that of white",
            )


class ImageFolder(_InMemory):
    name: Literal["image_folder"] = Field("image_folder", description="picture files, one subfolder per class")
    train_dir: FilePath = Field(description="folder of class folders")
    test_dir: FilePath | None = Field(None, description="folder of class folders; none splits off test_fraction")
    test_fraction: Fraction = Field(0.2, description="share of train_dir for testing where test_dir is none")
    height: Side = Field(28, description="pixels; pictures of another size are resized")
    width: Side = Field(28, description="pixels; pictures of another size are resized")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB; pictures of another colour are converted")
    classes: Count | None = Field(None, description="class folders that train_dir must have; none takes what is there")
    memory: Literal["auto", "device", "host", "stream"] = Field("auto", description=_MEMORY)  # type: ignore[assignment]
    workers: Workers = None
    threads: Threads = 1

    def faults(self) -> Faults:
        if self.memory == "stream" and self.test_shift:
            yield (
                ("memory", "test_shift"),
                f"config.data.test_shift={self.test_shift} moves images that lie in memory, and config.data.memory="
                "stream reads them while the network trains; use config.data.memory=host, or config.data.test_shift=0",
            )


class Records(_Data):
    name: Literal["records"] = Field(
        "records", description="a folder of records that `launch.py prepare` made, read while the network trains"
    )
    folder: FilePath = Field(description="the folder")
    classes: Count | None = Field(None, description="classes that it must have; none takes what is there")
    image_size: Side = Field(224, description="pixels of a side of what the network sees")
    channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB; pictures of another colour are converted")
    crop_area: tuple[PositiveShare, PositiveShare] = Field(
        (0.08, 1.0), description="least and greatest share of a training picture that is seen, at a random place"
    )
    crop_aspect: tuple[Factor, Factor] = Field(
        (3 / 4, 4 / 3), description="least and greatest width over height of that part"
    )
    mirror: bool = Field(True, description="mirror half of the training pictures left to right")
    shorter_side: Side | None = Field(
        None,
        description="resize other pictures' shorter side to so many pixels, then see the middle; none is 8/7 of "
        "image_size, 256 for 224",
    )
    workers: Workers = None
    threads: Threads = 1

    def faults(self) -> Faults:
        yield from self._falling("data", "crop_area", "crop_aspect")
        if self.shorter_side is not None and self.shorter_side < self.image_size:
            yield (
                ("shorter_side", "image_size"),
                f"config.data.shorter_side={self.shorter_side} is less than config.data.image_size={self.image_size}, "
                f"which is cut from it; use {self.image_size} or more, or none",
            )


class _Pictures(_Data):
    """Sources of encoded pictures, one by one, with their labels."""

    if TYPE_CHECKING:
        validation_split: Text | None  # each source has its own meaning of it
    memory: Literal["auto", "device", "host", "stream"] = Field(
        "auto",
        description=f"{_MEMORY}; with crop_area always stream",
    )
    height: Side | None = Field(
        None,
        description="pixels; pictures of another size are resized; none takes the pictures' own, which must be one",
    )
    width: Side | None = Field(None, description="pixels; as height")
    channels: Literal[1, 3] | None = Field(
        None, description="1 for grey, 3 for RGB; pictures of another colour are converted; none takes the first one's"
    )
    crop_area: tuple[PositiveShare, PositiveShare] | None = Field(
        None,
        description="least and greatest share of a training picture that is seen, at a random place, such as (0.08, 1);"
        " none sees it whole",
    )
    crop_aspect: tuple[Factor, Factor] = Field(
        (3 / 4, 4 / 3), description="least and greatest width over height of that part"
    )
    shorter_side: Side | None = Field(
        None,
        description="resize pictures' shorter side to so many pixels, then see the middle; where crop_area is set, "
        "only in evaluation, and none is 8/7 of height; else none resizes whole pictures",
    )
    workers: Workers = None
    threads: Threads = 1

    def faults(self) -> Faults:
        yield from self._falling("data", "crop_area", "crop_aspect")
        size = self.height, self.width
        if None in size and size != (None, None):
            one, other = ("height", "width") if self.width is None else ("width", "height")
            yield (
                ("height", "width"),
                f"config.data.{other}: got none beside config.data.{one}={getattr(self, one)}; set both, or neither",
            )
        cut = [field for field in ("crop_area", "shorter_side") if getattr(self, field) is not None]
        if cut and (None in size or self.height != self.width):
            yield (
                (cut[0], "height", "width"),
                f"config.data.{cut[0]} cuts squares: set config.data.height and config.data.width to one number",
            )
        elif self.shorter_side is not None and self.height is not None and self.shorter_side < self.height:
            yield (
                ("shorter_side", "height"),
                f"config.data.shorter_side={self.shorter_side} is less than config.data.height={self.height}, which is "
                f"cut from it; use {self.height} or more, or none",
            )
        if self.crop_area is not None and self.memory in ("device", "host"):
            yield (
                ("memory", "crop_area"),
                f"config.data.memory={self.memory} holds pictures as they are seen, and config.data.crop_area draws "
                "their parts anew in each epoch; use config.data.memory=stream, or config.data.crop_area=none",
            )
        if self.validation_split is not None and self.validation_fraction:
            yield (
                ("validation_split", "validation_fraction"),
                f"config.data.validation_split={self.validation_split} and config.data.validation_fraction="
                f"{self.validation_fraction:g} both make validation images; set one of them",
            )


class Tfds(_Pictures):
    name: Literal["tfds"] = Field("tfds", description="a data set that TFDS has prepared as ArrayRecord files")
    dataset: Text | None = Field(
        None, description="its name in data_dir: NAME, NAME/CONFIG or NAME:VERSION, such as cifar10:3.0.2"
    )
    data_dir: FilePath | None = Field(
        None, description="TFDS's folder of data sets; none is TFDS_DATA_DIR, else ~/tensorflow_datasets"
    )
    folder: FilePath | None = Field(None, description="its folder, with dataset_info.json, in place of dataset")
    train_split: Text = Field("train", description="TFDS's expression of the training split, such as train[:90%]")
    validation_split: Text | None = Field(
        None, description="the same of the validation split; none holds out validation_fraction"
    )
    test_split: Text | None = Field(None, description="the same of the test split; none is test, else validation")
    image: Text | None = Field(None, description="feature of the images; none is the only one, or the supervised one")
    label: Text | None = Field(None, description="feature of the labels; none is the only one, or the supervised one")

    def faults(self) -> Faults:
        yield from super().faults()
        if (self.dataset is None) == (self.folder is None):
            got = "neither" if self.folder is None else "both"
            yield (
                ("dataset", "folder"),
                f"config.data.dataset and config.data.folder: got {got}; name the data set, or give its folder",
            )


class Parquet(_Pictures):
    name: Literal["parquet"] = Field(
        "parquet", description="Parquet files of pictures and labels, as the Hugging Face Hub"
    )
    folder: FilePath = Field(
        description="the folder; its files are split by their names, such as train-00000-of-00002.parquet"
    )
    train_split: TrainWord = "train"
    validation_split: ValidationWord = None
    test_split: TestWord = None
    image: Text | None = Field(None, description="column of the images; none is the only one of {bytes, path}")
    label: Text | None = Field(None, description="column of the labels; none is label, labels or fine_label")
    class_names: tuple[Text, ...] | None = Field(
        None, description="names in label order; none takes those of the schema, else the labels"
    )


class WebDataset(_Pictures):
    name: Literal["webdataset"] = Field(
        "webdataset", description="tar files of pictures with labels beside them, as the webdataset package reads them"
    )
    folder: FilePath = Field(description="the folder of the tar files; their names tell the split, as train-000000.tar")
    train_split: TrainWord = "train"
    validation_split: ValidationWord = None
    test_split: TestWord = None
    label: Text = Field("cls", description="member that holds the label: cls, or json with label=KEY as json.KEY")
    class_names: ClassNames = None


Pictures = Tfds | Parquet | WebDataset
InMemory = FashionMnist | Mnist | Cifar10 | Cifar100 | Csv | Idx | Npz | ImageFolder
Data = Annotated[InMemory | Records | Pictures, Field(discriminator="name")]
