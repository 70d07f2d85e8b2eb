"""Launchers of several processes, as the environment names them, and how the processes join."""

import pytest

from cnn_jax.config.parsing import ConfigError
from cnn_jax.run import process_group
from cnn_jax.run.process_group import ProcessGroup

SLURM = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_ID": "1234",
    "SLURM_STEP_NODELIST": "node[001-002]",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}
GKE = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}


@pytest.fixture
def variables_set(monkeypatch):
    """Sets variables of launchers, and no others."""

    def set_(variables):
        for name in (*SLURM, *OPEN_MPI, *GKE):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_


@pytest.mark.parametrize(
    ("variables", "started_by"),
    [
        ({}, None),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}, "Slurm"),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "Open MPI"),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "GKE"),
        ({"TPU_WORKER_HOSTNAMES": "a"}, None),
    ],
)
def test_what_has_started_several_processes(variables_set, variables, started_by):
    variables_set(variables)
    assert process_group.started_by() == started_by


@pytest.mark.parametrize("variables", [{}, SLURM, OPEN_MPI, GKE, {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}])
def test_whole_variables_are_no_fault(variables_set, variables):
    variables_set(variables)
    assert process_group.fault() is None


@pytest.mark.parametrize(
    ("launcher", "whole"), [("Slurm", SLURM), ("Open MPI", OPEN_MPI), ("GKE", GKE)], ids=["slurm", "mpi", "gke"]
)
def test_every_missing_variable_is_named(variables_set, launcher, whole):
    telling = {"SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES"}  # without it nothing is told
    for name in whole.keys() - telling:
        for left in ({}, {name: ""}):
            variables_set({key: value for key, value in whole.items() if key != name} | left)
            assert f"{launcher} says that it has started several processes, and {name} is not set" in (
                process_group.fault()
            )


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        (SLURM | {"SLURM_PROCID": "two"}, "SLURM_PROCID='two' is no number"),
        (SLURM | {"SLURM_JOB_ID": "-1"}, "SLURM_JOB_ID='-1' is no number"),
        (SLURM | {"SLURM_PROCID": "2"}, "SLURM_PROCID=2 is not below SLURM_STEP_NUM_TASKS=2"),
        (SLURM | {"SLURM_NTASKS": "4"}, "SLURM_NTASKS=4 differs from SLURM_STEP_NUM_TASKS=2"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "5"}, "OMPI_COMM_WORLD_RANK=5 is not below OMPI_COMM_WORLD_SIZE=2"),
        (GKE | {"TPU_WORKER_ID": "x"}, "TPU_WORKER_ID='x' is no number"),
    ],
)
def test_values_that_cannot_be(variables_set, variables, fault):
    variables_set(variables)
    assert fault in process_group.fault()
    assert "--distributed=off" in process_group.fault()


def test_processes_join_by_what_flags_or_launchers_say(variables_set):
    joined = []
    for group, variables in (
        (ProcessGroup("explicit", "first:1234", 2, 1), {}),
        (ProcessGroup("off"), SLURM),
        (ProcessGroup("auto"), {}),
        (ProcessGroup("auto"), SLURM),
    ):
        variables_set(variables)
        process_group.join(group, lambda **given: joined.append(given))
    explicit, by_slurm = joined  # the others are alone
    expected = {"coordinator_address": "first:1234", "num_processes": 2, "process_id": 1}
    assert explicit.items() >= (expected | {"cluster_detection_method": "deactivate"}).items()
    assert explicit.keys() - by_slurm.keys() == {*expected, "cluster_detection_method"}


def test_processes_that_cannot_be_joined_are_refused(variables_set):
    def fail(**given):
        raise RuntimeError("DEADLINE_EXCEEDED: nobody answers\nat a line of C++")

    with pytest.raises(ConfigError, match=r"--distributed: .* cannot be joined: DEADLINE_EXCEEDED: nobody answers$"):
        process_group.join(ProcessGroup("explicit", "first:1234", 2, 1), fail)
    variables_set(SLURM | {"SLURM_PROCID": "two"})
    with pytest.raises(ConfigError, match="'two' is no number"):
        process_group.join(ProcessGroup("auto"), fail)
