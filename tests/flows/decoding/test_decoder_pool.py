"""flows.decoding: images are decoded beside the worker, within bounds, whatever becomes of the decoding process."""

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
"""Some seconds of Python."""
PHOTOGRAPH = odd.stills()["PNG"]
AS_IT_IS = WantedPicture()


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """One process for all that leaves it alive."""
    made = Decoder()
    yield made
    made.end()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """The only process there is for `decoder_pool.decode`."""
    made = Decoder()
    for name, decoders in (("_ready", [made]), ("_spare", [])):
        new: decoder_pool.queue.LifoQueue[Decoder] = decoder_pool.queue.LifoQueue()
        for one in decoders:
            new.put(one)
        monkeypatch.setattr(decoder_pool, name, new)
    yield made
    made.end()


def is_alive(process_id: int) -> bool:
    """Not gone, and not a zombie either, which only its parent's parent has yet to take notice of."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def process_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def kill_soon(decoder: Decoder, number: int, times: int) -> threading.Thread:
    """Send a signal to each of the next processes, in the middle of its work."""

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
def test_the_same_picture_comes_out(decoder: Decoder, kind: str) -> None:
    """Pixels and notes are those that the engine makes of the file in this process."""
    data = odd.stills()[kind]
    here = decode_image(data, "a")

    there = decoder.decode(data, "a", AS_IT_IS)

    assert there.notes == here.notes
    assert (np.asarray(there.picture) == np.asarray(here.picture)).all()


def test_a_picture_of_many_strips(decoder: Decoder) -> None:
    """A picture that is handed over in pieces is whole."""
    data = odd.save(odd.noise((1501, 1203)), "PNG")

    assert (
        np.asarray(decoder.decode(data, "a", AS_IT_IS).picture) == np.asarray(decode_image(data, "a").picture)
    ).all()


def test_at_the_size_that_is_wanted(decoder: Decoder) -> None:
    """It comes at the pastiche's size, enlarged only where that is wanted, or at a fraction that is enough."""
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
    """Alpha at another size stays 255 inside a hard cut-out and 0 outside; only pixels at its edge are mixed."""
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


def test_a_refusal_names_the_picture(decoder: Decoder) -> None:
    """What is no picture is refused in the engine's words, under the name that the user gave it."""
    with pytest.raises(BadImage) as caught:
        decoder.decode(b"", "cats/tom.png", AS_IT_IS)

    assert caught.value.reason == "not_an_image"
    assert str(caught.value).startswith("cats/tom.png: expected a JPEG")


def test_one_process_does_all(decoder: Decoder) -> None:
    """Neither another picture nor a bad one takes a new process; Ctrl-C in the terminal does not reach it."""
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)
    first = process_of(decoder)

    with pytest.raises(BadImage):
        decoder.decode(b"", "a", AS_IT_IS)
    os.kill(first, signal.SIGINT)
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)

    assert process_of(decoder) == first


@pytest.mark.parametrize(("seed", "each"), [(1, 4), pytest.param(2, 100, marks=pytest.mark.slow)])
def test_hundreds_of_odd_files(decoder: Decoder, capfd: pytest.CaptureFixture[str], seed: int, each: int) -> None:
    """Each is taken or refused as no picture, by one process that lives and prints nothing."""
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


def test_what_libraries_print_is_no_line_for_a_terminal(decoder: Decoder, capfd: pytest.CaptureFixture[str]) -> None:
    """What libtiff thinks of a damaged file it tells whoever listens; in this process that would be a user."""
    broken = bytearray(odd.stills()["CMYK TIFF"])
    broken[100:140] = b"\xff" * 40

    with pytest.raises(BadImage):
        decoder.decode(bytes(broken), "a", AS_IT_IS)
    there = capfd.readouterr().err
    with pytest.raises(BadImage):
        decode_image(bytes(broken), "a")

    assert there == ""
    assert capfd.readouterr().err != ""


def test_time_that_is_over(monkeypatch: pytest.MonkeyPatch, own: Decoder) -> None:
    """A picture that takes too long ends its process alone, and is refused; the next one is decoded."""
    monkeypatch.setattr(own, "_bounds", Bounds(0.5, BOUNDS.memory_bytes))
    began = time.monotonic()

    with pytest.raises(BadImage) as caught:
        decoder_pool.decode(SLOW, "slow.bmp")
    decoder_pool.decode(odd.stills()["PNG"], "a")

    assert caught.value.reason == "too_costly"
    assert str(caught.value) == (
        "slow.bmp: expected an image that is decoded in 10 seconds for each 50 megapixels, found one that takes "
        "longer. Open it in a paint program and save it anew, as PNG or JPEG."
    )
    assert time.monotonic() - began < 20


def test_memory_that_is_spent() -> None:
    """A picture that takes too much memory is refused, and another process does the next one."""
    decoder = Decoder(Bounds(10, 20_000_000))
    decoder.start()
    first = process_of(decoder)

    with pytest.raises(BadImage, match=r"^a: expected an image that is decoded in 0.02 GB of memory, found one"):
        decoder.decode(odd.save(Image.new("RGB", (3000, 3000)), "PNG"), "a", AS_IT_IS)
    decoder._process.wait()  # type: ignore[union-attr]  # it was asked
    decoder.decode(odd.stills()["PNG"], "a", AS_IT_IS)

    assert process_of(decoder) != first
    decoder.end()


@pytest.mark.slow
def test_the_largest_picture_is_within_its_bounds(decoder: Decoder) -> None:
    """50 megapixels with alpha and a profile, the costliest there are, stay within a picture's time and memory."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = odd.save(Image.new("RGBA", (7071, 7071), (9, 200, 30, 100)), "PNG", icc_profile=icc, compress_level=1)

    assert decoder.decode(data, "a", WantedPicture("pastiche", 100)).picture.size == (100, 100)


def test_a_process_that_is_killed_costs_no_picture(own: Decoder) -> None:
    """One that somebody kills, idle or in the middle, is replaced, and the picture decoded all the same."""
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
def test_a_picture_that_ends_two_processes(own: Decoder, number: int, kind: type[Exception], words: str) -> None:
    """Where both were killed the machine is at fault, and another attempt may do; a crash is the picture's fault."""
    killer = kill_soon(own, number, times=2)

    with pytest.raises(kind, match=words) as caught:
        decoder_pool.decode(SLOW, "slow.bmp")

    killer.join()
    assert str(caught.value).startswith("slow.bmp: ")


def test_a_process_that_stands_still(own: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped, so that its own time does not pass, is given up by the clock; that is no picture's fault."""
    monkeypatch.setattr(decoder_module, "CLOCK_SECONDS", 1.0)
    stopper = kill_soon(own, signal.SIGSTOP, times=2)

    with pytest.raises(TookTooLong, match=r"slow\.bmp: not decoded in"):
        decoder_pool.decode(SLOW, "slow.bmp")

    stopper.join()


def test_no_process_to_be_had(own: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine starts no more processes, that is said of the picture, not before."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)

    decoder_pool.get_ready()
    with pytest.raises(WorkerDied, match=r"no process to decode images in could be started: .*unavailable"):
        decoder_pool.decode(odd.stills()["PNG"], "a")


def test_a_slow_picture_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process is at it, a second one does the rest; without need there is no second one."""
    decoders = Decoder(), Decoder()
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
    os.kill(busy.pid, signal.SIGSTOP)  # as slow as the other one needs, however busy the machine is
    decode(odd.stills()["PNG"], "quick")
    os.kill(busy.pid, signal.SIGCONT)
    slow.join()

    assert alone is None
    assert ends == ["first", "quick", "slow"]
    for made in decoders:
        made.end()


def test_for_a_gpu_pictures_are_decoded_side_by_side(own: Decoder) -> None:
    """As many as are let, without waiting for one another; a process is there for each that was needed, no more."""
    decoder_pool.side_by_side.__wrapped__(3)
    decoder_pool.decode(PHOTOGRAPH, "a")
    with decoder_pool._lent():  # for as long as another one takes
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
def test_it_ends_with_its_worker(end: str) -> None:
    """An idle process is gone soon after the one that started it, even where that was killed."""
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


def test_it_loads_nothing_heavy() -> None:
    """The process starts in a moment: it loads neither torch nor prefect, and numpy only for 16 bits."""
    code = "import flows.decoding.decoder_process, sys; print(*{'torch', 'prefect', 'numpy'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == ""


def test_the_end_of_a_process_is_told_by_its_code() -> None:
    """As `subprocess` counts: the number of the signal, below zero."""
    decoder = Decoder(Bounds(0.2, BOUNDS.memory_bytes))

    with pytest.raises(DecoderDied) as caught:
        decoder.decode(SLOW, "a", AS_IT_IS)

    assert (caught.value.code, caught.value.is_overdue) == (-signal.SIGPROF, False)
