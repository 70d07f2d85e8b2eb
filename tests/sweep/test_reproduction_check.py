"""When two runs of a trial are the same."""

import pytest

from cnn_jax.run.records import Devices, Git, MetricRecord, Provenance
from cnn_jax.sweep.reproduction_check import Evidence, compare

CPU = Devices(platform="cpu", kind="cpu", count=1, processor="Example 9000")
HERE = {"packages": {"jax": "0.10.2"}, "python": "3.11.7", "devices": CPU, "git": Git(commit="a", dirty=None)}


def evidence(loss=0.5, accuracy=0.9, cores=2, seconds=1.0, **provenance):
    values = {"loss": loss, "accuracy": accuracy, "seconds": seconds}
    records = (MetricRecord(10, 1.0, "train", {"loss": 0.7, "seconds": seconds}), MetricRecord(10, 1.0, "test", values))
    return Evidence(records, Provenance(**HERE | provenance), cores)


def test_times_do_not_count():
    verdict = compare(evidence(seconds=1.0), evidence(seconds=9.0))
    assert (verdict.exact, verdict.difference) == (True, None)
    assert str(verdict) == "matches bit for bit"


def test_the_last_bit_counts_on_the_same_machine():
    verdict = compare(evidence(), evidence(loss=0.5 + 2**-53))
    assert verdict.exact
    assert verdict.difference == f"test loss at step 10: 0.5 and {0.5 + 2**-53!r}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cores": 1}, "2 and 1 cores"),
        ({"packages": {"jax": "0.11.0"}}, "other packages"),
        ({"devices": CPU.model_copy(update={"kind": "H100"})}, "other devices"),
        ({"git": None}, "other code"),
        ({"trained_together": 3}, "trained together with 0 and with 2 others"),
        ({"changes": ("cores: 1 -> 2",)}, "resumed under other conditions"),
        ({"git": Git(commit="b", dirty=None), "python": "3.12.1"}, "other python, other code"),
    ],
)
def test_elsewhere_a_tolerance_holds(changes, reason):
    near = compare(evidence(), evidence(loss=0.51, accuracy=0.905, **changes))
    assert (near.exact, near.reason, near.difference) == (False, reason, None)
    assert compare(evidence(), evidence(accuracy=0.92, **changes)).difference == "test accuracy 0.9000 and 0.9200"
    assert compare(evidence(), evidence(loss=0.53, **changes)).difference == "test loss 0.5000 and 0.5300"


def test_missing_and_other_records():
    whole, part = evidence(), evidence()
    shorter = Evidence(part.records[:1], part.provenance, part.cores)
    assert compare(whole, shorter).difference == "2 and 1 records"
    other = Evidence((part.records[0], part.records[1]._replace(step=11)), part.provenance, part.cores)
    assert compare(whole, other).difference == "test at step 10, and test at step 11"
    more = part.records[1]._replace(values=part.records[1].values | {"top5_error": 0.1})
    assert "top5_error" in compare(whole, Evidence((part.records[0], more), part.provenance, 2)).difference


def test_settings_count_where_both_are_known():
    known, other = (evidence(settings={"NVIDIA_TF32_OVERRIDE": value}) for value in "01")
    assert compare(known, other).reason == "other settings"
    assert compare(known, evidence()).exact, "an older version did not tell"
    few, many = (evidence(devices=CPU.model_copy(update={"used_cores": cores})) for cores in (1, 2))
    assert compare(few, many).reason == "other devices"
    assert compare(few, evidence()).exact
