"""Finished searches of one experiment as a page of docs/results: `python -m scripts.search_page SEARCH_FOLDER ...`.

Writes docs/results/EXPERIMENT/README.md with every search's winners, their scores on fresh seeds and the best points.
Searches of one seed are compared with the first that was named: the scores of its winner on the fresh seeds, less
those of the others'. What the figures show, and what they do not, is written by hand in docs/results/README.md.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cnn_jax.plot_style import BLUE, FURTHER, GREEN, ORANGE, new_figure, titled_axes
from cnn_jax.report.sweep_report import write_sweep_report
from cnn_jax.run.metrics import METRICS, Metric
from cnn_jax.sweep.points import short_names
from cnn_jax.sweep.rows import Row, SweepHeader, read_rows
from cnn_jax.sweep.search import record
from cnn_jax.sweep.search.record import Confirmed, SearchFile
from cnn_jax.sweep.statistics import estimate

RESULTS = Path(__file__).parents[1] / "docs" / "results"
_SHOWN = ("slice_", "parallel_", "importance", "rungs", "confirmed")  # pictures of the first search's report
_SHOWN_OF_MANY = _SHOWN[:-1]
_COLOURS = 128
BEST = 10  # points of the full length that a page lists
PICTURES = 400_000  # bytes of a page's pictures, at most


class Found(NamedTuple):
    """A finished search.

    Attributes:
      file: Content of its search.json.
      header: Header of its table.
      rows: Rows of its table.
    """

    file: SearchFile
    header: SweepHeader
    rows: Sequence[Row]

    @property
    def metric(self) -> Metric:
        """The metric that decided."""
        return next(each for each in METRICS if each.name == self.file.search["metric"])

    @property
    def kind(self) -> str:
        """Sampler and stopping in words."""
        stopping = self.file.search["stopping"]
        return self.file.search["sampler"] + (f" + {stopping['name'].lower()}" if stopping else "")

    @property
    def seed(self) -> int:
        """Seed of the sampler."""
        return int(self.file.search["seed"])

    def named(self, values: Mapping[str, Any]) -> str:
        """A point in one line."""
        fields = self.header.fields
        words = {field: field if field.endswith(".name") else short for field, short in short_names(fields).items()}
        return ", ".join(f"{words[field]}={_value(values[field])}" for field in fields)


def write_page(folders: Sequence[Path], results: Path = RESULTS) -> Path:
    """Writes the page of searches of one experiment.

    Args:
      folders: Their folders, each finished with confirmed points; the first is that of the file as it is.
      results: Folder of the pages.

    Returns:
      The page's path.
    """
    searches = [_read(folder) for folder in folders]
    folder = results / searches[0].header.experiment
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures = []
    if len(searches) > 1:
        comparison(searches).savefig(folder / "comparison.png")
        pictures.append("comparison.png")
    for picture in sorted(write_sweep_report(folders[0]).parent.glob("*.png")):
        if picture.name.startswith(_SHOWN if len(searches) == 1 else _SHOWN_OF_MANY):
            with Image.open(picture) as image:  # a palette makes a third of the bytes
                image.convert("RGB").quantize(_COLOURS).save(folder / picture.name, optimize=True)
            pictures.append(picture.name)
    if (size := sum((folder / picture).stat().st_size for picture in pictures)) > PICTURES:
        raise SystemExit(f"{folder}: the pictures take {size:,} bytes, expected at most {PICTURES:,}")
    page = folder / "README.md"
    page.write_text("\n".join(_page(searches, pictures)).rstrip() + "\n", encoding="utf-8")
    return page


def comparison(searches: Sequence[Found]) -> Figure:
    """Best score of the full length so far against the epochs that were spent, a line for each search.

    Args:
      searches: The searches.

    Returns:
      The figure: a colour for each kind, a dash for each seed.
    """
    metric = searches[0].metric
    figure = new_figure(6.4, 4.2)
    words = ("Best of the full length so far", "epochs spent", f"validation {metric.label}")
    axes = titled_axes(figure, *words)
    kinds = list(dict.fromkeys(each.kind for each in searches))
    seeds = list(dict.fromkeys(each.seed for each in searches))
    colours, dashes = (BLUE, ORANGE, GREEN, *FURTHER), ("-", "--", ":", "-.")
    for each in searches:
        spent, best = _course(each)
        style = dashes[seeds.index(each.seed) % len(dashes)]
        colour = colours[kinds.index(each.kind) % len(colours)]
        label = f"{each.kind}, seed {each.seed}"
        axes.step(spent, metric.scale * np.array(best), where="post", color=colour, linestyle=style, label=label)
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=9)
    return figure


def _course(found: Found) -> tuple[list[int], list[float]]:
    """Epochs spent, and the best score of the full length until then, whenever a point has reached that length."""
    epochs, metric = found.file.epochs, found.metric
    spent: list[int] = []
    best: list[float] = []
    total = 0
    for batch in sorted({point.batch for point in found.file.points}):
        members = [point.scores for point in found.file.points if point.batch == batch]
        before = 0
        for rung in sorted({int(rung) for scores in members for rung in scores}):
            for scores in members:
                if str(rung) in scores:
                    total += rung - before
                    if rung == epochs:
                        spent.append(total)
                        best.append(max([*best[-1:], scores[str(rung)]], key=metric.gain))
            before = rung
    return spent, best


def _read(folder: Path) -> Found:
    file = record.read(folder)
    if file is None or not file.confirmed or not all(each.scores for each in file.confirmed):
        raise SystemExit(f"{folder}: holds no finished search with confirmed points; run the search first")
    return Found(file, *read_rows(folder))


def _page(searches: Sequence[Found], pictures: Sequence[str]) -> Iterator[str]:
    first = searches[0]
    yield from (f"# {first.header.experiment}", "", first.header.description, "")
    yield from ("<!-- not run: searches of minutes to an hour -->", "```bash")
    yield from (_command(each, first) for each in searches)
    yield from ("```", "", _surroundings(searches), "")
    yield from _winners(searches)
    if len(searches) > 1:
        yield from _compared(searches)
    for each in searches:
        yield from _best(each)
    if len(searches) > 1:
        yield from ("", f"The figures after the first belong to {first.kind}, seed {first.seed}.")
    yield from ["", *(f"![{Path(picture).stem.replace('_', ' ')}]({picture})\n" for picture in pictures)]


def _command(found: Found, first: Found) -> str:
    """The command of a search, as the experiment file differs from the first one's."""
    words = [f".venv/bin/python launch.py search --config=experiments/{first.header.experiment}.py"]
    for field in ("seed", "sampler", "trials", "stopping"):
        if found.file.search[field] != first.file.search[field]:
            words.append(f"--search.{field}={found.file.search[field] or 'none'}")
    return " ".join(words)


def _surroundings(searches: Sequence[Found]) -> str:
    rows = [row for each in searches for row in each.rows if row.status == "done"]
    devices, packages, commits = (
        sorted({str(row.values[column]) for row in rows}) for column in ("device", "packages", "commit")
    )
    known = ", ".join(packages).split(", ")
    versions = {f"{package} {version}" for each in searches for package, version in each.file.versions.items()}
    return (
        f"{len(searches)} {'search' if len(searches) == 1 else 'searches'}; {', '.join(devices)}; "
        f"{', '.join([*packages, *sorted(versions - set(known))])}; "
        f"commit {', '.join(sorted({commit[:12] for commit in commits}))}."
    )


def _winners(searches: Sequence[Found]) -> Iterator[str]:
    metric = searches[0].metric
    yield (
        f"{metric.title.capitalize()} in percent of the points chosen on the validation images: in the search, and on "
        "fresh seeds with mean and 95 % t-interval. Only the fresh seeds have results on the test images."
    )
    yield ""
    columns = ["search", "seed", "points", "infeasible", "epochs", "point", "in the search"]
    columns += ["fresh seeds", "interval", "test", "interval"]
    yield from (_line(columns), _line(["---"] * len(columns)))
    for found in searches:
        infeasible = sum(point.state == "infeasible" for point in found.file.points)
        for each in found.file.confirmed:
            point = found.file.points[each.number - 1]
            cells = [found.kind, found.seed, len(found.file.points), infeasible, found.file.spent]
            cells += [f"{each.number}: {found.named(point.point)}", f"{metric.scale * each.search_score:.2f}"]
            cells += [*_shown(each.scores, metric), *_shown(each.test, metric)]
            yield _line(cells)


def _compared(searches: Sequence[Found]) -> Iterator[str]:
    metric = searches[0].metric
    kinds = list(dict.fromkeys(each.kind for each in searches))
    by_kind = {(each.kind, each.seed): each.file.confirmed[0] for each in searches}
    seeds = sorted({each.seed for each in searches})
    for other in kinds[1:]:
        yield ""
        yield f"The winner of {kinds[0]} minus that of {other}, in percentage points over the fresh seeds, in pairs."
        yield ""
        yield "| seed | validation | interval | test | interval |"
        yield "| --- | --- | --- | --- | --- |"
        ahead = 0
        for seed in seeds:
            ours, theirs = by_kind[kinds[0], seed], by_kind[other, seed]
            ahead += _mean_gain(ours, metric) > _mean_gain(theirs, metric)
            cells: list[Any] = [seed]
            for pairs in (zip(ours.scores, theirs.scores, strict=True), zip(ours.test, theirs.test, strict=True)):
                cells += _shown([a - b for a, b in pairs], metric, "+.2f")
            yield _line(cells)
        yield ""
        yield f"On the validation images {kinds[0]} is ahead of {other} in {ahead} of {len(seeds)} seeds."


def _best(found: Found) -> Iterator[str]:
    metric, epochs = found.metric, str(found.file.epochs)
    whole = [point for point in found.file.points if epochs in point.scores]
    whole.sort(key=lambda point: -metric.gain(point.scores[epochs]))
    yield from (
        "",
        f"The best points of {found.kind}, seed {found.seed}, by validation {metric.title} in percent:",
        "",
    )
    rungs = sorted({int(rung) for point in found.file.points for rung in point.scores})
    yield _line(["point", *found.header.fields, *(f"after {rung}" for rung in rungs)])
    yield _line(["---"] * (1 + len(found.header.fields) + len(rungs)))
    for point in whole[:BEST]:
        values = [_value(point.point[field]) for field in found.header.fields]
        scores = [
            f"{metric.scale * point.scores[str(rung)]:.2f}" if str(rung) in point.scores else "" for rung in rungs
        ]
        yield _line([point.number, *values, *scores])


def _mean_gain(confirmed: Confirmed, metric: Metric) -> float:
    return float(np.mean([metric.gain(score) for score in confirmed.scores]))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(values: Sequence[float], metric: Metric, form: str = ".2f") -> list[str]:
    """A mean and its interval."""
    found = estimate([metric.scale * value for value in values])
    if found.mean is None:
        return ["", ""]
    interval = "" if found.low is None else f"{format(found.low, form)} to {format(found.high, form)}"
    return [format(found.mean, form), interval]


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    print(write_page([Path(word) for word in sys.argv[1:]]))
