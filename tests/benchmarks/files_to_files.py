"""A worker's pipeline from image files to image files and records, at the default quality; needs no Prefect.

Threads read, decode, encode and write while the device stylizes, as in `nst run`, whose flow only hands out batches.
Prints one line of JSON; on a GPU with the share of time in which it was busy, as `nvidia-smi` samples it.

python -m tests.benchmarks.files_to_files --device cuda:0 --size 512 --pairs 500
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
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

QUESTION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500")


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
        self._sampling: subprocess.Popen[str] | None = None

    def __call__(self, message: Message | DeviceWaits | DeviceGoesOn) -> None:
        self._last = time.perf_counter()
        if isinstance(message, ChunkStarted) and not self._began:
            self._began = self._last
            self._sampling = _sampling(self._device)
        if isinstance(message, PairRecord):
            self._outcomes.append(message)
        else:
            self._others[type(message).__name__] += 1
        if isinstance(message, AttemptRecord | LeftPending):
            say(message.error)

    def ended(self) -> dict[str, object]:
        """Return the figures of the run."""
        seconds, busy = self._last - self._began, _samples(self._sampling)
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


def _sampling(device: str) -> "subprocess.Popen[str] | None":
    """Start to sample how busy a GPU is; None on the CPU."""
    if not device.startswith("cuda"):
        return None
    number = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    name = visible[number] if visible[0] else str(number)
    try:
        return subprocess.Popen([*QUESTION, f"--id={name}"], stdout=subprocess.PIPE, text=True)
    except OSError:
        return None


def _samples(sampling: "subprocess.Popen[str] | None") -> list[float]:
    """Stop to sample, and return the percentages; none where `nvidia-smi` does not know them."""
    if sampling is None:
        return []
    sampling.terminate()
    words = sampling.communicate()[0].split()
    return [float(word) for word in words if word.isdecimal()]


if __name__ == "__main__":
    main()
