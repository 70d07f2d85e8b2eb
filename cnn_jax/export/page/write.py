"""Writes the live page of a finished run: a single HTML file that needs neither a server nor a network connection."""

from __future__ import annotations

import dataclasses
import functools
import json
import zlib
from pathlib import Path

import jax
import jinja2
import markupsafe
import numpy as np

from cnn_jax.config import Records
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.host.crops import evaluation_crop
from cnn_jax.export import description, seal
from cnn_jax.export.page import packing
from cnn_jax.train.restore import FinishedRun

LARGEST = 5_000_000
"""Parameters of the largest network that a page holds."""
_SCRIPTS = ("convolution.js", "network.js", "picture.js", "units.js", "story.js", "page.js")


def write(run: FinishedRun) -> bytes:
    """Writes the live page of a finished run's network.

    Args:
      run: Finished run.

    Returns:
      Content of the HTML file.

    Raises:
      ConfigError: If the network's images are neither grey nor RGB, or it has more than LARGEST parameters, a layer
        that the page does not compute, or weights that are not finite.
    """
    if run.dtype != "uint8" or run.image_shape[2] not in (1, 3):
        given = f"{run.image_shape[2]} channels of {run.dtype}"
        raise ConfigError([f"--format=page: pages draw grey or RGB pictures of uint8, and the network takes {given}"])
    nodes = run.config.network.layer_graph(run.image_shape)
    count = sum(node.row.parameters for node in nodes if node.row)
    if count > LARGEST:
        raise ConfigError(
            [
                f"--format=page: the network has {count:,} parameters, and a page holds up to {LARGEST:,}; "
                "use a smaller width, or --format=onnx"
            ]
        )
    if not all(np.isfinite(np.asarray(array)).all() for array in jax.tree.leaves(dict(run.variables))):
        raise ConfigError(
            ["--format=page: the network has weights that are not finite (NaN or infinite); train it again"]
        )
    layers, weights = packing.pack(nodes, run.variables)
    described = description.describe(run)
    data, train = run.experiment.data, run.experiment.train
    crop = evaluation_crop(data, run.image_shape) if isinstance(data, Records) else None
    content = {
        "description": described.model_dump(mode="json"),
        "layers": layers,
        "mirrored": train.eval_mirrored,
        "shift": train.eval_shift,
        "crop": None if crop is None else [crop.side, crop.shorter_side],
    }
    text = json.dumps(content).replace("<", "\\u003c")
    scripts = [_text(name) for name in _SCRIPTS]
    summed = text.replace(seal.PLACE, "") + weights + "".join(f"\n{script}\n" for script in scripts)
    return seal.seal(
        _template()
        .render(
            model=run.experiment.model.name,
            parameters=count,
            accuracy=described.test_accuracy,
            image_shape=run.image_shape,
            classes=len(run.class_names),
            crc32=zlib.crc32(summed.encode()),
            content=markupsafe.Markup(text),
            weights=weights,
            style=_text("page.css"),
            scripts=scripts,
        )
        .encode()
    )


def rounded(run: FinishedRun) -> FinishedRun:
    """Returns the run with the rounded weights of its page, for comparison with the page.

    Args:
      run: Finished run.
    """
    variables = jax.tree.map(lambda array: packing.narrowed(np.asarray(array)).astype(np.float32), dict(run.variables))
    return dataclasses.replace(run, variables=variables)


def _text(name: str) -> markupsafe.Markup:
    return markupsafe.Markup(Path(__file__).with_name(name).read_text(encoding="utf-8"))


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "page.html.j2"
    )
