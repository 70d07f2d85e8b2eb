"""Fields that take text take any text."""

import pytest

from cnn_jax.cli import main
from cnn_jax.config.text_fields import kind_of, read


@pytest.mark.parametrize(
    "text", ["2024", "true", "null", "none", "1e3", "[a]", "(a,)", "a,b", "{}", "1is 2", "-1", "''x"]
)
def test_text_is_text(tmp_path, text):
    file = tmp_path / "small.py"
    file.write_text("def get_config():\n    return {'data': {'name': 'image_folder'}}\n")
    experiment = main.parse(["train", f"--config={file}", f"--config.data.train_dir={text}"])[1].experiment
    assert experiment.data.train_dir == text


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("data.train_dir", ("text", False)),
        ("data.test_dir", ("text", True)),
        ("data.idx_dir", ("text", True)),
        ("data.class_names", ("texts", True)),
        ("pretrained.weights", ("text", True)),
        ("pretrained.freeze", ("texts", False)),
        ("data.height", None),
        ("data.name", None),
        ("model.padding", None),
        ("seed", None),
        ("data", None),
        ("no.such.field", None),
    ],
)
def test_kinds(field, kind):
    assert kind_of(field) == kind


@pytest.mark.parametrize(
    ("text", "nullable", "value"),
    [
        ("none", True, None),
        ("NULL", True, None),
        ("'none'", True, "none"),
        ('"a b"', False, "a b"),
        ("'half", False, "'half"),
    ],
)
def test_none_and_quotes(text, nullable, value):
    assert read(text, "text", nullable) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(a,b)", ("a", "b")),
        ("[1, 1e3, true, None]", ("1", "1e3", "true", "None")),
        ("'T-shirt/top', Ankle", ("T-shirt/top", "Ankle")),
        ("T-shirt/top,Ankle boot", ("T-shirt/top", "Ankle boot")),
        ("(T-shirt/top, $5 to $10)", ("T-shirt/top", "$5 to $10")),
        ("none", None),
        ("cat", "cat"),  # no tuple: refused by the field's type
    ],
)
def test_tuples_of_texts(text, value):
    assert read(text, "texts", nullable=True) == value
