"""From an experiment file to trials, or to all faults of all trials."""

import pytest

from cnn_jax.config_parse import ConfigError, parse
from cnn_jax.sweep import plan
from cnn_jax.sweep.trial import trial_id


def test_every_trial_has_its_config(write_experiment):
    sweep = plan.read(write_experiment(), {"train.epochs": 7})
    assert len(sweep.trials) == 24
    assert sweep.fields == ("optimizer.learning_rate",)
    last = sweep.trials[-1]
    assert (last.number, last.experiment.seed, last.experiment.optimizer.learning_rate) == (24, 3, 0.3)
    assert {trial.experiment.train.epochs for trial in sweep.trials} == {7}
    assert str(last) == "optimizer.learning_rate=0.3, seed=3"


def test_a_typo_is_told_with_its_trial_and_all_others(write_experiment):
    path = write_experiment('[{"seed": n} for n in range(22)] + [{"model.paddin": 1}, {"train.epochs": 0}]')
    with pytest.raises(ConfigError) as caught:
        plan.read(path, {})
    assert caught.value.faults == [
        "trial 23 of 24 (model.paddin=1): config.model.paddin: unknown field; did you mean config.model.padding?",
        "trial 24 of 24 (train.epochs=0): config.train.epochs: got 0 (int), expected integer >= 1 and <= 1000000",
    ]


def test_named_values_are_told_by_their_names(write_experiment):
    wide = 'Named("wide", {"name": "cnn", "features": (64,), "pooling": "max"})'
    path = write_experiment(
        f'Sweep([{{"model": {wide}}}, {{"model": {{"name": "lenet5"}}}}], baseline={{"model": {wide}}})'
    )
    path.write_text(path.read_text().replace("import Sweep,", "import Named, Sweep,"))
    sweep = plan.read(path, {})
    assert [str(trial) for trial in sweep.trials] == ["model=wide", "model={lenet5}"]
    assert sweep.trials[0].experiment.model.features == (64,)
    assert sweep.trials[0].overrides["model"]["features"] == (64,)
    assert sweep.sweep.baseline == {"model": "wide"}
    assert [trial.number for trial in plan.choose(sweep, {"model": "wide"}, None)] == [1]


def test_copies_are_one_trial(write_experiment):
    sweep = plan.read(write_experiment('[{"seed": 0}, {}, {"seed": 1}, {"train.epochs": 2, "seed": 1}]'), {})
    assert [trial.number for trial in sweep.trials] == [1, 3]
    assert sweep.repeated == 2


def test_more_points_leave_the_sweep_the_same_and_other_shared_values_do_not(write_experiment):
    first = plan.read(write_experiment("repeat_seeds(2)"), {})
    more = plan.read(write_experiment("repeat_seeds(3)"), {})
    other = plan.read(write_experiment("repeat_seeds(2)"), {"train.epochs": 3})
    assert first.digest == more.digest != other.digest


def test_a_trials_name_is_that_of_its_whole_config_and_its_data():
    one = trial_id(parse({"seed": 1}), "abc")
    assert one == trial_id(parse({"seed": 1, "train": {"epochs": 5}}), "abc"), "5 is the default"
    assert len({one, trial_id(parse({"seed": 2}), "abc"), trial_id(parse({"seed": 1}), "abd")}) == 3
    assert one == trial_id(parse({"seed": 1}).model_copy(), "abc")
    assert len(one) == 16


def test_choosing_trials(write_experiment):
    sweep = plan.read(write_experiment(), {})
    chosen = plan.choose(sweep, {"optimizer.learning_rate": 0.01, "seed": 2}, None)
    assert [trial.number for trial in chosen] == [11]
    assert [trial.number for trial in plan.choose(sweep, {"seed": 3}, 2)] == [4, 8]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"optimizer.learning_rat": 0.01}, "did you mean 'optimizer.learning_rate'"),
        ({"train.epochs": 1}, "the sweep varies: optimizer.learning_rate, seed"),
        ({"seed": 4}, "no trial has seed=4; seed takes 0, 1, 2, 3"),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused(write_experiment, only, message):
    with pytest.raises(ConfigError, match=message):
        plan.choose(plan.read(write_experiment(), {}), only, None)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("[]", "gave no trials"),
        ("3", "expected a list of overrides, or a Sweep"),
        ('["seed"]', "expected a list of overrides, or a Sweep"),
        ('product({"seed": [0]}, {"seed": [1]})', r"ValueError: seed is set twice: by 0 and by 1 \(rates.py:15\)"),
        ('Sweep(repeat_seeds(2), baseline={"model.padding": "SAME"})', "'model.padding' is no field that the sweep"),
        (
            'Sweep(product({"model.padding": ["SAME", "VALID"]}), baseline={"model.padding": "TORCH"})',
            "no trial has model.padding=TORCH",
        ),
    ],
)
def test_what_is_no_sweep_is_refused(write_experiment, sweep, message):
    with pytest.raises(ConfigError, match=message):
        plan.read(write_experiment(sweep), {})


def test_a_flag_for_what_the_sweep_varies_is_refused(write_experiment):
    with pytest.raises(ConfigError, match=r"choose trials with --sweep.only=seed=VALUE"):
        plan.read(write_experiment(), {"seed": 1})


def test_a_file_without_a_sweep(tmp_path):
    path = tmp_path / "single.py"
    path.write_text("def get_config():\n    return {}\n")
    with pytest.raises(ConfigError, match=r"has no function get_sweep\(\)"):
        plan.read(path, {})
