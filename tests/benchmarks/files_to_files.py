"""A worker's pipeline from image files to image files and records, at the default quality; needs no Prefect.

Threads read, decode, encode and write while the device stylizes, as in `nst run`, whose flow only hands out batches.
Prints one line of JSON; on a GPU with the share of time in which it was busy, as `nvidia-smi` samples it.

python -m tests.benchmarks.files_to_files --device cuda:0 --size 512 --pairs 500
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from flows import storage
from flows.records.attempts import AttemptRecord, PairRecord
from flows.records.pairs import PairSpec
from flows.records.plans import PlannedPair
from flows.worker.batch import stylize_pairs
from flows.worker.job import Job
from flows.worker.messages import ChunkStarted, DeviceGoesOn, DeviceWaits, LeftPending, Message
from nst_core.backbones.find import find_weights
from nst_core.machine.runtime import choose_precision
from nst_core.options import StylizeOptions
from nst_core.scene.pixels import to_picture
from tests.benchmarks.pictures import contents_of_size, sample
from tests.benchmarks.report import say
from tests.benchmarks.scoring import options_of, parse_options

DIFFERENT = 16
"""How many different content images there are; every pair reads and decodes its own anyway."""

QUESTION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
SAMPLE_SECONDS = 0.5


def main() -> None:
    """Stylize pairs of one style and size, and time them from the first that is on the device to the last record."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="files-") as folder:
        pairs = _pairs(Path(folder), arguments)
        weights = find_weights("vgg19", arguments.weights)
        job = Job(f"{folder}/out", "benchmark", weights, choose_precision(arguments.precision, arguments.device))
        clock = _Clock(arguments.device)
        stylize_pairs(clock, pairs, job, arguments.device)
        outcome = clock.ended()
    print(json.dumps(outcome | {"precision": job.precision, "content_px": arguments.content_px}))  # noqa: T201  # the script's output


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--content-px", type=int, default=2048, help="side of the JPEG files of the contents")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--weights", help="the weights file of vgg19 (default: the published one)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def _pairs(folder: Path, arguments: argparse.Namespace) -> list[PlannedPair]:
    contents = []
    for number, pixels in enumerate(contents_of_size(arguments.content_px, min(DIFFERENT, arguments.pairs))):
        contents.append(str(folder / f"{number}.jpg"))
        to_picture(pixels).save(contents[-1], quality=92)
    options = options_of({"size_px": arguments.size} | parse_options(arguments.option)).resolved()
    return [_planned(row, contents[row % len(contents)], options) for row in range(arguments.pairs)]


def _planned(row: int, content: str, options: StylizeOptions) -> PlannedPair:
    spec = PairSpec(row, f"pair-{row}", content, str(sample("expressionist")), options)
    identities = [storage.identity(address) or "missing" for address in (spec.content, spec.style)]
    return PlannedPair(spec, *identities, fingerprint=f"{row:020x}")


class _Clock:
    """Receives the worker's messages, and times them from the first chunk's start to the last outcome."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._began = self._last = 0.0
        self._outcomes: list[PairRecord] = []
        self._others: Counter[str] = Counter()
        self._samples: _BusySamples | None = None

    def __call__(self, message: Message | DeviceWaits | DeviceGoesOn) -> None:
        self._last = time.perf_counter()
        if isinstance(message, ChunkStarted) and not self._began:
            self._began = self._last
            self._samples = _BusySamples(self._device)
        if isinstance(message, PairRecord):
            self._outcomes.append(message)
        else:
            self._others[type(message).__name__] += 1
        if isinstance(message, AttemptRecord | LeftPending):
            say(message.error)

    def ended(self) -> dict[str, object]:
        """Return the figures of the run."""
        seconds, busy = self._last - self._began, self._samples.end() if self._samples else []
        return {
            "pairs": len(self._outcomes),
            "pairs_failed": self._others["AttemptRecord"] + self._others["LeftPending"],
            "chunks": self._others["ChunkStarted"],
            "seconds": seconds,
            "pairs_per_second": len(self._outcomes) / seconds,
            "device_seconds": sum(record.seconds for record in self._outcomes),
            "evaluations": statistics.median(record.evaluations for record in self._outcomes),
            "busy_share": statistics.mean(busy) / 100.0 if busy else None,
            "busy_samples": len(busy),
        }


class _BusySamples:
    """Samples, on a thread of its own, in which share of the time a GPU ran a kernel; on a CPU there are no samples.

    Every sample is a new call of `nvidia-smi`: a single one that repeats may hold back its last lines.
    """

    def __init__(self, device: str) -> None:
        number = int(device.partition(":")[2] or 0)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        self._question = [*QUESTION, f"--id={visible[number] if visible[0] else number}"]
        self._percentages: list[float] = []
        self._ends = threading.Event()
        if device.startswith("cuda") and shutil.which(QUESTION[0]):
            threading.Thread(target=self._sample, daemon=True).start()

    def end(self) -> list[float]:
        """Stop, and return the samples in percent; none where `nvidia-smi` does not know them, as on a slice."""
        self._ends.set()
        return self._percentages

    def _sample(self) -> None:
        while not self._ends.wait(SAMPLE_SECONDS):
            answer = subprocess.run(self._question, capture_output=True, text=True, check=False).stdout.strip()
            if answer.isdecimal():
                self._percentages.append(float(answer))


if __name__ == "__main__":
    main()
