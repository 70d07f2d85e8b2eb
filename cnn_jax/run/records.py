"""Content of the files in a run's folder, declared once as frozen, typed records.

A field's description says what it means and in which unit. A field with a `Column` is a column of a sweep's table.
Building a record refuses unknown fields; reading one ignores them, since newer versions may have more, and accepts the
names that older versions wrote. A record has as many fields as its file, some more than ten.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

import pydantic
from pydantic import AliasChoices, ConfigDict, Field, FiniteFloat, TypeAdapter, model_serializer, model_validator

from cnn_jax.run import metrics
from cnn_jax.run.columns import Column, MetricColumns

PARAMETERS = Column("parameters", "parameters", "{:,.0f}", shown_in=("trials", "points"), axis="parameters")

_Content = TypeVar("_Content")


class RecordError(ValueError):
    """A content that is not the record it should be; the message names the field, what came and what was expected."""


class Record(pydantic.BaseModel):
    """Content of a JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def to_json(self) -> dict[str, Any]:
        """Turns the record into the JSON object that its file holds."""
        return self.model_dump(mode="json")


class Percentiles(Record):
    """Percentiles of the training steps' times, in seconds."""

    p50: FiniteFloat
    """Seconds that half of the steps took at most."""
    p90: FiniteFloat
    """Seconds that 90 % of the steps took at most."""
    p99: FiniteFloat
    """Seconds that 99 % of the steps took at most."""


class RecordsDigest(Record):
    """Digest of the first records of metrics.jsonl, so that a change is noticed."""

    count: int
    """Number of records."""
    sha256: str
    """SHA-256 of their lines, in hexadecimal digits."""


class Performance(Record):
    """Figures of a run that depend on the machine."""

    step_seconds: Percentiles | None
    """Percentiles of a training step's time; None if this process took no step that was not traced."""
    training_flop: int
    """Multiplications and additions of one training image, forward and backward, by the layer table."""
    peak_flops: FiniteFloat | None
    """Published dense peak of all devices together, in FLOP per second; None if a device's peak is not known."""
    mfu: FiniteFloat | None = Field(validation_alias=AliasChoices("mfu", "peak_share"))
    """Model FLOPs utilization, training_flop x images_per_second / peak_flops; None if the peak is not known."""
    device_peak_bytes: int | None
    """Largest memory in bytes that a device's allocator has held; None if the platform does not report it."""
    process_peak_bytes: int
    """Largest memory of the host in bytes that the process has held."""


class Seconds(Record):
    """Wall times of a run, in seconds."""

    compile: Annotated[FiniteFloat, Column("compile_seconds", "compile (s)", "{:,.1f}")]
    """Set-up and compilation."""
    training: Annotated[
        FiniteFloat,
        Column(
            "training_seconds", "training (s)", "{:,.1f}", shown_in=("trials", "points"), axis="training time (seconds)"
        ),
    ]
    """Training steps of all epochs."""
    evaluation: Annotated[FiniteFloat, Column("evaluation_seconds", shown_in=())]
    """Evaluations on the validation and test images."""
    total: Annotated[FiniteFloat, Column("total_seconds", "total (s)", "{:,.1f}")]
    """The whole run."""


class Result(Record):
    """Content of result.json: the figures of a finished run."""

    test: Annotated[Mapping[str, float | None], MetricColumns()]
    """Value of every declared metric on the test images, by the metric's name; `test_NAME` in the file. None if the
    metric was not measured."""
    step: int
    """Training step of the parameters that were tested."""
    best_epoch: int
    """Epoch of the best validation accuracy; the last one without validation images."""
    final_epoch: Annotated[int, Column("final_epoch", "epochs", "{:,}")]
    """Epochs of the training."""
    selected_by: Literal["validation_accuracy", "last_epoch"]
    """Rule that chose the parameters that were tested."""
    parameters: Annotated[int, PARAMETERS]
    """Trainable numbers of the network."""
    images_per_second: Annotated[
        FiniteFloat, Column("images_per_second", "images/s", "{:,.0f}", shown_in=("trials", "points"))
    ]
    """Training images per second: the median of the epochs."""
    performance: Performance | None = None
    """Speed and memory; None in results of older versions."""
    seconds: Seconds
    """Wall times."""

    @property
    def test_accuracy(self) -> float:
        """Share of the test images whose most probable class is their label."""
        return self._required(metrics.ACCURACY)

    @property
    def test_loss(self) -> float:
        """Mean cross-entropy of the test images, in nats."""
        return self._required(metrics.LOSS)

    def _required(self, metric: metrics.Metric) -> float:
        value = self.test[metric.name]
        assert value is not None, metric.name
        return value

    @model_validator(mode="before")
    @classmethod
    def _gather_metrics(cls, content: Any) -> Any:
        """Validates the test values, which stand side by side with the other fields in the file."""
        if not isinstance(content, Mapping) or not isinstance(content.get("test", {}), Mapping):
            return content
        keys = {metric.key: metric.name for metric in metrics.METRICS}
        if "test" in content:
            if unknown := sorted(content["test"].keys() - keys.values()):
                raise ValueError(
                    f"test: got the metrics {', '.join(unknown)}, which cnn_jax/run/metrics.py does not declare"
                )
            given = {f"test_{name}": value for name, value in content["test"].items()}
        else:
            given = {key: value for key, value in content.items() if key in keys}
        values = _metric_values(metrics.METRICS).model_validate(given)
        others = {key: value for key, value in content.items() if key not in keys}
        return others | {"test": {name: getattr(values, key) for key, name in keys.items()}}

    @model_serializer(mode="wrap")
    def _spread_metrics(self, serialize: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = serialize(self)
        return {f"test_{name}": value for name, value in content.pop("test").items()} | content


class SplitSizes(Record):
    """Numbers of images in the splits."""

    train: int
    """Training images."""
    validation: int
    """Validation images; 0 without a validation split."""
    test: int
    """Test images."""


class Colours(Record):
    """Distribution of the training images' pixels."""

    mean: tuple[FiniteFloat, ...]
    """Mean of each channel, of pixels from 0 to 255."""
    eigenvalues: tuple[FiniteFloat, ...]
    """Eigenvalues of the covariance of pixels / 255, in falling order."""
    eigenvectors: tuple[tuple[FiniteFloat, ...], ...]
    """Matrix whose columns are the eigenvectors, of length 1."""


# More than ten fields: those of dataset.json.
class DatasetInfo(Record):
    """Content of dataset.json: what must be known of the data set to use the trained network."""

    name: str
    """The config's name of the data source."""
    checksum: str
    """SHA-256 of the data set, in hexadecimal digits."""
    image_shape: tuple[int, int, int]
    """Height, width and channels of an image."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """Type of the pixels, 0 to 255; float32 where they have more than 8 bits."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of the labels."""
    images: SplitSizes
    """Number of images in each split."""
    mean: tuple[FiniteFloat, ...]
    """Mean that is subtracted from each channel, of pixels from 0 to 255."""
    std: tuple[FiniteFloat, ...] = Field(validation_alias=AliasChoices("std", "deviation"))
    """Standard deviation that each channel is then divided by."""
    colours: Colours | None = None
    """Distribution of the training pixels; None if the augmentation does not need it."""
    warnings: tuple[str, ...] = ()
    """Findings that are legal in the data set and yet perhaps not meant; empty in files of older versions."""
    split_checksum: str | None = None
    """SHA-256 of the numbers of the images in each split; None in files of older versions."""
    files_checksum: str | None = None
    """SHA-256 of names, sizes, first and last bytes of the record files; None for images in memory."""
    placement: str | None = None
    """Where the images lie while the network trains, and why; None where there is no choice."""


class Git(Record):
    """The code's state in its git checkout."""

    commit: Annotated[str, Column("commit", "commit", "{:.10}")]
    """Hash of the commit."""
    dirty: Annotated[str | None, Column("dirty", "uncommitted changes")]
    """Hash of all changes since the commit; None if there are none."""

    def __str__(self) -> str:
        return f"commit {self.commit[:10]}" + (f" with uncommitted changes {self.dirty}" if self.dirty else "")


class Devices(Record):
    """The devices of a run."""

    platform: str
    """JAX's name of the platform: cpu, gpu or tpu."""
    kind: str
    """JAX's name of the device kind."""
    count: int
    """Number of devices, of all processes together."""
    processor: str
    """Model of the host's processor; may be empty."""
    cores: int | None = None
    """Number of the host's cores."""
    used_cores: int | None = None
    """Number of cores among which the first process divides its work; None in files of older versions."""

    def __str__(self) -> str:
        name = self.processor if self.platform == "cpu" and self.processor else self.kind
        return name if self.count == 1 else f"{self.count} x {name}"


class DataIdentity(Record):
    """The data set of a run."""

    name: str
    """The config's name of the data source."""
    checksum: str
    """SHA-256 of the data set, in hexadecimal digits."""
    paths: Mapping[str, str] = {}
    """Absolute paths of its files and folders, by the field of config.data that names them."""


def _listed(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())


# More than ten fields: those of provenance.json.
class Provenance(Record):
    """Content of provenance.json: what a result depends on besides its config.

    Fields with a default were not written by every version.
    """

    cnn_jax: str | None = None
    """Version of this package."""
    git: Git | None
    """Commit of the code; None outside a checkout."""
    packages: Annotated[Mapping[str, str], Column("packages", shown_in=(), text=_listed)]
    """Versions of the packages that numbers depend on, by name."""
    python: str | None = None
    """Version of Python."""
    platform: str | None = None
    """Operating system and machine."""
    devices: Annotated[Devices, Column("device", "device", text=str)]
    """Devices that the run used."""
    xla_flags: str | None = None
    """The environment variable XLA_FLAGS; the content of the file, if it names one."""
    settings: Mapping[str, str] | None = None
    """Settings of JAX, and environment variables of JAX, XLA and the libraries below, by name."""
    data: DataIdentity | None = None
    """The data set."""
    command: str | None = None
    """Command line of the process."""
    trained_together: Annotated[int, Column("trained_together", "trained together", "{:,}")] = 1
    """Number of runs that one program trained, this one included; 1 for a run alone."""
    weights_checksum: str | None = None
    """SHA-256 of the file of weights that the network started from; None without one."""
    files: Mapping[str, str] | None = None
    """SHA-256 of the content of config.json, apart from where its data lie, and of dataset.json, by the file's name."""
    changes: tuple[str, ...] = ()
    """Differences from the process before under which the run was resumed; the fields above describe the last process.
    Empty if the result is that of an uninterrupted run to the last bit."""
    attempt: Mapping[str, Any] | None = None
    """Content of status.json of a sweep's trial that is done, and then has no status.json; None for any other run."""


class TracedSteps(Record):
    """Content of profile/profile.json: the steps of a trace."""

    first_step: int
    """Number of the first traced step, from this run's first."""
    steps: Annotated[int, Field(ge=0)]
    """Number of traced steps; 0 if the first one failed."""


class MetricRecord(NamedTuple):
    """One line of metrics.jsonl.

    Attributes:
      step: Number of training steps taken.
      epoch: Number of passes over the training images; a fraction within an epoch.
      split: "train_step" for the steps since the last such record, "train" for a whole epoch, measured while training,
        "validation" or "test".
      values: Values by name: the metrics of `run/metrics.py` in their units; in records of training also
        `learning_rate`, `images_per_second` and `seconds` of wall time.
    """

    step: int
    epoch: float
    split: str
    values: Mapping[str, float]


def parse(kind: type[_Content], content: str | bytes) -> _Content:
    """Reads a record from JSON.

    Args:
      kind: Type of the record.
      content: Text of a JSON object.

    Returns:
      The record; fields that it does not know are ignored.

    Raises:
      RecordError: If the content is no JSON or not such a record.
    """
    try:
        record: _Content = _adapter(cast(Hashable, kind)).validate_json(content, strict=True, extra="ignore")
    except pydantic.ValidationError as error:
        raise RecordError(_fault(error)) from error
    return record


def metric_record(content: Any) -> MetricRecord:
    """Reads a record of metrics from a line of metrics.jsonl.

    Args:
      content: JSON value of the line.

    Returns:
      The record; fields that it does not know are ignored.

    Raises:
      RecordError: If the value is not such a record.
    """
    if not isinstance(content, dict):
        raise RecordError(f"the content: got {_short(content)}, expected an object")
    content = {name: value for name, value in content.items() if name in MetricRecord._fields}
    try:
        record: MetricRecord = _adapter(MetricRecord).validate_python(content, strict=True)
    except pydantic.ValidationError as error:
        raise RecordError(_fault(error)) from error
    return record


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.cache
def _metric_values(declared: tuple[metrics.Metric, ...]) -> type[pydantic.BaseModel]:
    """Makes the model that validates the test values of a result."""
    optional, required = (FiniteFloat | None, None), (FiniteFloat, ...)
    fields: dict[str, Any] = {metric.key: required if metric.required else optional for metric in declared}
    return pydantic.create_model("MetricValues", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def _fault(error: pydantic.ValidationError) -> str:
    """Describes the first fault: the field, what came and what was expected."""
    first = error.errors()[0]
    where, message = ".".join(map(str, first["loc"])), str(first["msg"])
    if first["type"] != "missing" and message.startswith("Input should be "):
        message = f"got {_short(first['input'])}, expected {message.removeprefix('Input should be ')}"
    return f"{where or 'the content'}: {message}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:59]}…"
