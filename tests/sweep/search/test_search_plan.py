"""Searches that are refused before anything starts."""

import pytest

from cnn_jax.cli import main
from cnn_jax.config.parsing import ConfigError
from cnn_jax.sweep.search import plan
from sweep.search.stand_in import CONFIG, write

SPARSE = CONFIG | {"train": {"epochs": 9, "eval_every_epochs": 2}}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("[{'seed': 0}]", r"gave \[{'seed': 0}\], expected a Search"),
        ("Search({}, trials=8)", "space: got {}, expected a mapping of fields to ranges"),
        ("Search([1], trials=8)", r"space: got \[1\], expected a mapping"),
        ("Search({'model.padding': ['SAME']}, trials=8)", r"'model.padding': got \['SAME'\], expected uniform"),
        ("Search({3: uniform(0, 1)}, trials=8)", "space: 3: got"),
        ("Search({'train.label_smoothing': uniform(1, 1)}, trials=8)", "the interval is empty"),
        ("Search({'optimizer.learning_rate': log_uniform(0, 1)}, trials=8)", "the logarithm of 0 is not finite"),
        ("Search({'model.padding': choice([])}, trials=8)", "nothing to choose from"),
        ("Search(RATE, trials=0)", "trials: got 0, expected an integer from 1"),
        ("Search(RATE, trials=8.0)", "trials: got 8.0, expected an integer"),
        ("Search(RATE, trials=10**9)", "trials: got 1000000000"),
        ("Search(RATE, trials=8, batch=0)", "batch: got 0"),
        ("Search(RATE, trials=8, batch=9, sampler='halton')", "batch: got 9, and there are trials=8"),
        ("Search(RATE, trials=8, batch=8, sampler='tpe')", "'tpe' learns between batches"),
        ("Search(RATE, trials=8, seed=-1)", "seed: got -1"),
        ("Search(RATE, trials=8, sampler='tpa')", "sampler: got 'tpa', expected one of.*did you mean 'tpe'"),
        ("Search(RATE, trials=8, metric='acuracy')", "metric: got 'acuracy', expected one of.*did you mean 'accuracy'"),
        ("Search(RATE, trials=8, metric=None)", "metric: got None"),
        ("Search(RATE, trials=8, confirm=9)", "confirm: got 9, and there are trials=8"),
        ("Search(RATE, trials=8, confirm=-1)", "confirm: got -1"),
        ("Search(RATE, trials=8, seeds=0)", "seeds: got 0"),
        ("Search(RATE, trials=8, cores=10**6)", "cores: got 1000000"),
        ("Search(RATE, trials=8, description=3)", "description: got 3, expected text"),
        ("Search(RATE, trials=8, stopping='halving')", "stopping: got 'halving', expected Halving"),
        ("Search(RATE, trials=8, stopping=Halving(eta=1))", "stopping.eta: got 1, expected an integer of 2 or more"),
        ("Search(RATE, trials=8, stopping=Halving(min_epochs=0))", "stopping.min_epochs: got 0"),
        ("Search(RATE, trials=8, stopping=Halving(min_epochs=10))", "the rung of 10 epochs lies beyond config.train"),
        ("Search(RATE, trials=8, stopping=Halving(min_epochs=4))", "config.train.epochs=9 has no rung but the last"),
        ("Search(RATE, trials=8, batch=4, stopping=Hyperband())", "the brackets of Hyperband are its batches"),
        (
            "Search(RATE, trials=8, sampler='gp', stopping=Halving())",
            "'gp' learns from trials of the full length alone",
        ),
        ("Search({'seed': integers(0, 9)}, trials=8)", "'seed' holds seed, which is the same for all trials"),
        ("Search({'train.epochs': integers(1, 9)}, trials=8)", "'train.epochs' holds train.epochs"),
        ("Search({'data': choice([{'name': 'mnist'}])}, trials=8)", "'data' holds data.validation_fraction"),
        ("Search({'optimizer.learning_rat': uniform(0, 1)}, trials=8)", "unknown field; did you mean config.optimizer"),
        ("Search({'train.label_smoothing': uniform(0, 2)}, trials=8)", "config.train.label_smoothing: got 2.0"),
        ("Search({'model.padding': choice(['SAME', 'SANE'])}, trials=8)", "did you mean 'SAME'"),
        (
            "Search({'model': choice([{}]), 'model.padding': choice(['SAME'])}, trials=8)",
            "'model.padding' lies in 'model'",
        ),
        ("Search(RATE)", "missing 1 required"),
        ("Search", r"gave <class '.*Search'>, expected a Search"),
        ("Search(RATE, trials=True)", "trials: got True, expected an integer"),
        ("Search(RATE, trials=8, stopping=Halving)", r"stopping: got <class '.*Halving'>, expected Halving\(\)"),
        ("Search(RATE, trials=8, stopping=Halving(eta=2.5))", "stopping.eta: got 2.5, expected an integer"),
        (
            "Search({'train.batch_size': uniform(16, 64)}, trials=8)",
            r"batch_size: got 16.0 \(float\), expected int",
        ),
        ("Search({'optimizer.momentum': uniform(0.5, 0.9)}, trials=8)", "it belongs to config.optimizer.name=sgd"),
        ("Search({'optimizer': uniform(0, 1)}, trials=8)", "expected a section with the name"),
        ("Search({'optimizer.learning_rate': uniform('0', 1)}, trials=8)", "expected two finite numbers"),
        ("Search({'model.features': choice([integers(1, 2)])}, trials=8)", "got Integers.* in a choice"),
        ("Search({'': uniform(0, 1)}, trials=8)", "config.: unknown field"),
        ("Search({'model.padding': choice(['SAME', 'VALID'])}, trials=9, sampler='cma_es')", "use sampler='tpe'"),
        ("Search(RATE, trials=8, max_multiply_adds=0)", "max_multiply_adds: got 0, expected an integer from 1"),
        ("Search(RATE, trials=8, max_multiply_adds=1e6)", "max_multiply_adds: got 1000000.0, expected an integer"),
        ("Search(RATE, trials=8, overrides={})", "overrides: got {}, expected a function from a point"),
        ("Search(WIDTH, trials=8, overrides=lambda point: point['w'])", "of the point width=.*: KeyError: 'w'"),
        ("Search(WIDTH, trials=8, overrides=lambda point: exit(3))", "of the point width=.*: SystemExit: 3"),
        (
            "Search(WIDTH, trials=8, overrides=lambda point, own=[1e-3]: own.append(own[-1] / 2) or "
            "{'optimizer.learning_rate': own[-1]})",
            "the same point gave other values the second time",
        ),
        ("Search(WIDTH, trials=8, overrides=lambda point: {})", "the same fields and values came of all 66 points"),
        (
            "Search({'width': choice([{1}, {2}])}, trials=8, overrides=dict)",
            r"'width': got \{1\} in a choice, expected texts",
        ),
        ("Search({'width': choice([float('nan')])}, trials=8, overrides=dict)", "got nan in a choice"),
        (
            "Search({'model.padding': choice([Named('a', 'SAME'), Named('a', 'VALID')])}, trials=8)",
            "'model.padding': different values have the name 'a'",
        ),
        ("Search(WIDTH, trials=8, overrides=lambda point: 3)", "of the point width=.*: got 3, expected a mapping"),
        (
            "Search(WIDTH, trials=8, overrides=lambda point: {'model.feature': (point['width'],)})",
            "unknown field; did you mean config.model.features",
        ),
        (
            "Search(WIDTH, trials=8, overrides=lambda point: {'model.features': (point['width'] - 8,)})",
            r"config.model.features: got \(0,\)",
        ),
        ("Search(WIDTH, trials=8, overrides=lambda point: {'seed': point['width']})", "'seed' holds seed"),
        ("Search({'seed': integers(8, 9)}, trials=8, overrides=dict)", "'seed': expected a name .* no other column"),
        ("Search({'the width': integers(8, 9)}, trials=8, overrides=dict)", "'the width': expected a name of letters"),
    ],
)
def test_bad_searches(tmp_path, search, message):
    with pytest.raises(ConfigError, match=message):
        plan.read(write(tmp_path, search), {})
    assert [path.name for path in tmp_path.iterdir()] == ["searched.py"]


def test_a_search_needs_validation_images(tmp_path):
    config = {"data": {"name": "fashion_mnist"}}
    with pytest.raises(ConfigError, match=r"decides by validation images.*set config.data.validation_fraction=0.1"):
        plan.read(write(tmp_path, "Search(RATE, trials=8, sampler='halton')", config), {})


def test_a_rung_at_which_nothing_is_measured(tmp_path):
    with pytest.raises(
        ConfigError, match=r"nothing is measured after epochs 1, 3, since config.train.eval_every_epochs=2"
    ):
        plan.read(write(tmp_path, "Search(RATE, trials=8, sampler='halton', stopping=Halving())", SPARSE), {})


def test_a_searched_field_is_not_set_by_the_command_line(tmp_path):
    file = write(tmp_path, "Search(RATE, trials=8, sampler='halton')")
    with pytest.raises(
        ConfigError, match=r"--config.optimizer.learning_rate: the search varies optimizer.learning_rate"
    ):
        plan.read(file, {"optimizer.learning_rate": 0.1})
    assert plan.read(file, {"train.epochs": 3}).base.train.epochs == 3


def test_a_function_sets_the_fields_of_a_point(tmp_path):
    function = "lambda point: {'model.features': (point['width'],) * 3}"
    search = f"Search(WIDTH, trials=8, sampler='halton', overrides={function})"
    found = plan.read(write(tmp_path, search), {})
    assert plan.overrides_of(found.search, {"width": 9}) == {"model.features": (9, 9, 9)}
    with pytest.raises(ConfigError, match=r"--config.model: the search varies model.features; leave it out"):
        plan.read(write(tmp_path, search), {"model": {"name": "cnn"}})


def test_the_command_line_changes_a_search(tmp_path):
    file = write(tmp_path, "Search(RATE, trials=18, sampler='tpe', batch=6, stopping=Halving())")
    words = ["--search.sampler=halton", "--search.trials=9", "--search.stopping=none", "--search.seed=2"]
    found = main.parse(["search", f"--config={file}", *words])[1].plan
    assert (found.search.sampler, found.search.seed, found.budget) == ("halton", 2, 81)
    with pytest.raises(ConfigError, match="batch: got 6, and there are trials=5"):
        main.parse(["search", f"--config={file}", "--search.sampler=halton", "--search.trials=5"])
    with pytest.raises(ConfigError) as error:
        main.parse(["search", f"--config={file}", "--search.sampler=haltom"])
    assert len(error.value.faults) == 1, "and nothing of the file, which is sound"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accelerator=H100"], "--accelerator: is for --engine=ray"),
        (["--engine=ray", "--accelerator=H100"], "also give --gpus=N or --tpus=N"),
    ],
)
def test_accelerators_that_no_trial_would_get(tmp_path, words, message):
    file = write(tmp_path, "Search(RATE, trials=4, sampler='halton')")
    with pytest.raises(ConfigError, match=message):
        main.parse(["search", f"--config={file}", *words])


def test_a_file_without_a_search(tmp_path):
    (tmp_path / "file.py").write_text("def get_config():\n    return {}\n")
    with pytest.raises(ConfigError, match=r"has no function get_search\(\)"):
        plan.read(tmp_path / "file.py", {})


def test_another_search_has_another_name(tmp_path):
    base = "Search(SPACE, trials=8, sampler='halton'{})"
    names = set()
    for more in ("", ", seed=1", ", batch=4", ", metric='loss'", ", stopping=Halving()", ", cores=1", ", confirm=1"):
        names.add(plan.read(write(tmp_path, base.format(more)), {}).digest)
    assert len(names) == 6  # cores=1 is the default
