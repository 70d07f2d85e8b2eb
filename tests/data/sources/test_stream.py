"""A step's batch: the same examples and pixels, whoever makes it."""

import contextlib
import dataclasses
import io
import itertools
from collections import Counter

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax import config as cfg
from cnn_jax.data import DataError
from cnn_jax.data.device.device_feed import DeviceFeed
from cnn_jax.data.errors import UnreadableRecordError
from cnn_jax.data.host.crops import CentreCrop
from cnn_jax.data.sources import memory
from cnn_jax.data.sources.examples import PixelStatistics
from cnn_jax.data.sources.pictures import open_streams
from cnn_jax.data.sources.records import Records
from cnn_jax.data.sources.stream import Share, Stream

GREY = PixelStatistics(np.full(3, 128.0), np.eye(3))


@pytest.fixture
def streams(records_folder):
    """Opens the streams; 54 training images at 16 a batch make 4 steps an epoch, 6 test images at 4 a batch 2."""

    def opened(seed=5, batch_size=16, eval_batch_size=4, share=None, **fields):
        config = cfg.Records(**{"folder": str(records_folder), "image_size": 24, "workers": 0} | fields)
        found, share = open_streams(config, seed), share or Share()
        validation = found.validation and found.validation.in_batches(eval_batch_size, share)
        return dataclasses.replace(
            found,
            train=found.train.in_batches(batch_size, share),
            validation=validation,
            test=found.test.in_batches(eval_batch_size, share),
        )

    return opened


def taken(stream, step, count):
    with contextlib.closing(iter(stream.at(step))) as batches:
        return [tuple(batch) for batch in itertools.islice(batches, count)]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        for array, another in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, another)


@pytest.mark.parametrize(
    ("workers", "threads"), [(1, 1), (0, 3), (2, 2), pytest.param(4, 1, marks=pytest.mark.exhaustive)]
)
def test_a_step_is_the_same_for_any_number_of_workers_and_threads_and_wherever_it_began(streams, workers, threads):
    alone = taken(streams().train, 0, 9)
    start = 3
    assert_same(taken(streams(workers=workers, threads=threads).train, start, 6), alone[start:])


def test_a_step_is_the_same_wherever_the_stream_began(streams):
    alone = taken(streams().train, 0, 9)
    for start in (0, 1, 4, 7):
        assert_same(taken(streams().train, start, 9 - start), alone[start:])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_batch(streams, count):
    alone = taken(streams().train, 2, 4)
    parts = [taken(streams(share=Share(index, count)).train, 2, 4) for index in range(count)]
    assert [len(batch[1]) for batch in parts[0]] == [16 // count] * 4
    joined = [tuple(map(np.concatenate, zip(*same_step, strict=True))) for same_step in zip(*parts, strict=True)]
    assert_same(joined, alone)


def identities(stream, steps):
    """For each step, the numbers of the records, found by their labels and pixels among all pictures."""
    records = stream.records
    middles = {stream.view(records[number].picture, None).tobytes(): number for number in range(len(records))}
    assert len(middles) == len(records)
    return [[middles[image.tobytes()] for image in stream.batch(step).images] for step in steps]


def test_an_epoch_takes_every_training_image_once_in_an_order_of_its_own(records_folder):
    def stream(seed):
        return Stream(Records(records_folder, "train"), None, CentreCrop(24, 3, 28), GREY, seed, True, 0, batch_size=16)

    epochs = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        numbers = list(itertools.chain(*identities(stream(seed), range(4 * epoch, 4 * epoch + 4))))
        assert sorted(numbers[:54]) == list(range(54))
        assert numbers[54:] == numbers[:10]  # what fills up the last batch: the order's first examples
        epochs.append(numbers[:54])
    weights = np.concatenate([stream(0).batch(step).weights for step in range(4)])
    assert weights.tolist() == [1.0] * 54 + [0.0] * 10
    # Of two random orders of 54, one place in 54 agrees: more than 8 would happen once in a million times.
    for one, other in itertools.combinations(epochs, 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) <= 8
    # Neighbours of the files are no neighbours of the order.
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(epochs[0])) <= 10


def test_some_of_many(streams):
    test = streams().test
    whole = list(zip(*taken(test.in_batches(6), 0, 1)[0][:2], strict=True))
    some = test.some(3)
    for (image, label), ours, number in zip(whole[::2], some.images, some.labels, strict=True):
        np.testing.assert_array_equal(ours, image)
        assert number == label
    assert len(test.some(100)) == 6


def test_evaluation_sees_every_image_once_and_then_again(streams):
    test = streams().test
    assert (len(test), test.steps_per_epoch) == (6, 2)
    assert identities(test, range(4)) == [[0, 1, 2, 3], [4, 5, 0, 1]] * 2
    assert [test.batch(step).weights.tolist() for step in range(2)] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    # The labels of val/, two of each class in the order of the names.
    assert np.concatenate([test.batch(0).labels, test.batch(1).labels[:2]]).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_subset_of_the_test_pictures(streams):
    whole, part = streams().test, streams(test_examples=4).test
    assert (len(part), part.steps_per_epoch) == (4, 1)
    (numbers,) = identities(part, range(1))
    assert numbers == sorted(numbers)
    assert set(numbers) < set(range(len(whole)))
    assert identities(streams(seed=6, test_examples=4).test, range(1)) == [numbers]


def test_a_crop_is_anew_in_every_epoch(streams):
    # Two training examples, the whole epoch one batch: what differs between epochs beside the order is the crop.
    train = streams(train_examples=2, batch_size=2).train
    pictures = {image.tobytes() for step in range(20) for image in train.batch(step).images}
    assert len(pictures) == 40


def test_labels_and_pixels_are_those_of_the_files(streams, jpegs):
    test = streams(image_size=24, shorter_side=24).test
    files = sorted((jpegs / "val").rglob("*.jpg"))
    for number, file in enumerate(files):
        batch = test.batch(number // 4)
        picture = Image.open(io.BytesIO(file.read_bytes()))
        side = min(picture.size)
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        scale = 4 if side >= 96 else 2  # the pictures' sides are 67 to 205: decoded at a half or a quarter
        picture.draft("RGB", (picture.width // scale, picture.height // scale))
        box = (left / scale, top / scale, (left + side) / scale, (top + side) / scale)
        expected = picture.resize((24, 24), Image.Resampling.BILINEAR, box=box)
        np.testing.assert_array_equal(batch.images[number % 4], np.asarray(expected))
        assert batch.labels[number % 4] == int(file.parent.name.removeprefix("class_"))


def test_validation_images_are_held_out(streams):
    opened = streams(validation_fraction=0.25, train_examples=30)
    held, train = opened.validation.numbers, opened.train.numbers
    assert (len(held), len(train)) == (14, 30)  # of 54: round(13.5) is 14
    assert not set(held) & set(train)
    assert Counter(held) == Counter(streams(validation_fraction=0.25).validation.numbers)
    assert set(held) != set(streams(seed=6, validation_fraction=0.25).validation.numbers)
    assert isinstance(opened.validation.view, CentreCrop)
    assert streams().validation is None
    labels = np.concatenate([opened.validation.batch(step).labels for step in range(4)])[:14]
    assert labels.tolist() == [opened.validation.records[int(number)].label for number in held]


def test_batches_are_put_on_the_devices_ahead(streams):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    stream = streams().train
    with DeviceFeed(stream, 3, sharding) as feed:
        for step in (3, 4, 5):
            batch = next(feed)
            assert all(array.sharding == sharding for array in batch)
            assert_same([tuple(map(np.asarray, batch))], [stream.batch(step)])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_the_stream_reaches_the_step(streams, workers):
    stream = streams().train
    broken = Stream(_Broken(stream.records), None, stream.view, GREY, 5, True, workers)
    message = r"record \d+ of .*split train \(in .*\) cannot be decoded: it is none of PNG, JPEG, GIF"
    with (
        DeviceFeed(broken, 0, jax.sharding.SingleDeviceSharding(jax.devices()[0])) as feed,
        pytest.raises(UnreadableRecordError, match=message) as raised,
    ):
        next(feed)
    if workers:
        assert any("in batch\n" in note for note in raised.value.__notes__), "where in the worker"


class _Broken:
    """Records whose pictures are no pictures."""

    def __init__(self, records):
        self.place, self.groups, self._records = records.place, records.groups, records

    def __len__(self):
        return len(self._records)

    def __getitem__(self, number):
        return self._records[number]._replace(picture=b"x")


REFUSED = [
    (
        {"folder": "nowhere"},
        "config.data.folder: there is no folder nowhere; `launch.py prepare --source=PICTURES --target=nowhere`",
    ),
    ({"folder": "."}, r"config.data.folder: \. has no records.json; `launch.py prepare --source=PICTURES"),
    ({"train_examples": 55}, "config.data.train_examples=55: there are only 54 training images"),
    ({"test_examples": 7}, "config.data.test_examples=7: there are only 6 test images"),
    ({"validation_fraction": 0.001}, "config.data.validation_fraction=0.001 of 54 images holds out 0 and leaves 54"),
    ({"share": Share(0, 3)}, "a batch of 16 does not divide over 3 processes"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_is_refused(streams, fields, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        streams(**fields)


def test_batches_that_do_not_fit_into_memory_are_refused(streams, monkeypatch):
    monkeypatch.setattr(memory.host_memory, "free_bytes", lambda: 10**6)
    stream = streams(workers=3).test  # 8 batches of 24 x 24 x 3 bytes an image
    assert stream.in_batches(72).batch_size == 72
    assert stream.in_batches(144, Share(0, 2)).batch_size == 144
    for batch_size, share, rows in (
        (73, Share(), "73"),
        (146, Share(0, 2), "73"),
        (10**12, Share(), "1,000,000,000,000"),
    ):
        message = (
            rf"config.data: 8 batches of {rows} images ahead of the step: .* 1.0 MB are free; lower the batch size"
        )
        with pytest.raises(DataError, match=message):
            stream.in_batches(batch_size, share)
