"""Runs in warm workers behave as with the stock launcher: real server, workers, code server and run storage."""

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.compute_log_manager import ComputeIOType

from pipeline_project.orchestration.names import HEAVY, WEIGHT_TAG
from pipeline_project.orchestration.workers import protocol as worker_protocol
from pipeline_project.orchestration.workers.launcher import WORKER_TAG
from pipeline_project.orchestration.workers.protocol import WorkersUnavailable, ask
from pipeline_project_tests.fix_warm_workers import Workers, lives

IMPATIENT_SECONDS = 0.5
NO_DESCRIPTOR_MORE = 3
"""The limit of open files of a process that has opened more than standard input, output and error already."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are forked on Linux only")


def health(workers: Workers, run_id: str) -> tuple[WorkerStatus, str | None]:
    found = workers.instance.run_launcher.check_run_worker_health(workers.run(run_id))
    return found.status, found.msg


@contextmanager
def silent(workers: Workers) -> Iterator[None]:
    """The server stands still for as long as this lasts, and the launcher does not wait for it as long as it would."""
    os.kill(workers.pid, signal.SIGSTOP)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker_protocol, "SECONDS", IMPATIENT_SECONDS)
            yield
    finally:
        os.kill(workers.pid, signal.SIGCONT)


def is_at_work(workers: Workers, run_id: str) -> bool:
    return any("Started execution of step" in message for message in workers.messages(run_id))


def test_a_worker_executes_several_runs_and_captures_what_they_print(workers: Workers) -> None:
    runs = [workers.executed("speaking") for _ in range(3)]
    found = [workers.metadata(run.run_id) for run in runs]
    assert all(run.tags[WORKER_TAG] == str(workers.socket) for run in runs)
    assert all(workers.worker(run.run_id) == each["pid"] != workers.pid for run, each in zip(runs, found, strict=True))
    assert len({each["random"] for each in found}) == 3
    assert len({each["pid"] for each in found}) < 3
    for run, each in zip(runs, found, strict=True):
        assert f"in process {each['pid']}" in workers.messages(run.run_id)
        [logs] = workers.instance.compute_log_manager.get_log_keys_for_log_key_prefix(
            [run.run_id, "compute_logs"], io_type=ComputeIOType.STDOUT
        )
        captured = workers.instance.compute_log_manager.get_log_data(logs)
        assert captured.stdout and f"printed by {each['pid']}" in captured.stdout.decode()
        assert captured.stderr and "to stderr" in captured.stderr.decode()
    assert health(workers, runs[0].run_id)[0] is WorkerStatus.FAILED  # it is over; monitoring asks only of running ones


def test_workers_do_not_share_chance(workers: Workers) -> None:
    first, second = (workers.launch("speaking") for _ in range(2))
    assert workers.ended(first).is_success and workers.ended(second).is_success
    assert workers.metadata(first)["random"] != workers.metadata(second)["random"]


def test_a_failed_run_fails_ends_its_worker_and_can_be_executed_again(workers: Workers) -> None:
    run = workers.ended(workers.launch("failing"))
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert any("as it was told" in message for message in workers.messages(run.run_id)) or any(
        "as it was told" in str(entry.dagster_event) for entry in workers.instance.all_logs(run.run_id)
    )
    workers.until(lambda: not lives(workers.worker(run.run_id)))
    again = workers.ended(workers.launch_again(run.run_id))
    assert (again.parent_run_id, again.status) == (run.run_id, dg.DagsterRunStatus.FAILURE)
    assert workers.worker(again.run_id) != workers.worker(run.run_id)


def test_termination_reaches_the_run(workers: Workers) -> None:
    run_id = workers.launch("waiting")
    workers.until(lambda: is_at_work(workers, run_id))
    assert health(workers, run_id) == (WorkerStatus.RUNNING, None)
    assert workers.terminate(run_id) == "TerminateRunSuccess"
    assert workers.ended(run_id).status is dg.DagsterRunStatus.CANCELED
    workers.until(lambda: not lives(workers.worker(run_id)))
    assert workers.executed("speaking")


def test_the_death_of_a_worker_is_known_with_its_cause(workers: Workers) -> None:
    run = workers.ended(workers.launch("dying"))
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert any("has no process any more: " in message for message in workers.messages(run.run_id))
    assert health(workers, run.run_id)[0] is WorkerStatus.FAILED
    assert "killed by SIGKILL" in str(health(workers, run.run_id)[1])
    launcher = workers.instance.run_launcher
    assert launcher.supports_resume_run is dg.DefaultRunLauncher().supports_resume_run is False
    assert workers.executed("speaking")


def test_a_run_whose_worker_dies_before_it_has_begun_fails(workers: Workers) -> None:
    workers.executed("speaking")  # so that its worker waits for another
    waiting = psutil.Process(workers.pid).children()
    for worker in waiting:
        worker.suspend()
    run_id = workers.launch("speaking")
    assert workers.run(run_id).status is dg.DagsterRunStatus.STARTING
    for worker in waiting:
        worker.kill()
    assert workers.ended(run_id).status is dg.DagsterRunStatus.FAILURE
    assert any("was killed by SIGKILL" in message for message in workers.messages(run_id))
    assert workers.executed("speaking").tags[WORKER_TAG]


def test_a_run_whose_worker_dies_of_its_termination_is_canceled(workers: Workers) -> None:
    run_id = workers.launch("waiting")
    workers.until(lambda: is_at_work(workers, run_id))
    worker = psutil.Process(workers.worker(run_id))
    worker.suspend()
    assert workers.terminate(run_id) == "TerminateRunSuccess"
    assert workers.run(run_id).status is dg.DagsterRunStatus.CANCELING
    worker.kill()
    assert workers.ended(run_id).status is dg.DagsterRunStatus.CANCELED


def test_workers_die_with_their_server_and_the_next_one_takes_over(workers: Workers) -> None:
    run_id = workers.launch("waiting")
    worker = workers.worker(run_id)
    workers.kill()
    workers.until(lambda: not lives(worker))
    assert health(workers, run_id)[0] is WorkerStatus.RUNNING  # nobody can tell just now
    workers.socket.unlink()
    workers.start()
    assert health(workers, run_id) == (WorkerStatus.FAILED, "its worker server was started anew")
    assert workers.executed("speaking")


def test_a_server_that_is_to_end_lets_its_runs_end(workers: Workers) -> None:
    run_id = workers.launch("waiting")
    workers.until(lambda: is_at_work(workers, run_id))
    server = workers.ask_to_end()
    workers.until(lambda: "ending, after" in workers.log())
    run = workers.executed("speaking")
    assert any("No warm worker (the worker server is ending)" in message for message in workers.messages(run.run_id))
    assert health(workers, run_id) == (WorkerStatus.RUNNING, None)
    assert workers.terminate(run_id) == "TerminateRunSuccess"
    assert workers.ended(run_id).status is dg.DagsterRunStatus.CANCELED
    assert server.wait(30) == 0


def test_workers_of_another_machine(remote_workers: Workers) -> None:
    """The run is tied to the machine that it was given to: a name may soon lead to the task that replaces it."""
    port = remote_workers.address.partition(":")[2]
    assert remote_workers.executed("speaking").tags[WORKER_TAG] == f"127.0.0.1:{port}"
    run_id = remote_workers.launch("waiting")
    remote_workers.worker(run_id)
    assert health(remote_workers, run_id) == (WorkerStatus.RUNNING, None)
    remote_workers.kill()
    assert health(remote_workers, run_id)[0] is WorkerStatus.FAILED  # a task that has ended does not come back
    run = remote_workers.executed("speaking")
    assert any("No warm worker (" in message for message in remote_workers.messages(run.run_id))


def test_a_server_of_another_machine_that_is_slow_to_answer_has_not_ended(remote_workers: Workers) -> None:
    run_id = remote_workers.launch("waiting")
    remote_workers.worker(run_id)
    with silent(remote_workers):
        assert health(remote_workers, run_id)[0] is WorkerStatus.RUNNING
    remote_workers.until(lambda: health(remote_workers, run_id) == (WorkerStatus.RUNNING, None))


def test_a_run_that_started_cold_meanwhile_is_not_started_again(workers: Workers) -> None:
    with silent(workers):
        run = workers.executed("speaking")
    assert any("No warm worker (TimeoutError" in message for message in workers.messages(run.run_id))
    # It answers in turn: what it was asked before is done.
    assert ask(workers.address, {"ask": "health", "run_id": run.run_id})["end"] == "its worker server was started anew"
    assert sum(message.startswith("Started process for run") for message in workers.messages(run.run_id)) == 1


def test_one_who_says_nothing_does_not_hold_up_the_others(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_protocol, "SECONDS", worker_protocol.SECONDS / 2)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.connect(workers.address)
        assert ask(workers.address, {"ask": "health", "run_id": "none"})


def test_without_a_server_runs_start_in_processes_of_their_own(workers: Workers) -> None:
    workers.kill()
    run = workers.executed("speaking")
    assert any("No warm worker (" in message for message in workers.messages(run.run_id))


def test_a_run_belongs_to_whom_it_was_given_and_not_to_whom_its_parent_was(workers: Workers) -> None:
    """Dagster's UI gives a run that is executed again the tags of the one before it, launchers' own included."""
    workers.kill()
    cold = workers.launch("waiting")
    workers.until(lambda: is_at_work(workers, cold))
    assert workers.terminate(cold) == "TerminateRunSuccess"
    assert workers.ended(cold).status is dg.DagsterRunStatus.CANCELED

    workers.start()
    warm = workers.launch_again(cold)
    workers.until(lambda: is_at_work(workers, warm))
    assert workers.run(warm).tags[WORKER_TAG] == workers.address
    assert health(workers, warm) == (WorkerStatus.RUNNING, None)
    assert workers.terminate(warm) == "TerminateRunSuccess"
    assert workers.ended(warm).status is dg.DagsterRunStatus.CANCELED

    workers.kill()
    again = workers.launch_again(warm)
    workers.until(lambda: is_at_work(workers, again))
    assert health(workers, again) == (WorkerStatus.RUNNING, None)
    assert workers.terminate(again) == "TerminateRunSuccess"
    assert workers.ended(again).status is dg.DagsterRunStatus.CANCELED


def test_heavy_runs_start_in_processes_of_their_own(workers: Workers) -> None:
    run = workers.executed("speaking", **{WEIGHT_TAG: HEAVY})
    assert not run.tags[WORKER_TAG]
    assert not any("No warm worker (" in message for message in workers.messages(run.run_id))


def test_a_heavy_run_can_be_terminated(workers: Workers) -> None:
    run_id = workers.launch("waiting", **{WEIGHT_TAG: HEAVY})
    workers.until(lambda: is_at_work(workers, run_id))
    assert health(workers, run_id)[0] is WorkerStatus.RUNNING
    assert workers.terminate(run_id) == "TerminateRunSuccess"
    assert workers.ended(run_id).status is dg.DagsterRunStatus.CANCELED


def test_a_worker_that_a_run_has_soiled_ends(workers: Workers) -> None:
    run = workers.executed("littering")
    workers.until(lambda: not lives(workers.worker(run.run_id)))


def test_many_at_once(workers: Workers) -> None:
    runs = [workers.launch("speaking") for _ in range(12)]
    assert all(workers.ended(run_id).is_success for run_id in runs)
    assert [workers.worker(run_id) == workers.metadata(run_id)["pid"] for run_id in runs] == [True] * 12


def test_a_waiting_worker_that_is_killed_is_replaced(workers: Workers) -> None:
    pid = workers.worker(workers.executed("speaking").run_id)
    os.kill(pid, signal.SIGKILL)
    assert workers.worker(workers.executed("speaking").run_id) != pid


def test_an_untested_dagster_is_left_alone(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg, "__version__", "1.14.0")
    run = workers.executed("speaking")
    assert any("not known to fit Dagster 1.14.0" in message for message in workers.messages(run.run_id))


def test_the_server_refuses_what_it_does_not_understand(workers: Workers) -> None:
    with pytest.raises(WorkersUnavailable, match="unknown request"):
        ask(workers.address, {"ask": "dance"})
    strange: list[Any] = [{}, [], None, "start", {"ask": "start"}, {"ask": []}]
    for message in strange:
        with pytest.raises(WorkersUnavailable):
            ask(workers.address, message)
    assert workers.executed("speaking").tags[WORKER_TAG]


def test_a_server_that_has_nothing_left_to_fork_with_keeps_its_runs(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = workers.launch("waiting")
    workers.until(lambda: is_at_work(workers, run_id))
    before = resource.prlimit(workers.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(workers.pid, resource.RLIMIT_NOFILE, (NO_DESCRIPTOR_MORE, before[1]))
    for child in psutil.Process(workers.pid).children():
        if child.pid != workers.worker(run_id):
            child.kill()
    workers.until(lambda: "no worker could be made" in workers.log())
    with monkeypatch.context() as patch, pytest.raises(WorkersUnavailable):
        patch.setattr(worker_protocol, "SECONDS", IMPATIENT_SECONDS)
        ask(workers.address, {"ask": "health", "run_id": run_id})
    resource.prlimit(workers.pid, resource.RLIMIT_NOFILE, before)
    assert health(workers, run_id) == (WorkerStatus.RUNNING, None)
    assert workers.executed("speaking").tags[WORKER_TAG]
