"""Classification metrics: per-class report, confusion matrix, intervals, calibration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import classification_report, confusion_matrix

from cnn_jax.report.class_keys import class_keys

AVERAGES = ("macro avg", "weighted avg")  # scikit-learn's keys for the averages over classes


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, in bins of equal width.

    Attributes:
      edges: Edges of the bins, from 0 to 1.
      confidence: Mean probability of the predicted class in each bin; NaN in an empty one.
      accuracy: Share of correct predictions in each bin; NaN in an empty one.
      counts: Number of predictions in each bin.
      error: Expected calibration error, the mean difference between the two, weighted by the counts.
    """

    edges: Float[np.ndarray, " bins+1"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    counts: Int[np.ndarray, " bins"]
    error: float


def wilson_interval(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Computes the Wilson score interval of a proportion.

    Args:
      right: Number of successes.
      total: Number of trials, at least 1.
      z: Quantile of the normal distribution; the default gives a 95 % interval.

    Returns:
      (low, high).

    Source: E. B. Wilson, Probable Inference, 1927.
    """
    share = right / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def confusions(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int) -> np.ndarray:
    """Computes the confusion matrix, with a row for each true class and a column for each predicted class."""
    matrix: np.ndarray = confusion_matrix(labels, predicted, labels=range(classes))
    return matrix


def most_confused(matrix: np.ndarray, class_names: Sequence[str], count: int) -> list[tuple[str, str, int, float]]:
    """Finds the pairs of classes that are confused most often.

    Args:
      matrix: Counts, as `confusions` returns them.
      class_names: Names of the classes in label order.
      count: Maximum number of pairs.

    Returns:
      Tuples (true class, predicted class, count, share of the true class), the most frequent first.
    """
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:count]
    pairs = [divmod(int(index), len(class_names)) for index in order]
    return [
        (class_names[true], class_names[taken], int(wrong[true, taken]), wrong[true, taken] / matrix[true].sum())
        for true, taken in pairs
        if wrong[true, taken]
    ]


def per_class(
    labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], class_names: Sequence[str]
) -> dict[str, Any]:
    """Computes scikit-learn's classification report: precision, recall, F1 and support by class, and averages.

    Args:
      labels: True classes.
      predicted: Predicted classes.
      class_names: Names of the classes in label order, all different.

    Returns:
      The report, with a key from `class_keys` for each class.
    """
    numbers = range(len(class_names))
    by_number: dict[str, Any] = classification_report(
        labels, predicted, labels=numbers, output_dict=True, zero_division=0
    )
    means = {key: value for key, value in by_number.items() if not key.isdigit()}
    keys = class_keys(class_names, means.keys() | {"accuracy", *AVERAGES})
    return {key: by_number[str(number)] for key, number in zip(keys, numbers, strict=True)} | means


def calibration(labels: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n k"], bins: int = 10) -> Calibration:
    """Compares the confidence of predictions with their accuracy.

    Args:
      labels: True classes.
      probabilities: Probabilities of all classes, [images, classes].
      bins: Number of bins of equal width over 0 to 1.

    Returns:
      The calibration curve and its error.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    positions = np.clip(np.digitize(sure, edges[1:-1], right=True), 0, bins - 1)
    counts = np.bincount(positions, minlength=bins)
    empty = np.where(counts == 0, np.nan, 1.0)
    confidence = np.bincount(positions, sure, bins) / np.maximum(counts, 1) * empty
    accuracy = np.bincount(positions, right, bins) / np.maximum(counts, 1) * empty
    error = float(np.nansum(np.abs(confidence - accuracy) * counts) / len(labels))
    return Calibration(edges, confidence, accuracy, counts, error)
