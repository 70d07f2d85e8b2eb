"""Writes the report of a finished run, after classifying the test images again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.split import Split
from cnn_jax.geometry import summarize
from cnn_jax.report.run_page import ReportInputs, write_report
from cnn_jax.run import metrics_log
from cnn_jax.train.restore import FinishedRun

_STREAMED = 1000  # images of a streamed test set that the report uses


def write_run_report(run: FinishedRun, data_dir: Path | None = None) -> Path:
    """Classifies the test images again and writes the report into the run's folder.

    Args:
      run: Finished run, as `restore.load` returns it.
      data_dir: Folder of prepared data; None is the default folder.

    Returns:
      The path of index.html.

    Raises:
      DataError: If the images are not available, or differ from those that the run used.
      RunFolderError: If metrics.jsonl or the result was truncated or changed.
    """
    metrics_log.check(run.folder.metrics, run.result.step, run.records_seen)
    run.folder.check_result(run.result)
    dataset = run.dataset(data_dir)
    layers = summarize(run.experiment.model, run.image_shape, len(run.class_names)).layers
    test = dataset.test if isinstance(dataset.test, Split) else dataset.test.some(_STREAMED)
    inputs = ReportInputs(
        test=test,
        tested=len(dataset.test),
        class_names=run.class_names,
        probabilities=run.probabilities(test.images),
        first_kernel=_first_kernel(run.variables["params"]),
        layers=layers,
        warnings=run.folder.dataset_info().warnings,
    )
    return write_report(run.folder, inputs)


def _first_kernel(params: dict[str, Any]) -> np.ndarray | None:
    """Returns the kernel of the first convolution, [height, width, in, out]; None without one."""
    for name in sorted(params):
        kernel = params[name].get("kernel") if hasattr(params[name], "get") else None
        if kernel is not None and kernel.ndim == 4:
            return np.asarray(kernel)
    return None
