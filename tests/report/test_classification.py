"""Statistics of predictions against values worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from cnn_jax.report.class_keys import class_keys
from cnn_jax.report.classification import calibration, confusions, most_confused, per_class, wilson_interval


def test_wilson_interval():
    # 8 of 10: (0.8 + 0.19207) / 1.38415 -+ 1.96 / 1.38415 * sqrt(0.016 + 0.0096036)
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)


LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 0])


def test_confusions():
    matrix = confusions(LABELS, PREDICTED, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    pairs = most_confused(matrix, ["a", "b", "c", "d"], 2)
    assert len(pairs) == 2
    assert {pair[:3] for pair in most_confused(matrix, ["a", "b", "c", "d"], 9)} == {
        ("a", "b", 1),
        ("b", "a", 1),
        ("c", "a", 1),
    }


def test_per_class():
    report = per_class(LABELS, PREDICTED, ["a", "b", "c"])
    assert report["a"]["precision"] == pytest.approx(2 / 4)
    assert report["a"]["recall"] == pytest.approx(2 / 3)
    assert report["a"]["f1-score"] == pytest.approx(4 / 7)
    assert report["c"] == {"precision": 0, "recall": 0, "f1-score": 0, "support": 1}


def test_calibration():
    probabilities = np.array([[0.95, 0.05], [0.91, 0.09], [0.4, 0.6], [0.35, 0.65]])
    found = calibration(np.array([0, 1, 1, 1]), probabilities)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 2]
    assert found.accuracy[9] == 0.5
    assert found.confidence[9] == pytest.approx(0.93)
    # (2 * |0.93 - 0.5| + |0.6 - 1| + |0.65 - 1|) / 4
    assert found.error == pytest.approx((0.86 + 0.4 + 0.35) / 4)


def test_a_class_may_be_called_like_a_mean():
    names = ["accuracy", "macro avg", "weighted avg"]
    report = per_class(LABELS, PREDICTED, names)
    precision, recall, _, support = precision_recall_fscore_support(
        LABELS, PREDICTED, labels=[0, 1, 2], zero_division=0
    )
    assert list(report) == [*(f"class {name}" for name in names), *names]
    assert [report[f"class {name}"]["precision"] for name in names] == pytest.approx(precision)
    assert [report[f"class {name}"]["support"] for name in names] == pytest.approx(support)
    assert report["accuracy"] == pytest.approx(accuracy_score(LABELS, PREDICTED))
    assert report["macro avg"]["recall"] == pytest.approx(recall.mean())


def test_keys_of_classes():
    assert class_keys(["a", "file", "class file"], ("file", "class")) == ["a", "class class file", "class file"]
    assert class_keys(["class", "class class"], ("class",)) == ["class class class", "class class"]
    assert class_keys(["0", "1"], ("accuracy",)) == ["0", "1"]
