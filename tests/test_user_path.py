"""Paths of flags and config fields: ~ is expanded everywhere, and what is no path is refused."""

from pathlib import Path

import pytest

from cnn_jax import user_path
from cnn_jax.cli import main
from cnn_jax.config.parsing import ConfigError, parse


def parse_flags(words):
    """The request of a command line."""
    return main.parse(words)[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "small.py").write_text("def get_config():\n    return {}\ndef get_sweep():\n    return [{'seed': 0}]\n")
    return tmp_path


def test_expansion(home):
    assert user_path.expand("~/a b") == home / "a b"
    assert user_path.expand("~") == home
    assert user_path.expand("a~/~") == Path("a~/~")


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "~no_such_user_here/x"])
def test_no_path(text):
    with pytest.raises(ValueError, match=r"expected a path|NUL|no user"):
        user_path.expand(text)


def test_every_path_flag_is_expanded(home):
    trained = parse_flags(["train", "--config=~/small.py", "--workdir=~/run", "--data_dir=~/data"])
    assert (trained.workdir, trained.data_dir) == (home / "run", home / "data")
    predicted = parse_flags(["predict", "--workdir=~/run", "--images=~/a", "--images=~/b", "--output=~/p.csv"])
    assert (predicted.images, predicted.output) == ((home / "a", home / "b"), home / "p.csv")
    prepared = parse_flags(["prepare", "--source=~/pictures", "--target=~/records"])
    assert (prepared.source, prepared.target) == (home / "pictures", home / "records")
    swept = parse_flags(["sweep", "--config=~/small.py", "--export=~/sweep.json"])
    assert swept.export == home / "sweep.json"
    compiled = parse_flags(["compile", "--config=~/small.py", "--topology=v5e:1x1", "--json=~/costs.json"])
    assert compiled.json == home / "costs.json"
    with pytest.raises(ConfigError, match=f"--from: .*{home}/none.json|{home}/none.json"):
        parse_flags(["sweep", "--from=~/none.json"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --config=~no_such_user_here/small.py", "--config: got .*no user 'no_such_user_here'"),
        ("eval --workdir=~no_such_user_here/run", "--workdir: got .*no user"),
        ("predict --workdir=x --images=a\0b", "--images: got .*NUL"),
        ("train --config=~/small.py --config.data.name=csv --config.data.train_file=a\0b --config.data.test_file=x",
         "config.data.train_file: got .*NUL"),
        ("train --config=~/small.py --config.data.idx_dir=~no_such_user_here", "config.data.idx_dir: got .*no user"),
        ("train --config=~/small.py --config.data.idx_dir=", "config.data.idx_dir: empty"),
        ("train --config=~/small.py --config.data.idx_dir=caf\udce9", "config.data.idx_dir: got .*not UTF-8"),
        ("train --config=~/small.py --config.model.name=resnet --config.pretrained.weights=~no_such_user_here/w.pth",
         "config.pretrained.weights: got .*no user"),
    ],
)  # fmt: skip
def test_no_path_is_refused_with_its_name(home, words, message):
    with pytest.raises(ConfigError, match=message):
        parse_flags(words.split(" "))


def test_a_path_of_pathlib_is_a_path():
    data = {"name": "image_folder", "train_dir": Path("/data/pictures")}
    assert parse({"data": data}).data.train_dir == "/data/pictures"
