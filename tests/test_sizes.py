"""Sizes that make code hard to read: long files, many parameters, many fields."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUMBERS = ["Eight", "Nine", "Ten", "Eleven", "Twelve", "Thirteen", "Fourteen", "Fifteen", "Sixteen"]  # from 8


def parameters(function):
    """How many a caller may give; self and cls do not count."""
    given = function.args
    named = [each.arg for each in given.posonlyargs + given.args + given.kwonlyargs]
    return (
        len(named) - (named[:1] in (["self"], ["cls"])) + sum(each is not None for each in (given.vararg, given.kwarg))
    )


def fields(body):
    return sum(isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation) for each in body)


def without_reason(text):
    """Lists functions of more than seven parameters and classes of more than ten fields that no comment explains."""
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count, most, what = parameters(node), 7, "seven parameters"
        elif isinstance(node, ast.ClassDef):
            count, most, what = fields(node.body), 10, "ten fields"
        else:
            continue
        first = min(each.lineno for each in (node, *node.decorator_list))
        if count > most and not re.match(rf" *# More than {what}: \S", lines[first - 2]):
            found.append(f"{node.name} has {count}, more than {what}")
    return found


def test_large_functions_and_classes_have_a_reason():
    """Sections of the config need none: each field is a choice of the experimenter."""
    files = [path for path in (ROOT / "cnn_jax").rglob("*.py") if path.parent.name != "config"]
    assert len(files) > 200
    assert {str(path): found for path in files if (found := without_reason(path.read_text()))} == {}


def test_the_check_sees_what_it_should():
    many = ", ".join("abcdefgh")
    assert without_reason(f"\ndef f(self, {many}): ...") == ["f has 8, more than seven parameters"]
    assert without_reason(f"\n# Many parameters.\ndef f({many}): ...") == ["f has 8, more than seven parameters"]
    assert without_reason(f"# More than seven parameters: why.\n@cache\ndef f({many}): ...") == []
    assert without_reason("\nclass C:\n" + "".join(f"    {name}: int\n" for name in "abcdefghijk")) == [
        "C has 11, more than ten fields"
    ]


def test_no_file_is_longer_than_400_lines():
    files = [path for folder in ("cnn_jax", "tests", "scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert {str(path): count for path in files if (count := len(path.read_text().splitlines())) > 400} == {}
