"""The site's pages that are made of declarations, its links to the explorer, and its list of versions."""

import json

from cnn_jax.cli.main import COMMANDS
from scripts.docs import site


def test_every_command_and_flag_has_its_meaning():
    page = site.commands_page(COMMANDS)
    for command in COMMANDS.values():
        section = page.split(f"## {command.name}\n")[1].split("\n## ")[0]
        for flag in command.flags:
            assert f"`--{flag.name}`\n: " in section
    assert "*Default: 30.*" in page.split("`--heartbeat_timeout`")[1].split("\n\n")[0]


def test_every_field_of_the_config_has_its_values():
    page = site.config_page()
    strides = page.split("`model.stem_strides`\n: ")[1].split("\n\n`")[0]
    assert "Only with the name" in strides
    assert page.split("`seed`\n: ")[1].startswith("every random choice derives from it.")
    assert page.count("\n## ") == 10


def test_text_stays_as_it_is_in_markdown():
    assert site._plain("a*b <c> [d] x_y --config.a_b=1") == r"a\*b &lt;c&gt; \[d\] x\_y `--config.a_b`=1"


def test_links_to_the_explorer_are_links_of_html():
    text = "[one](../explorer/index.html#edge), [two](explorer/index.html), [three](guide.md)"
    assert site.with_explorer_links(text) == (
        "<a href='../explorer/index.html#edge'>one</a>, <a href='explorer/index.html'>two</a>, [three](guide.md)"
    )


def test_the_newest_version_is_first(tmp_path):
    for name in ("0.9.0", "0.10.0", "notes"):
        (tmp_path / name).mkdir()
        if name != "notes":
            (tmp_path / name / "searchindex.js").touch()
    site.write_versions(tmp_path / "0.9.0", "https://example.org/docs")
    entries = json.loads((tmp_path / "versions.json").read_text())
    assert [entry["version"] for entry in entries] == ["0.10.0", "0.9.0"]
    assert entries[0]["url"] == "https://example.org/docs/0.10.0/"
    assert "url=0.10.0/" in (tmp_path / "index.html").read_text()
