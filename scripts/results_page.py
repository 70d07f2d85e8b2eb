"""A finished sweep as a page of docs/results: `python -m scripts.results_page SWEEP_FOLDER`.

Writes docs/results/EXPERIMENT/README.md with every point's statistics and its difference from the baseline, and the
sweep's pictures beside it. What the figures show, and what they do not, is written by hand in docs/results/README.md.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.sweep.points import point_label, values_at
from cnn_jax.sweep.rows import Row, SweepHeader, read_rows
from cnn_jax.sweep.statistics import Estimate, differences, grouped

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def write_page(sweep: Path, results: Path = RESULTS) -> Path:
    """Writes the page of one sweep.

    Args:
      sweep: Folder of the sweep; every trial must have ended.
      results: Folder of the pages.

    Returns:
      The page's path.
    """
    header, rows = read_rows(sweep)
    if unfinished := [row.id for row in rows if row.status not in ("done", "failed", "infeasible")]:
        raise SystemExit(f"{sweep}: {len(unfinished)} trials have not ended; run the sweep first")
    folder = results / header.experiment
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures = sorted(write_sweep_report(sweep).parent.glob("*.png"))
    for picture in pictures:
        shutil.copy(picture, folder / picture.name)
    page = folder / "README.md"
    page.write_text(_page(header, rows, [picture.name for picture in pictures]), encoding="utf-8")
    return page


def _page(header: SweepHeader, rows: Sequence[Row], pictures: Sequence[str]) -> str:
    done = [row for row in rows if row.status == "done"]
    devices, packages, commits = (
        sorted({str(row.values[column]) for row in done}) for column in ("device", "packages", "commit")
    )
    lines = [
        f"# {header.experiment}",
        "",
        header.description,
        "",
        "<!-- not run: a sweep of hours -->",
        "```bash",
        f".venv/bin/python launch.py sweep --config=experiments/{header.experiment}.py",
        "```",
        "",
        f"{len(rows)} trials, {len(done)} done; {', '.join(devices)}; {', '.join(packages)}; "
        f"commit {', '.join(sorted({commit[:12] for commit in commits}))}.",
        "",
        "Test accuracy of each point over its seeds in percent, with mean and 95 % t-interval; then the paired "
        "difference from the baseline in percentage points, its interval, and the p-value after Holm's correction.",
        "",
        "| point | n | accuracy | interval | difference | interval | p (Holm) | parameters | multiply-adds | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    compared = {
        point_label(header.fields, each.values): each for each in differences(rows, header.fields, header.baseline)
    }
    baseline = point_label(header.fields, values_at(header.baseline, header.fields)) if header.baseline else None
    accuracies, *costs = (
        grouped(rows, header.fields, metric)
        for metric in ("test_accuracy", "parameters", "multiply_adds", "training_seconds")
    )
    for group, *costs_of in zip(accuracies, *costs, strict=True):
        point = point_label(header.fields, group.values)
        cells = [point, str(group.estimate.n), *_shown(group.estimate)]
        difference = compared.get(point)
        if point == baseline:
            cells += ["baseline", "", ""]
        elif difference is not None and difference.estimate.n:
            cells += [*_shown(difference.estimate, "+.2f"), _p_value(difference.p_holm)]
        else:
            cells += ["", "", ""]
        means = [cost.estimate.mean for cost in costs_of]
        cells += ["" if mean is None else f"{mean:,.0f}" for mean in means]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"![{Path(picture).stem.replace('_', ' ')}]({picture})\n" for picture in pictures)]
    return "\n".join(lines).rstrip() + "\n"


def _shown(estimate: Estimate, form: str = ".2f") -> list[str]:
    """A mean and its interval, in percent."""
    if estimate.mean is None:
        return ["", ""]
    mean = format(100 * estimate.mean, form)
    if estimate.low is None or estimate.high is None:
        return [mean, ""]
    return [mean, f"{format(100 * estimate.low, form)} to {format(100 * estimate.high, form)}"]


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


if __name__ == "__main__":
    print(write_page(Path(sys.argv[1])))
