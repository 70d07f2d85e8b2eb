"""The experiment's fields and what is impossible together."""

import pytest
from pydantic import ValidationError

from cnn_jax.config import (
    AdamW,
    Checkpoint,
    Cnn,
    Csv,
    Experiment,
    FashionMnist,
    Records,
    Step,
    Train,
    impossible_combinations,
)
from cnn_jax.config.model import ResNet


def test_the_default_is_the_lectures():
    experiment = Experiment()
    assert experiment.model.features == (32, 64, 64)
    assert experiment.model.dense == (64,)
    assert (experiment.train.epochs, experiment.train.batch_size) == (5, 32)
    assert {"name": "adam", "learning_rate": 1e-3, "eps": 1e-7}.items() <= experiment.optimizer.model_dump().items()


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Experiment().seed = 1


def test_alternatives_are_told_apart_by_name():
    assert isinstance(Experiment(optimizer={"name": "adamw"}).optimizer, AdamW)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": Cnn(features=(8, 8), kernel_size=(3, 3, 3))}, {"model.kernel_size", "model.pooling"}),
        ({"model": Cnn(features=(8, 8), kernel_size=(), pooling="max")}, {"model.kernel_size"}),
        (
            {"model": ResNet(bottleneck_groups=32, bottleneck_width=2)},
            {"model.bottleneck_groups", "model.bottleneck_width"},
        ),
        ({"checkpoint": Checkpoint(select="best")}, {"checkpoint.select"}),
        ({"schedule": Step(boundaries=(3.0, 2.0))}, {"schedule.boundaries"}),
        ({"schedule": Step(boundaries=(9.0,))}, {"schedule.boundaries"}),
        ({"schedule": Step(warmup_epochs=5.0)}, {"schedule.warmup_epochs"}),
        ({"train": Train(batch_size=64), "data": FashionMnist(train_examples=63)}, {"train.batch_size"}),
        ({"data": Records(folder="x", crop_area=(1.0, 0.08))}, {"data.crop_area"}),
        ({"data": Records(folder="x", crop_aspect=(1.5, 0.5))}, {"data.crop_aspect"}),
        ({"data": Records(folder="x", image_size=224, shorter_side=223)}, {"data.shorter_side"}),
    ],
)
def test_impossible_combinations_are_named(fields, named):
    with pytest.raises(ValidationError):
        Experiment(**fields)
    defaults = Experiment()
    unchecked = Experiment.model_construct(
        **{name: getattr(defaults, name) for name in Experiment.model_fields} | fields
    )
    assert {fields[0] for fields, _ in impossible_combinations(unchecked)} == named


@pytest.mark.parametrize(
    "model",
    [
        {"padding": ((1, 1), (2, 2))},  # explicit pads of one padding, for all stages
        {"padding": ("SAME", 1, ((0, 1), (0, 1)))},
        {"kernel_size": ((3, 5),)},
        {"kernel_size": (3, (3, 5), 1)},
    ],
)
def test_values_for_all_stages_and_for_each(model):
    assert Experiment(model={"name": "cnn", **model}).model.features == (32, 64, 64)


@pytest.mark.parametrize(
    ("column", "legal"), [("digit", True), (1, True), (-785, True), (0, False), (1.0, False), (True, False)]
)
def test_columns_are_names_or_numbers_from_either_end(column, legal):
    if legal:
        assert Csv(train_file="a", test_file="b", label_column=column).label_column == column
    else:
        with pytest.raises(ValidationError, match="label_column"):
            Csv(train_file="a", test_file="b", label_column=column)
