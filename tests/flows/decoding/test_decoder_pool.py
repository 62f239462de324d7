"""flows.decoding: a separate process decodes images within limits, and a failure of that process is contained."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from flows.decoding import decoder as decoder_module
from flows.decoding import decoder_pool
from flows.decoding.decoder import BOUNDS, Decoder, DecoderDied
from flows.decoding.decoder_process import Bounds, WantedPicture
from flows.errors import TookTooLong, WorkerDied
from nst_core.errors import BadImage
from nst_core.images import decode_image, resize
from tests import odd_pictures as odd

SLOW = odd.bmp_of_runs(6_000_000)
"""An image that takes some seconds to decode, in Python code."""
PHOTOGRAPH = odd.stills()["PNG"]
AS_IT_IS = WantedPicture()


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder process for all tests that do not end it."""
    made = Decoder()
    yield made
    made.end()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """The only decoder of `decoder_pool`, for one test."""
    made = Decoder()
    for name, decoders in (("_ready", [made]), ("_spare", [])):
        new: decoder_pool.queue.LifoQueue[Decoder] = decoder_pool.queue.LifoQueue()
        for one in decoders:
            new.put(one)
        monkeypatch.setattr(decoder_pool, name, new)
    yield made
    made.end()


def is_alive(process_id: int) -> bool:
    """Return whether a process exists and is no zombie; a zombie only waits for its parent to take notice."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def process_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def kill_soon(decoder: Decoder, number: int, times: int) -> threading.Thread:
    """Send a signal to each of the next processes of a decoder, in the middle of its work."""

    def kill() -> None:
        killed = -1
        for _ in range(times):
            while decoder._process is None or decoder._process.pid == killed:
                time.sleep(0.01)
            time.sleep(0.3)
            killed = process_of(decoder)
            os.kill(killed, number)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", odd.stills())
def test_a_decoder_process_gives_the_same_pixels_and_notes(decoder: Decoder, kind: str) -> None:
    """Pixels and notes are the same as when the engine decodes the file in this process."""
    data = odd.stills()[kind]
    here = decode_image(data, "a")

    there = decoder.decode(data, "a", AS_IT_IS)

    assert there.notes == here.notes
    assert (np.asarray(there.picture) == np.asarray(here.picture)).all()


def test_an_image_sent_in_many_strips_is_complete(decoder: Decoder) -> None:
    """An image that the process sends in several strips is complete."""
    data = odd.save(odd.noise((1501, 1203)), "PNG")

    assert (
        np.asarray(decoder.decode(data, "a", AS_IT_IS).picture) == np.asarray(decode_image(data, "a").picture)
    ).all()


def test_images_are_decoded_at_the_requested_size(decoder: Decoder) -> None:
    """An image comes at the pastiche's size, enlarged only with `enlarge`; a thumbnail comes at a smaller fraction."""
    data = odd.save(odd.noise((640, 480)), "JPEG")
    whole = decode_image(data, "a").picture

    small = decoder.decode(data, "a", WantedPicture("pastiche", 64)).picture
    kept = decoder.decode(data, "a", WantedPicture("pastiche", 1000)).picture
    large = decoder.decode(data, "a", WantedPicture("pastiche", 1000, enlarge=True)).picture
    enough = decoder.decode(data, "a", WantedPicture("thumbnail", 100)).picture

    assert (np.asarray(small) == np.asarray(resize(whole, 64, 48))).all()
    assert (kept.size, large.size, enough.size) == ((640, 480), (1000, 750), (160, 120))


@pytest.mark.parametrize(
    ("file_px", "wanted_px"), [((2000, 1500), 512), ((320, 240), 512)], ids=["reduced", "enlarged"]
)
def test_a_hard_cutout_has_no_waves_beside_its_edge(decoder: Decoder, file_px: tuple[int, int], wanted_px: int) -> None:
    """Alpha at another size stays 255 inside a hard cut-out and 0 outside; only pixels at its edge have values in
    between.
    """
    cutout = Image.new("RGBA", file_px, (200, 40, 90, 0))
    box = (file_px[0] // 5, file_px[1] // 5, file_px[0] * 4 // 5 - 1, file_px[1] * 4 // 5 - 1)
    ImageDraw.Draw(cutout).ellipse(box, fill=(20, 120, 40, 255))
    wanted = WantedPicture("pastiche", wanted_px, enlarge=True, keep_alpha=True)

    alpha = decoder.decode(odd.save(cutout, "PNG"), "a", wanted).alpha

    assert alpha is not None
    found = np.asarray(alpha)
    height, width = found.shape
    assert (width, height) == (wanted_px, wanted_px * 3 // 4)
    scale = wanted_px / file_px[0]
    y, x = (np.indices(found.shape) + 0.5) / scale
    radii = file_px[0] * 0.3, file_px[1] * 0.3
    distance = np.hypot((x - file_px[0] / 2) / radii[0], (y - file_px[1] / 2) / radii[1])
    margin = max(2.2, 1 / scale) / min(radii)  # the reach of bilinear interpolation, or one reduced pixel
    assert (found[distance < 1 - margin] == 255).all()
    assert (found[distance > 1 + margin] == 0).all()
    assert ((found > 0) & (found < 255)).any()


def test_a_refusal_names_the_image(decoder: Decoder) -> None:
    """A file that is no image is refused with the engine's message and the name that the caller gave it."""
    with pytest.raises(BadImage) as caught:
        decoder.decode(b"", "cats/tom.png", AS_IT_IS)

    assert caught.value.reason == "not_an_image"
    assert str(caught.value).startswith("cats/tom.png: expected a JPEG")


def test_one_process_decodes_all_images(decoder: Decoder) -> None:
    """Neither another image nor a bad one starts a new process, and Ctrl-C in the terminal does not end it."""
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)
    first = process_of(decoder)

    with pytest.raises(BadImage):
        decoder.decode(b"", "a", AS_IT_IS)
    os.kill(first, signal.SIGINT)
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)

    assert process_of(decoder) == first


@pytest.mark.parametrize(("seed", "each"), [(1, 4), pytest.param(2, 100, marks=pytest.mark.slow)])
def test_hundreds_of_odd_files_are_decoded_or_refused(
    decoder: Decoder, capfd: pytest.CaptureFixture[str], seed: int, each: int
) -> None:
    """Each file is decoded or refused as no image, by one process that neither ends nor prints anything."""
    decoder.start()
    first, taken = process_of(decoder), 0
    files = [*odd.disguised().items(), *odd.damaged(seed, each)]
    for name, data in files:
        try:
            decoder.decode(data, name, AS_IT_IS)
            taken += 1
        except BadImage as refusal:
            assert refusal.name == name  # noqa: PT017  # both outcomes are fine

    assert 0 < taken < len(files)
    assert process_of(decoder) == first
    assert capfd.readouterr() == ("", "")


def test_messages_of_libraries_do_not_reach_the_terminal(decoder: Decoder, capfd: pytest.CaptureFixture[str]) -> None:
    """What libtiff prints about a damaged file does not come from the decoder process; in this process it would be
    printed.
    """
    broken = bytearray(odd.stills()["CMYK TIFF"])
    broken[100:140] = b"\xff" * 40

    with pytest.raises(BadImage):
        decoder.decode(bytes(broken), "a", AS_IT_IS)
    there = capfd.readouterr().err
    with pytest.raises(BadImage):
        decode_image(bytes(broken), "a")

    assert there == ""
    assert capfd.readouterr().err != ""


def test_an_image_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, own: Decoder) -> None:
    """An image that takes too long ends its process and is refused; the next one is decoded."""
    monkeypatch.setattr(own, "_bounds", Bounds(0.5, BOUNDS.memory_bytes))
    began = time.monotonic()

    with pytest.raises(BadImage) as caught:
        decoder_pool.decode(SLOW, "slow.bmp")
    decoder_pool.decode(odd.stills()["PNG"], "a")

    assert caught.value.reason == "too_costly"
    assert str(caught.value) == (
        "slow.bmp: expected an image that is decoded in 10 seconds for each 50 megapixels, found one that takes "
        "longer. Open it in a paint program and save it again, as PNG or JPEG."
    )
    assert time.monotonic() - began < 20


def test_an_image_that_takes_too_much_memory_is_refused() -> None:
    """An image that takes too much memory is refused, and another process decodes the next one."""
    decoder = Decoder(Bounds(10, 20_000_000))
    decoder.start()
    first = process_of(decoder)

    with pytest.raises(BadImage, match=r"^a: expected an image that is decoded in 0.02 GB of memory, found one"):
        decoder.decode(odd.save(Image.new("RGB", (3000, 3000)), "PNG"), "a", AS_IT_IS)
    decoder._process.wait()  # type: ignore[union-attr]  # it was started
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)

    assert process_of(decoder) != first
    decoder.end()


@pytest.mark.slow
def test_the_largest_image_stays_within_its_limits(decoder: Decoder) -> None:
    """50 megapixels with alpha and a profile, the costliest image, stay within the limits of time and memory."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = odd.save(Image.new("RGBA", (7071, 7071), (9, 200, 30, 100)), "PNG", icc_profile=icc, compress_level=1)

    assert decoder.decode(data, "a", WantedPicture("pastiche", 100)).picture.size == (100, 100)


def test_a_killed_process_is_replaced_and_its_image_decoded(own: Decoder) -> None:
    """A process that is killed while idle or in the middle of an image is replaced, and the image is decoded."""
    decoder_pool.decode(odd.stills()["PNG"], "a")
    os.kill(process_of(own), signal.SIGKILL)
    decoder_pool.decode(odd.stills()["PNG"], "a")
    own.end()
    killer = kill_soon(own, signal.SIGKILL, times=1)

    assert decoder_pool.decode(odd.bmp_of_runs(1_000_000, (1000, 900)), "a").picture.size == (1000, 900)

    killer.join()


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (signal.SIGKILL, WorkerDied, "ended twice, with SIGKILL; there may be too little memory"),
        (signal.SIGSEGV, BadImage, r"cut short or damaged \(the decoder crashes with SIGSEGV\)"),
    ],
)
def test_an_image_that_ends_two_processes_fails(own: Decoder, number: int, kind: type[Exception], words: str) -> None:
    """If both were killed, the machine is at fault, and a retry may succeed; a crash is the image's fault."""
    killer = kill_soon(own, number, times=2)

    with pytest.raises(kind, match=words) as caught:
        decoder_pool.decode(SLOW, "slow.bmp")

    killer.join()
    assert str(caught.value).startswith("slow.bmp: ")


def test_a_stopped_process_is_given_up_after_the_clock_time(own: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process uses no CPU time, so it is given up by the wall clock; that is not the image's fault."""
    monkeypatch.setattr(decoder_module, "CLOCK_SECONDS", 1.0)
    stopper = kill_soon(own, signal.SIGSTOP, times=2)

    with pytest.raises(TookTooLong, match=r"slow\.bmp: not decoded in"):
        decoder_pool.decode(SLOW, "slow.bmp")

    stopper.join()


def test_a_decoder_that_cannot_be_started_fails_the_image(own: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system starts no more processes, `get_ready` raises nothing, and the error is that of the image."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)

    decoder_pool.get_ready()
    with pytest.raises(WorkerDied, match=r"no process to decode images in could be started: .*unavailable"):
        decoder_pool.decode(odd.stills()["PNG"], "a")


def test_a_slow_image_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process is busy, a second one decodes other images; it is started only when needed."""
    bounds = Bounds(0.5, BOUNDS.memory_bytes)  # so that the slow image ends soon
    decoders = Decoder(bounds), Decoder(bounds)
    for name, made in zip(("_ready", "_spare"), decoders, strict=True):
        new: decoder_pool.queue.LifoQueue[Decoder] = decoder_pool.queue.LifoQueue()
        new.put(made)
        monkeypatch.setattr(decoder_pool, name, new)
    ends: list[str] = []

    def decode(data: bytes, name: str) -> None:
        with suppress(BadImage):
            decoder_pool.decode(data, name)
        ends.append(name)

    decode(odd.stills()["PNG"], "first")
    alone = decoders[1]._process
    slow = threading.Thread(target=decode, args=(SLOW, "slow"))
    slow.start()
    time.sleep(0.2)
    busy = decoders[0]._process
    assert busy is not None
    os.kill(busy.pid, signal.SIGSTOP)  # it takes as long as the other image, however busy the machine is
    decode(odd.stills()["PNG"], "quick")
    os.kill(busy.pid, signal.SIGCONT)
    slow.join()

    assert alone is None
    assert ends == ["first", "quick", "slow"]
    for made in decoders:
        made.end()


def test_side_by_side_starts_processes_only_as_needed(own: Decoder) -> None:
    """`side_by_side(3)` lets three images be decoded at once; two at once start two processes."""
    decoder_pool.side_by_side.__wrapped__(3)
    decoder_pool.decode(PHOTOGRAPH, "a")
    with decoder_pool._lent():  # as while another image is decoded
        decoder_pool.decode(PHOTOGRAPH, "b")
        decoder_pool.decode(PHOTOGRAPH, "c")
    made = [decoder_pool._ready.get_nowait() for _ in range(3)]

    assert own in made
    assert sum(one._process is not None for one in made) == 2
    for one in made:
        one.end()


PARENT = """
import os, sys, time
from tests import odd_pictures as odd
from flows.decoding import decoder_pool
decoder_pool.decode(odd.stills()["PNG"], "a")
decoder = decoder_pool._ready.get()
decoder_pool._ready.put(decoder)
print(decoder._process.pid, flush=True)
if sys.argv[1] != "exits":
    time.sleep(60)
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_an_image_is_decoded_with_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    """A program that was started with closed standard streams decodes images, although new files get their numbers."""
    result = tmp_path / "result"
    code = (
        "import sys\nfrom tests import odd_pictures as odd\nfrom flows.decoding import decoder_pool\n"
        "open(sys.argv[1], 'w').write(str(decoder_pool.decode(odd.stills()['PNG'], 'a').picture.size))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", code, str(result)]

    subprocess.run(command, env=environment, check=True, timeout=60)

    assert result.read_text() == str(decode_image(PHOTOGRAPH, "a").picture.size)


@pytest.mark.parametrize("end", ["exits", "is killed"])
def test_a_decoder_process_ends_with_its_parent(end: str) -> None:
    """An idle process ends soon after the one that started it, even if that was killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PARENT, end], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if end == "is killed":
            parent.kill()
    until = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < until:
        time.sleep(0.05)

    assert not is_alive(child)


def test_the_decoder_process_imports_nothing_heavy() -> None:
    """The process starts quickly because it imports neither torch nor prefect, nor numpy at first."""
    code = "import flows.decoding.decoder_process, sys; print(*{'torch', 'prefect', 'numpy'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_decoder_died_has_the_exit_code() -> None:
    """The code of a process that a signal ended is the signal's number below zero, as in `subprocess`."""
    decoder = Decoder(Bounds(0.2, BOUNDS.memory_bytes))

    with pytest.raises(DecoderDied) as caught:
        decoder.decode(SLOW, "a", AS_IT_IS)

    assert (caught.value.code, caught.value.is_overdue) == (-signal.SIGPROF, False)
