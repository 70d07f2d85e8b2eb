"""From an experiment file to trials, or to all faults of all trials."""

import json

import numpy as np
import pytest

from cnn_jax.config.parsing import ConfigError, parse, plain
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
        ("[{'seed': 1}] * 100_001", "gave 100,001 trials, expected at most 100,000: divide the sweep"),
        ("3", "expected a list of overrides, or a Sweep"),
        ("[{3: 1}]", r"gave the field 3 \(int\) in point 1, expected a dotted name"),
        ("[{('a', 'b'): 1}]", r"gave the field \('a', 'b'\) \(tuple\) in point 1"),
        ("Sweep([{'seed': 1}], baseline=3)", r"gave Sweep\(baseline=3\), expected a mapping"),
        ("Sweep([{'seed': 1}], skip_infeasible='yes')", r"skip_infeasible='yes'\), expected True or False"),
        ("Sweep([{'seed': 1}], description=None)", r"description=None\), expected text"),
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


def as_numpy(path):
    """Gives an experiment file the names np and jnp."""
    path.write_text("import numpy as np\n" + path.read_text().replace("import Sweep,", "import Named, Sweep,"))
    return path


@pytest.mark.parametrize(
    ("field", "given", "plain"),
    [
        ("optimizer.learning_rate", "np.float32(0.1)", float(np.float32(0.1))),
        ("optimizer.learning_rate", "np.float64(0.1)", 0.1),
        ("optimizer.learning_rate", "np.float16(0.25)", 0.25),
        ("optimizer.learning_rate", "np.longdouble(0.5)", 0.5),
        ("optimizer.learning_rate", "np.array(0.5)", 0.5),
        ("optimizer.learning_rate", "np.array(0.5, np.float32)", 0.5),
        ("optimizer.learning_rate", "np.logspace(-3, -1, 3)[1]", 10.0**-2),
        ("train.epochs", "np.int64(3)", 3),
        ("train.epochs", "np.uint8(3)", 3),
        ("train.epochs", "np.arange(4)[3]", 3),
        ("seed", "np.int32(7)", 7),
        ("augment.flip", "np.bool_(True)", True),
        ("augment.flip", "np.array([1]) > 0)[0", True),
        ("model.padding", "np.str_('SAME')", "SAME"),
        ("model.padding", "np.array(['VALID', 'SAME'])[1]", "SAME"),
        ("model.features", "(np.int64(4), 8)", (4, 8)),
        ("model.features", "[np.int64(4), np.int8(8)]", (4, 8)),
        ("model.features", "np.array([4, 8])", (4, 8)),
        ("model.padding", "np.array([[1, 2], [2, 1]])", ((1, 2), (2, 1))),
        ("model", "{'name': 'cnn', 'features': (np.int64(4),), 'pooling': np.str_('max')}", None),
        ("model", "Named(np.str_('wide'), {'name': 'cnn', 'features': np.array([4]), 'pooling': 'max'})", None),
    ],
)
def test_numpys_values_are_pythons(write_experiment, field, given, plain):
    given = f"({given}]" if given.endswith(")[0") else given
    mine = plan.read(as_numpy(write_experiment(f"Sweep([{{{field!r}: {given}}}], skip_infeasible=np.bool_(True))")), {})
    if plain is None:
        plain = {"name": "cnn", "features": (4,), "pooling": "max"}
    theirs = plan.read(write_experiment(f"[{{{field!r}: {plain!r}}}]"), {})
    (numpys,), (pythons,) = mine.trials, theirs.trials
    assert trial_id(numpys.experiment, "abc") == trial_id(pythons.experiment, "abc")
    assert json.loads(json.dumps(numpys.overrides)) == json.loads(json.dumps(pythons.overrides))
    if "Named" not in given:
        assert json.dumps(numpys.point) == json.dumps(pythons.point)
        assert str(numpys) == str(pythons)
    assert mine.sweep.skip_infeasible is True
    assert mine.fields == theirs.fields


def test_a_baseline_of_numpys_values(write_experiment):
    space = '[{"optimizer.learning_rate": rate} for rate in np.array([0.5, 0.25], np.float32)]'
    sweep = plan.read(
        as_numpy(write_experiment(f'Sweep({space}, baseline={{"optimizer.learning_rate": np.float16(0.25)}})')), {}
    )
    assert sweep.sweep.baseline == {"optimizer.learning_rate": 0.25}
    assert [trial.number for trial in plan.choose(sweep, {"optimizer.learning_rate": 0.25}, None)] == [2]


def test_the_shared_config_takes_numpys_values_too():
    numpys = {"seed": np.int32(1), "train": {"epochs": np.array(3)}, "model": {"padding": np.str_("SAME")}}
    assert parse(numpys) == parse({"seed": 1, "train": {"epochs": 3}, "model": {"padding": "SAME"}})
    with pytest.raises(ConfigError, match=r"config\.train\.epochs: got 2\.5"):
        parse({"train": {"epochs": np.float32(2.5)}})


def test_jaxs_scalars_are_pythons():
    jnp = pytest.importorskip("jax.numpy")
    assert [plain(jnp.float32(0.1)), plain(jnp.int32(3)), plain(jnp.bool_(True)), plain(jnp.arange(2))] == [
        float(np.float32(0.1)),
        3,
        True,
        [0, 1],
    ]


@pytest.mark.parametrize(
    "given", ["np.datetime64('2020-01-01')", "np.complex64(1)", "np.bytes_(b'x')", "np.float32('nan')"]
)
def test_what_is_no_config_value_stays_refused(write_experiment, given):
    path = as_numpy(write_experiment(f'[{{"optimizer.learning_rate": {given}}}]'))
    with pytest.raises(ConfigError, match=r"config\.optimizer\.learning_rate: got"):
        plan.read(path, {})


def test_different_trials_of_one_name_are_refused(write_experiment):
    path = as_numpy(write_experiment('[{"train.epochs": Named("long", 5)}, {"train.epochs": Named("long", 9)}]'))
    with pytest.raises(ConfigError, match=r"trials 1 and 2 are different and have one name \(train.epochs=long\)"):
        plan.read(path, {})


def test_a_name_of_a_file_need_not_be_unicode(write_experiment):
    path = write_experiment(name="r\udcff.py")
    assert plan.read(path, {}).experiment == r"r\xff"


def test_values_that_hold_themselves_are_refused(write_experiment):
    path = write_experiment("sweep()")
    path.write_text(
        path.read_text() + "\ndef sweep():\n    d = {}\n    d['name'] = [d]\n    return [{'model': d}, {'seed': [d]}]\n"
    )
    with pytest.raises(ConfigError, match="trial 1 of 2: a value holds itself, or is nested too deeply") as caught:
        plan.read(path, {})
    assert len(caught.value.faults) == 2
    path.write_text(
        path.read_text().replace("return [{'model': d}", "return Sweep([{}], baseline={'seed': [d]}) or [{}")
    )
    with pytest.raises(ConfigError, match="a baseline in which a value holds itself"):
        plan.read(path, {})
