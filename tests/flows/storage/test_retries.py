"""flows.storage.retries and s3.errors: what is tried again, for how long, and what the user reads of it."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows import storage
from flows.errors import CredentialsExpired, Forbidden, LimitsError, NotFound, StorageError, Unavailable, Unreachable
from flows.storage import s3
from flows.storage.retries import ATTEMPTS, HURRIED_SECONDS, persistently
from flows.wording import redacted
from tests.flows.fault_proxy import DRIP, FLIP_BIT, HANG, LOSE_ANSWER, FaultProxy


class Trouble:
    """An attempt that fails with these errors, in order, and then succeeds."""

    def __init__(self, *errors: StorageError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _seconds: float) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.storage.retries.FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr("flows.storage.retries.LONGEST_WAIT_SECONDS", 0.05)


# ---------------------------------------------------------------- the rule


def test_what_may_pass_is_tried_again(quick: None) -> None:
    """Errors that are worth another try are followed by one, until it succeeds."""
    trouble = Trouble(Unavailable("1"), Unavailable("2"), Unreachable("3"))

    assert persistently(trouble, lambda: True) == "done"
    assert trouble.calls == 4


@pytest.mark.parametrize("kind", [NotFound, Forbidden, CredentialsExpired, StorageError])
def test_what_will_not_pass_is_not_tried_again(quick: None, kind: type[StorageError]) -> None:
    """A missing object, or one that is not ours to read, is not asked for twice."""
    trouble = Trouble(kind("no"))

    with pytest.raises(kind):
        persistently(trouble, lambda: True)
    assert trouble.calls == 1


@pytest.mark.parametrize("variable", ["NST_OBJECT_SECONDS", "NST_OUTAGE_SECONDS"])
@pytest.mark.parametrize("value", ["60s", "nan", "-1", ""])
def test_what_is_no_number_of_seconds_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error is raised before the first attempt, and names the variable and its value."""
    monkeypatch.setenv(variable, value)
    trouble = Trouble()

    with pytest.raises(LimitsError, match=f"^{variable}: expected a number of seconds, such as .*0, found '{value}'$"):
        persistently(trouble, lambda: True)
    assert trouble.calls == 0


def test_attempts_are_counted(quick: None) -> None:
    """One bad object is given up after so many attempts, with the last one's error."""
    trouble = Trouble(*(Unavailable(str(number)) for number in range(1, 100)))

    with pytest.raises(Unavailable, match=f"^{ATTEMPTS}$"):
        persistently(trouble, lambda: True)


def test_an_object_has_a_deadline() -> None:
    """Where attempts are slow, time runs out before their number does."""

    def slow(_seconds: float) -> None:
        time.sleep(0.2)
        raise Unavailable("slow")

    began = time.monotonic()
    with pytest.raises(Unavailable):
        persistently(slow, lambda: True, seconds=0.5)
    assert time.monotonic() - began < 2


def test_a_server_that_went_away_is_waited_for(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody answers, attempts are not counted: a restart of the server costs time, and no object."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "30")
    trouble = Trouble(*(Unreachable("gone") for _ in range(3 * ATTEMPTS)))

    assert persistently(trouble, lambda: True, seconds=0.1) == "done"


def test_a_server_that_never_answered_is_soon_given_up(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is told in seconds, not after the patience that an outage deserves."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "30")
    trouble = Trouble(*(Unreachable("gone") for _ in range(10_000)))
    began = time.monotonic()

    with pytest.raises(Unreachable):
        persistently(trouble, lambda: False, seconds=0.3)
    assert time.monotonic() - began < 5


def test_an_interruption_ends_the_waiting_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a server that went away gives up within seconds, not after the outage."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "60")
    monkeypatch.setattr("flows.storage.retries.FIRST_WAIT_SECONDS", 30.0)
    monkeypatch.setattr("flows.storage.retries.LONGEST_WAIT_SECONDS", 30.0)
    trouble = Trouble(*(Unreachable("gone") for _ in range(10_000)))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(persistently, trouble, lambda: True)
        while not trouble.calls:
            time.sleep(0.01)
        began = time.monotonic()
        with storage.hurried(KeyboardInterrupt()), pytest.raises(Unreachable):
            waiting.result()
        assert time.monotonic() - began < HURRIED_SECONDS + 5


def test_in_a_hurry_no_attempt_is_long() -> None:
    """During an interruption an attempt may take only seconds; afterwards it may take the whole deadline again."""
    with storage.hurried(KeyboardInterrupt()), storage.hurried(KeyboardInterrupt()):
        assert persistently(lambda seconds: seconds, lambda: True, 100.0) <= HURRIED_SECONDS
    assert persistently(lambda seconds: seconds, lambda: True, 100.0) > 90


def test_an_error_is_no_reason_to_hurry(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends with an error has the time to write its table."""
    monkeypatch.setattr("flows.storage.retries.HURRIED_SECONDS", 0.0)
    trouble = Trouble(*(Unreachable("gone") for _ in range(20)))

    with storage.hurried(RuntimeError()):
        assert persistently(trouble, lambda: True) == "done"


def test_many_requests_at_once_are_interrupted(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Ctrl-C does not wait until all the threads that ask a server which went away have given up."""
    storage.replace(f"{s3_bucket}/0", b"a")
    s3_proxy.go_away()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where a shell has it ignored
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            storage.each(storage.read, [f"{s3_bucket}/{number}" for number in range(100)])
    finally:
        signal.signal(signal.SIGINT, before)

    assert time.monotonic() - began < 1 + HURRIED_SECONDS + 5


# ---------------------------------------------------------------- S3's errors


@pytest.mark.parametrize(
    ("status", "code", "kind", "requests"),
    [
        (403, "AccessDenied", Forbidden, 1),
        (403, "RequestTimeTooSkewed", Forbidden, 1),
        (400, "ExpiredToken", CredentialsExpired, 1),
        (404, "NoSuchKey", NotFound, 1),
        (404, "NoSuchBucket", NotFound, 1),
        (400, "InvalidBucketName", StorageError, 1),
    ],
)
def test_errors_that_stay_are_named_at_once(
    s3_bucket: str, s3_proxy: FaultProxy, status: int, code: str, kind: type[StorageError], requests: int
) -> None:
    """Each refusal of the server is one of our classes after one request, in every operation."""
    address = f"{s3_bucket}/a.txt"
    for method, act in (
        ("GET", lambda: storage.read(address)),
        ("GET", lambda: storage.entries(s3_bucket) or storage.read(address)),
        ("PUT", lambda: storage.replace(address, b"data")),
        ("PUT", lambda: storage.create(address, b"data")),
    ):
        s3_proxy.requests.clear()
        s3_proxy.faults = [(method, (status, code))] * 9
        with pytest.raises(kind) as caught:
            act()
        assert type(caught.value) is kind
        assert not caught.value.retryable
    assert s3_proxy.requests["PUT"] == requests


def test_expired_credentials_are_told_from_a_bad_request_without_a_body(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The answer to HEAD has no body, so no reason: it is asked for, and is what the user reads."""
    # botocore asks HEAD again, of the bucket, in case it lies in another region.
    s3_proxy.faults = [*[("HEAD", (400, "ExpiredToken"))] * 3, ("GET", (400, "ExpiredToken"))]

    with pytest.raises(CredentialsExpired, match=r"have expired \(ExpiredToken\)\. Renew them and run again"):
        storage.identity(f"{s3_bucket}/a.txt")


@pytest.mark.parametrize("fault", [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")])
def test_a_burst_of_server_errors_goes_unnoticed(s3_bucket: str, s3_proxy: FaultProxy, fault: tuple[int, str]) -> None:
    """Three errors in a row, in each operation, are tried through."""
    address = f"{s3_bucket}/a.txt"
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        s3_proxy.faults += [(method, fault)] * 3

    assert storage.create(address, b"data") is True
    assert storage.read(address) == b"data"
    assert storage.identity(address) is not None
    storage.remove(address)
    assert s3_proxy.faults == []


def test_a_conflict_is_tried_again(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """409 says that another request was in the way: with nothing there, the next try makes the object."""
    s3_proxy.faults = [("PUT", (409, "ConditionalRequestConflict"))] * 2

    assert storage.create(f"{s3_bucket}/a.txt", b"ours") is True
    assert storage.read(f"{s3_bucket}/a.txt") == b"ours"


def test_a_swap_whose_answer_was_lost_has_won(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The stored bytes are our own, so the swap counts as successful."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"old")
    _, version = storage.read_with_version(address)
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]

    assert storage.swap(address, version, b"new") is True
    assert storage.read(address) == b"new"


def test_a_flipped_bit_is_read_again(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """One corrupted answer is noticed by its checksum, and the next one is whole."""
    storage.create(f"{s3_bucket}/a.txt", b"data" * 1000)
    s3_proxy.faults = [("GET", FLIP_BIT)]

    assert storage.read(f"{s3_bucket}/a.txt") == b"data" * 1000


@pytest.mark.parametrize("fault", [HANG, DRIP])
def test_a_request_that_does_not_end_is_ended(
    s3_bucket: str, s3_proxy: FaultProxy, impatient: None, fault: str
) -> None:
    """A server that says nothing, or one byte at a time, holds an object up no longer than its deadline."""
    storage.create(f"{s3_bucket}/a.txt", b"data" * 1000)
    s3_proxy.requests.clear()
    s3_proxy.faults = [("GET", fault)] * 50
    began = time.monotonic()

    with pytest.raises(Unavailable):
        storage.read(f"{s3_bucket}/a.txt")
    assert time.monotonic() - began < 10
    assert s3_proxy.requests["GET"] <= 6


def test_a_request_that_hangs_once_is_made_again(s3_bucket: str, s3_proxy: FaultProxy, impatient: None) -> None:
    """After one hanging answer the object is read all the same."""
    storage.create(f"{s3_bucket}/a.txt", b"data")
    s3_proxy.faults = [("GET", HANG)]

    assert storage.read(f"{s3_bucket}/a.txt") == b"data"


# ---------------------------------------------------------------- secrets


def test_credentials_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message contains a secret of the environment, even if the underlying error does."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "SOME_PASSWORD"):
        monkeypatch.setenv(name, f"recognisable-{name}")

    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "SOME_PASSWORD"):
        assert redacted(f"signed with recognisable-{name}.") == "signed with ***."


def test_credentials_in_an_endpoint_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore quotes the endpoint whole; the user reads it without its password."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:recognisable-password@127.0.0.1:9")
    s3.requests.filesystem.cache_clear()
    with pytest.raises(StorageError, match=r"http://\*\*\*@127.0.0.1:9 .* has a password in it") as caught:
        storage.read("s3://bucket/a.txt")
    s3.requests.filesystem.cache_clear()

    assert "recognisable" not in str(caught.value)
