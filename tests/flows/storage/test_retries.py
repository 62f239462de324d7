"""flows.storage.retries and s3.errors: which requests are retried, for how long, and what the user reads about them."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows import storage
from flows.clock import AwakeClock
from flows.errors import CredentialsExpired, Forbidden, LimitsError, NotFound, StorageError, Unavailable, Unreachable
from flows.storage import s3
from flows.storage.retries import ATTEMPTS, HURRIED_SECONDS, persistently
from flows.wording import redacted
from tests.flows.fault_proxy import DRIP, FLIP_BIT, HANG, LOSE_ANSWER, FaultProxy


class Attempts:
    """A function that raises these errors in order and then succeeds."""

    def __init__(self, *errors: StorageError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _seconds: float) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


# ---------------------------------------------------------------- retries of any function


def test_retryable_errors_are_retried(quick: None) -> None:
    """Retryable errors are followed by another attempt, until one succeeds."""
    trouble = Attempts(Unavailable("1"), Unavailable("2"), Unreachable("3"))

    assert persistently(trouble, lambda: True) == "done"
    assert trouble.calls == 4


@pytest.mark.parametrize("kind", [NotFound, Forbidden, CredentialsExpired, StorageError])
def test_permanent_errors_are_not_retried(quick: None, kind: type[StorageError]) -> None:
    """A missing object, or one that may not be read, is requested only once."""
    trouble = Attempts(kind("no"))

    with pytest.raises(kind):
        persistently(trouble, lambda: True)
    assert trouble.calls == 1


@pytest.mark.parametrize("variable", ["NST_OBJECT_SECONDS", "NST_OUTAGE_SECONDS"])
@pytest.mark.parametrize("value", ["60s", "nan", "-1", ""])
def test_an_invalid_number_of_seconds_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """The error is raised before the first attempt, and names the variable and its value."""
    monkeypatch.setenv(variable, value)
    trouble = Attempts()

    with pytest.raises(LimitsError, match=f"^{variable}: expected a number of seconds, such as .*0, found '{value}'$"):
        persistently(trouble, lambda: True)
    assert trouble.calls == 0


def test_the_number_of_attempts_is_limited(quick: None) -> None:
    """An object is given up after a number of attempts, with the error of the last one."""
    trouble = Attempts(*(Unavailable(str(number)) for number in range(1, 100)))

    with pytest.raises(Unavailable, match=f"^{ATTEMPTS}$"):
        persistently(trouble, lambda: True)


def test_an_object_has_a_deadline() -> None:
    """If attempts are slow, the deadline ends them before their number does."""

    def slow(_seconds: float) -> None:
        time.sleep(0.2)
        raise Unavailable("slow")

    began = time.monotonic()
    with pytest.raises(Unavailable):
        persistently(slow, lambda: True, seconds=0.5)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(("kind", "calls"), [(Unavailable, 4), (Unreachable, 6)])
def test_time_for_which_the_process_is_stopped_does_not_count(
    quick: None, monkeypatch: pytest.MonkeyPatch, kind: type[StorageError], calls: int
) -> None:
    """If the process is stopped for an hour in the middle of a request, that one fails, and is tried again.

    The hour counts for 2 seconds, and each further attempt takes one: deadlines of 5 and 7 seconds end as usual.
    """
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "7")
    now = [1000.0]
    monkeypatch.setattr("flows.storage.retries.awake_seconds", AwakeClock(lambda: now[0]).seconds)
    given: list[float] = []

    def reset(seconds: float) -> None:
        now[0] += 1.0 if given else 3600.0
        given.append(seconds)
        raise kind("the connection was reset")

    with pytest.raises(kind):
        persistently(reset, lambda: True, seconds=5.0)
    assert given == [5.0, 3.0, 2.0, 1.25, 1.25, 1.25][:calls]


def test_a_server_that_stopped_responding_is_waited_for(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server does not respond, attempts are not counted, so that its restart takes time but fails no object."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "30")
    trouble = Attempts(*(Unreachable("gone") for _ in range(3 * ATTEMPTS)))

    assert persistently(trouble, lambda: True, seconds=0.1) == "done"


def test_a_server_that_never_responded_is_soon_given_up(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is reported within seconds, not after the time for an outage."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "30")
    trouble = Attempts(*(Unreachable("gone") for _ in range(10_000)))
    began = time.monotonic()

    with pytest.raises(Unreachable):
        persistently(trouble, lambda: False, seconds=0.3)
    assert time.monotonic() - began < 5


def test_an_interruption_ends_the_waiting_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a server gives up within seconds of an interruption, not after the time for an outage."""
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "60")
    monkeypatch.setattr("flows.storage.retries.FIRST_WAIT_SECONDS", 30.0)
    monkeypatch.setattr("flows.storage.retries.LONGEST_WAIT_SECONDS", 30.0)
    trouble = Attempts(*(Unreachable("gone") for _ in range(10_000)))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(persistently, trouble, lambda: True)
        while not trouble.calls:
            time.sleep(0.01)
        began = time.monotonic()
        with storage.hurried(KeyboardInterrupt()), pytest.raises(Unreachable):
            waiting.result()
        assert time.monotonic() - began < HURRIED_SECONDS + 5


def test_attempts_are_short_during_an_interruption() -> None:
    """During an interruption an attempt may take only seconds; afterwards it may take the whole deadline again."""
    with storage.hurried(KeyboardInterrupt()), storage.hurried(KeyboardInterrupt()):
        assert persistently(lambda seconds: seconds, lambda: True, 100.0) <= HURRIED_SECONDS
    assert persistently(lambda seconds: seconds, lambda: True, 100.0) > 90


def test_an_error_that_ends_a_run_does_not_shorten_retries(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an interruption does: a run that ends with an error has time to write its results."""
    monkeypatch.setattr("flows.storage.retries.HURRIED_SECONDS", 0.0)
    trouble = Attempts(*(Unreachable("gone") for _ in range(20)))

    with storage.hurried(RuntimeError()):
        assert persistently(trouble, lambda: True) == "done"


def test_many_requests_at_once_are_interrupted(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Ctrl-C does not wait until all threads that request objects from a stopped server have given up."""
    storage.replace(f"{s3_bucket}/0", b"a")
    s3_proxy.go_away()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in case a shell set it to be ignored
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
def test_permanent_errors_of_s3_are_raised_at_once(
    s3_bucket: str, s3_proxy: FaultProxy, status: int, code: str, kind: type[StorageError], requests: int
) -> None:
    """Each permanent error of S3 raises its own class of error after one request, in every operation."""
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


def test_the_reason_of_a_failed_head_request_is_requested(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A response to HEAD has no body and so no reason: a GET request finds out that the credentials have expired."""
    # botocore repeats the HEAD request for the bucket, in case that is in another region.
    s3_proxy.faults = [*[("HEAD", (400, "ExpiredToken"))] * 3, ("GET", (400, "ExpiredToken"))]

    with pytest.raises(CredentialsExpired, match=r"have expired \(ExpiredToken\)\. Renew them and run again"):
        storage.identity(f"{s3_bucket}/a.txt")


@pytest.mark.parametrize("fault", [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")])
def test_three_server_errors_in_a_row_are_retried(s3_bucket: str, s3_proxy: FaultProxy, fault: tuple[int, str]) -> None:
    """Three errors in a row, in each operation, are retried until the operation succeeds."""
    address = f"{s3_bucket}/a.txt"
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        s3_proxy.faults += [(method, fault)] * 3

    assert storage.create(address, b"data") is True
    assert storage.read(address) == b"data"
    assert storage.identity(address) is not None
    storage.remove(address)
    assert s3_proxy.faults == []


def test_a_conflict_is_retried(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Status 409 means that another write was in progress: if it left no object, the next attempt creates it."""
    s3_proxy.faults = [("PUT", (409, "ConditionalRequestConflict"))] * 2

    assert storage.create(f"{s3_bucket}/a.txt", b"ours") is True
    assert storage.read(f"{s3_bucket}/a.txt") == b"ours"


def test_a_swap_whose_response_was_lost_succeeded(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """The stored bytes are those of the swap itself, so it counts as successful."""
    address = f"{s3_bucket}/a.txt"
    storage.create(address, b"old")
    _, version = storage.read_with_version(address)
    s3_proxy.faults = [("PUT", LOSE_ANSWER)]

    assert storage.swap(address, version, b"new") is True
    assert storage.read(address) == b"new"


def test_a_response_with_a_flipped_bit_is_requested_again(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """A response that does not match its checksum is requested again, and the next one is whole."""
    storage.create(f"{s3_bucket}/a.txt", b"data" * 1000)
    s3_proxy.faults = [("GET", FLIP_BIT)]

    assert storage.read(f"{s3_bucket}/a.txt") == b"data" * 1000


@pytest.fixture
def one_second_read_timeout(s3_proxy: FaultProxy) -> None:
    """Requests end after a second without any byte, a third of the deadline that is set when the client is made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NST_OBJECT_SECONDS", "3")
        s3.requests.filesystem()


@pytest.mark.parametrize("fault", [HANG, DRIP])
def test_an_endless_response_ends_at_the_deadline(
    s3_bucket: str,
    s3_proxy: FaultProxy,
    one_second_read_timeout: None,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    """A server that sends nothing, or one byte at a time, does not delay an object beyond its deadline."""
    storage.create(f"{s3_bucket}/a.txt", b"data" * 1000)
    monkeypatch.setenv("NST_OBJECT_SECONDS", "3")
    monkeypatch.setenv("NST_OUTAGE_SECONDS", "8")
    s3_proxy.requests.clear()
    s3_proxy.faults = [("GET", fault)] * 50
    began = time.monotonic()

    with pytest.raises(Unavailable):
        storage.read(f"{s3_bucket}/a.txt")
    assert time.monotonic() - began < 10
    assert s3_proxy.requests["GET"] <= 6


def test_a_request_that_hangs_once_is_retried(
    s3_bucket: str, s3_proxy: FaultProxy, one_second_read_timeout: None
) -> None:
    """After one request without a response the object is read."""
    storage.create(f"{s3_bucket}/a.txt", b"data")
    s3_proxy.faults = [("GET", HANG)]

    assert storage.read(f"{s3_bucket}/a.txt") == b"data"
    assert s3_proxy.faults == []


# ---------------------------------------------------------------- secrets


def test_credentials_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message contains a secret of the environment, even if the underlying error does."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "SOME_PASSWORD"):
        monkeypatch.setenv(name, f"recognisable-{name}")

    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "SOME_PASSWORD"):
        assert redacted(f"signed with recognisable-{name}.") == "signed with ***."


def test_credentials_in_an_endpoint_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Botocore's errors contain the endpoint; the message shows it without its password."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:recognisable-password@127.0.0.1:9")
    s3.requests.filesystem.cache_clear()
    with pytest.raises(StorageError, match=r"http://\*\*\*@127.0.0.1:9 .* has a password in it") as caught:
        storage.read("s3://bucket/a.txt")
    s3.requests.filesystem.cache_clear()

    assert "recognisable" not in str(caught.value)
