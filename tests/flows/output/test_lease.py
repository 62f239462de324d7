"""flows.output.lease: two runs on one output, holders that die, clocks that differ; on disk and on S3."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from flows import storage
from flows.errors import CredentialsExpired, OutputBusy
from flows.output import lease, lease_watch
from flows.output.lease_file import as_json
from tests.flows.fault_proxy import FaultProxy


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty output prefix."""
    return str(tmp_path / "out") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/out"


def written(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(storage.read(lease.address_of(output)))
    return found


def write_lease(output: str, **changes: Any) -> None:
    """Write a lease that is held by a process on another machine."""
    values = {"holder": "them", "host": "elsewhere", "pid": 1, "process": "x", "beat": 7}
    values |= {"renewed_at": time.time(), "term_seconds": 60.0}
    storage.replace(lease.address_of(output), json.dumps(values | changes).encode())


def test_a_held_output_is_busy(output: str) -> None:
    """A second run gets an error that names who is writing there, and what it can do."""
    with lease.held(output), pytest.raises(OutputBusy) as caught, lease.held(output):
        pass

    assert f"{output}: another run is writing here (process {os.getpid()} on " in str(caught.value)
    assert "--wait-for-output-seconds" in str(caught.value)


def test_a_released_output_is_free(output: str) -> None:
    """After a run has ended, even with an error, the next one can hold the output at once."""
    holders = set()
    for _ in range(3):
        with suppress(RuntimeError), lease.held(output):
            holders.add(written(output)["holder"])
            raise RuntimeError

    assert len(holders) == 3
    assert written(output)["released"] is True


def test_a_waiting_run_continues_when_the_other_ends(output: str) -> None:
    """A run that may wait holds the output as soon as the other one has released it."""
    released = threading.Event()

    def first() -> None:
        with lease.held(output):
            released.wait(0.5)

    with ThreadPoolExecutor() as pool:
        running = pool.submit(first)
        time.sleep(0.2)
        first_holder = written(output)["holder"]
        with lease.held(output, wait_seconds=30):
            assert written(output)["holder"] != first_holder
        running.result()


def test_a_run_waits_no_longer_than_it_may(output: str) -> None:
    """A run waits for the time in `wait_seconds`, and then fails because the output is busy."""
    write_lease(output)
    began = time.monotonic()

    with pytest.raises(OutputBusy), lease.held(output, wait_seconds=0.5):
        pass
    assert 0.5 <= time.monotonic() - began < 5


@pytest.mark.parametrize(
    "changes",
    [{"released": True}, {"host": "HERE", "pid": 2**22 + 1}, {"host": "HERE", "pid": "OURS"}],
    ids=["released", "process gone", "our process number"],
)
@pytest.mark.parametrize("hours", [0, -5, 5])
def test_the_lease_of_a_dead_run_is_taken_over_at_once(output: str, changes: dict[str, Any], hours: int) -> None:
    """A lease that was released, or whose process no longer exists on this machine, is not waited for, whatever its
    date.
    """
    began = time.monotonic()
    facts = {"HERE": os.uname().nodename, "OURS": os.getpid()}
    changes = {name: facts.get(value, value) for name, value in changes.items()}
    write_lease(output, renewed_at=time.time() + 3600 * hours, **changes)

    with lease.held(output):
        assert written(output)["holder"] != "them"
        assert time.monotonic() - began < 20


def test_a_process_number_of_another_container_is_ignored(output: str) -> None:
    """Containers may share a host name, so a missing process number does not mean that the other container's run is
    dead.
    """
    write_lease(output, host=os.uname().nodename, pid=2**22 + 1, machine="the boot of another machine")

    with pytest.raises(OutputBusy), lease.held(output):
        pass


def test_a_process_of_another_user_is_alive(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this process may not signal the holder, the holder exists."""
    write_lease(output, host=os.uname().nodename, pid=2**22 + 1)

    def refused(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)

    with pytest.raises(OutputBusy), lease.held(output):
        pass


def test_an_impossible_process_number_is_ignored(output: str) -> None:
    """A lease with a process number that the system cannot look up is watched like one of another machine."""
    write_lease(output, host=os.uname().nodename, pid=10**30)

    with pytest.raises(OutputBusy), lease.held(output):
        pass


def test_a_lease_names_the_namespace_of_its_process_number(output: str) -> None:
    """Two containers on one machine share the boot id, but not the process numbers."""
    with lease.held(output):
        boot, _, numbers = written(output)["machine"].partition(" ")

    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert numbers == os.readlink("/proc/self/ns/pid")


@pytest.mark.parametrize("renewed_at", [0.0, "-5 h", "+5 h", 1e12], ids=["1970", "behind", "ahead", "far ahead"])
def test_a_date_alone_neither_holds_nor_frees_an_output(output: str, renewed_at: float | str) -> None:
    """Whatever date a dead holder wrote, its lease is watched for its term, and then taken over."""
    clock = time.time() + 3600 * float(renewed_at.split()[0]) if isinstance(renewed_at, str) else renewed_at
    write_lease(output, renewed_at=clock, term_seconds=1.0)
    began = time.monotonic()
    with lease.held(output):
        watched = time.monotonic() - began

    assert 1.0 <= watched < 5.0


def test_an_earlier_look_at_a_lease_counts_towards_its_term(output: str) -> None:
    """A process that looks now and then, as visits to an inbox do, remembers since when a lease was not renewed."""
    write_lease(output, term_seconds=2.0)
    with pytest.raises(OutputBusy), lease.held(output):
        pass
    time.sleep(2.1)
    began = time.monotonic()
    with lease.held(output):
        assert time.monotonic() - began < 1.8


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_holder_that_renews_keeps_its_lease_whatever_its_clock(output: str, hours: int) -> None:
    """A holder whose clock is hours off keeps its lease while it renews; who may not wait gets the error soon."""
    ended = threading.Event()

    def hold() -> None:
        beat = 7
        while not ended.wait(0.2):
            beat += 1
            write_lease(output, beat=beat, renewed_at=time.time() + 3600 * hours, term_seconds=4.0)

    write_lease(output, renewed_at=time.time() + 3600 * hours, term_seconds=4.0)
    with ThreadPoolExecutor() as pool:
        holding = pool.submit(hold)
        began = time.monotonic()
        try:
            with pytest.raises(OutputBusy, match="process 1 on elsewhere"), lease.held(output):
                pass
        finally:
            ended.set()
        took = time.monotonic() - began
        holding.result()

    assert took < 3.5
    assert written(output)["holder"] == "them"


def test_a_lease_is_watched_for_at_most_our_own_term(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A term of years in the file does not block an output for years."""
    monkeypatch.setattr(lease_watch, "TERM_SECONDS", 0.5)
    write_lease(str(tmp_path), renewed_at=0.0, term_seconds=1e8)

    with lease.held(str(tmp_path)):
        assert written(str(tmp_path))["holder"] != "them"


def test_take_over_does_not_wait(output: str, caplog: pytest.LogCaptureFixture) -> None:
    """With `take_over` a lease is neither waited for nor watched, and the log names the former holder."""
    write_lease(output, host="else\x1bwhere", pid=4711)
    began = time.monotonic()
    with lease.held(output, take_over=True):
        assert written(output)["holder"] != "them"
        assert time.monotonic() - began < 20

    assert "this output was held by process 4711 on else" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_run_that_is_taken_over_is_told(output: str) -> None:
    """The former holder's callback is called once, at its next renewal; after that `check` raises who took the output
    over.
    """
    told: list[str] = []
    with lease.held(output, term_seconds=0.4) as first:
        first.when_lost(lambda: told.append("lost"))
        first.check()
        with lease.held(output, take_over=True):
            time.sleep(0.5)
            with pytest.raises(OutputBusy, match=f"taken over by another run .process {os.getpid()} on ") as caught:
                first.check()
            second = written(output)["holder"]

    assert told == ["lost"]
    assert f"{output}: was taken over" in str(caught.value)
    assert written(output)["holder"] == second


def test_a_callback_for_a_lost_lease_is_called_at_once(tmp_path: Path) -> None:
    """A callback that is added after the lease was lost is called at once."""
    told: list[str] = []
    with lease.held(str(tmp_path), term_seconds=60.0) as first:
        write_lease(str(tmp_path))
        with pytest.raises(OutputBusy):
            first.check()
        first.when_lost(lambda: told.append("lost"))

    assert told == ["lost"]


def test_a_removed_lease_is_written_again(output: str) -> None:
    """A removed lease means that nobody else holds the output, so the run continues to hold it."""
    with lease.held(output) as hold:
        holder = written(output)["holder"]
        storage.remove(lease.address_of(output))
        hold.check()
        assert written(output)["holder"] == holder

    assert written(output)["released"] is True


def test_a_killed_run_on_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    """After kill -9, a run on the same machine can hold the output without waiting for the end of the term."""
    output = str(tmp_path)
    held = f"with lease.held({output!r}): print('held', flush=True); time.sleep(60)"
    code = f"from flows.output import lease; import time\n{held}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(OutputBusy), lease.held(output):
        pass
    process.kill()
    process.communicate()

    with lease.held(output):
        assert written(output)["pid"] == os.getpid()


def test_a_lease_is_renewed(output: str) -> None:
    """While a run goes on, its beat rises, and who watches for longer than a term still finds it busy."""
    with (
        lease.held(output, term_seconds=1.0),
        pytest.raises(OutputBusy),
        lease.held(output, wait_seconds=2.5, term_seconds=1.0),
    ):
        pass

    assert written(output)["beat"] >= 2


def test_a_run_that_lost_its_lease_leaves_the_new_one_alone(output: str) -> None:
    """A holder that slept through its term neither renews nor releases the lease of its successor."""
    with lease.held(output, term_seconds=0.2):
        write_lease(output)
        time.sleep(0.5)

    assert (written(output)["holder"], written(output)["beat"]) == ("them", 7)


def test_a_damaged_lease_is_free(output: str) -> None:
    """Other content in the lease file does not block the output."""
    storage.replace(lease.address_of(output), b"{ not a lease")

    with lease.held(output):
        assert written(output)["pid"] == os.getpid()


def test_a_run_that_another_one_forestalls_is_told(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may write the first lease of an output after this one has looked, and before it writes its own."""
    create = storage.create

    def forestalled(address: str, data: bytes) -> bool:
        write_lease(output)
        return create(address, data)

    monkeypatch.setattr(storage, "create", forestalled)
    with pytest.raises(OutputBusy), lease.held(output):
        pass
    assert written(output)["holder"] == "them"


def test_of_many_contenders_one_wins_each_round(output: str) -> None:
    """Of eight runs that find a released lease at the same time, one takes it over, and the others are told that it is
    busy.
    """
    for _ in range(3):
        write_lease(output, released=True)
        barrier, done = threading.Barrier(8), threading.Barrier(8)

        def contend(_: int, barrier: threading.Barrier = barrier, done: threading.Barrier = done) -> bool:
            barrier.wait()
            try:
                with lease.held(output):
                    done.wait()
                    return True
            except OutputBusy:
                done.wait()
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(contend, range(8))) == 1


def test_trouble_with_the_lease_does_not_stop_a_run(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """If a renewal or the release is refused, the run still goes on to its end."""
    with lease.held(f"{s3_bucket}/out", term_seconds=0.4):
        s3_proxy.faults = [("GET", (403, "AccessDenied"))] * 100
        time.sleep(0.5)
    s3_proxy.faults = []

    assert written(f"{s3_bucket}/out")["released"] is False


def test_a_lease_that_cannot_be_renewed_counts_as_ours_for_its_term(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Within a term of the last renewal, `check` only warns if the lease cannot be renewed. After it, another run may
    have begun, so `check` raises, until a renewal succeeds. The clock is one that goes on while the machine sleeps.
    """
    output, clock = str(tmp_path), [1000.0]
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: clock[0])
    with lease.held(output) as hold:
        clock[0] += 50.0
        hold.check()
        os.unlink(hold.address)
        os.mkdir(hold.address)
        clock[0] += 59.0
        hold.check()
        assert "the lease could not be renewed" in caplog.text

        clock[0] += 2.0
        with pytest.raises(OutputBusy, match=r"not renewed for 61 s, and it cannot be renewed now \(.*lease\.json"):
            hold.check()

        os.rmdir(hold.address)
        hold.check()
        assert not hold.is_lost


def test_a_renewal_counts_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs see a renewal before its slow response arrives: the term is over earlier than that response says."""
    clock, swap = [1000.0], storage.swap
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: clock[0])

    def slowly(address: str, version: str, data: bytes) -> bool:
        is_written = swap(address, version, data)
        clock[0] += 400.0
        return is_written

    with lease.held(str(tmp_path), term_seconds=600.0) as hold:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "swap", slowly)
            hold.check()
        os.unlink(hold.address)
        os.mkdir(hold.address)
        clock[0] += 201.0
        with pytest.raises(OutputBusy, match="not renewed for 601 s"):
            hold.check()
        os.rmdir(hold.address)


def test_expired_credentials_are_reported_as_such(
    s3_bucket: str, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that credentials are too old to renew does not end as a take-over, but with the error of credentials."""
    clock = [1000.0]
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: clock[0])
    with suppress(CredentialsExpired), lease.held(f"{s3_bucket}/out") as hold:
        s3_proxy.rule = lambda _method, _path: (400, "ExpiredToken")
        clock[0] += 100.0
        with pytest.raises(CredentialsExpired):
            hold.check()


def test_an_interrupted_run_does_not_wait_for_absent_storage(
    s3_bucket: str, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C during an outage ends the run within seconds, and the log says that the lease was not released."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "40")
    with suppress(KeyboardInterrupt), lease.held(f"{s3_bucket}/out", term_seconds=0.4):
        s3_proxy.go_away()
        time.sleep(1.0)  # the renewal is being waited for
        began = time.monotonic()
        raise KeyboardInterrupt

    assert time.monotonic() - began < 3 * storage.HURRIED_SECONDS
    assert "the lease could not be released" in caplog.text


def test_a_take_over_between_reading_and_renewing_is_noticed(
    s3_server: str, s3_bucket: str, s3_proxy: FaultProxy
) -> None:
    """If a renewal fails because the lease has changed, the run reads it again and finds its new holder."""
    client = boto3.client("s3", endpoint_url=s3_server)
    with lease.held(f"{s3_bucket}/out") as hold:
        other = hold.lease.model_copy(update={"holder": "them", "host": "elsewhere"})

        def take_over(method: str, path: str) -> None:
            if method == "PUT" and path.endswith("lease.json"):
                s3_proxy.rule = None
                client.put_object(Bucket=s3_bucket[5:], Key="out/_nst/lease.json", Body=as_json(other))

        s3_proxy.rule = take_over
        with pytest.raises(OutputBusy, match="was taken over by another run"):
            hold.check()
    assert written(f"{s3_bucket}/out")["holder"] == "them"
