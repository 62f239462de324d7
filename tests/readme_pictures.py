"""Makes the README's images from a finished run, so that they show real output.

python -m tests.readme_pictures      after `nst run manifests/quickstart.csv --timeline webp`; needs a Chromium
"""

import io
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageSequence
from rich.console import Console
from rich.text import Text

from flows import storage
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.records.attempts import PairRecord
from flows.records.plans import PlannedPair
from flows.records.runs import RunStarted
from flows.report.run_page import write_report
from flows.report.sheet import write_sheet
from flows.watching.progress import RunProgress
from flows.watching.terminal import render
from flows.worker.animation import animation
from flows.worker.messages import ChunkStarted, StepTaken
from tests.flows.browser import Page, browser

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "manifests" / "pictures"
MOST_BYTES = 200_000
"""The largest file size of an image."""
COLUMNS = 81
"""The width of the terminal."""


def as_webp(picture: Image.Image, width: int) -> bytes:
    """An image, reduced to at most a width, as a WebP file at the best quality within `MOST_BYTES`."""
    picture = picture.convert("RGB")
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    for quality in (88, 80, 70, 60, 50, 40):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= MOST_BYTES:
            break
    return buffer.getvalue()


def sheet(output: str, folder: Path) -> bytes:
    """The contact sheet of the run."""
    return as_webp(Image.open(write_sheet(output, str(folder / "sheet.png"))), 1400)


def pages(output: str, folder: Path) -> tuple[bytes, bytes]:
    """The run's page in the light theme, and the view of one pair in the dark theme."""
    with browser(folder / "profile") as page:
        page.resize(1280, 1180)
        page.open(f"file://{write_report(output)}")
        page.prefer("light")
        page.wait_for("[...document.querySelectorAll('.card img')].slice(0, 6).every((one) => one.naturalWidth > 0)")
        listed = shot(page, folder)
        page.resize(1280, 860)
        page.prefer("dark")
        page.click(".trio")
        page.wait_for("document.querySelector('#picture-note').textContent.includes('the file itself')")
        page.run("document.querySelector('#details').scrollTop = 0")
        return as_webp(listed, 1280), as_webp(shot(page, folder), 1280)


def shot(page: Page, folder: Path) -> Image.Image:
    """What the browser shows once its animations have ended."""
    page.run("new Promise((done) => setTimeout(done, 500))")
    page.screenshot(folder / "shot.png")
    return Image.open(folder / "shot.png")


def terminal(output: str) -> bytes:
    """The live display as in the middle of the run, reconstructed from the run's records."""
    latest = latest_run(output)
    run = latest.record
    ledger = Ledger(output)
    planned = [PlannedPair(spec, "", "", run.fingerprints[spec.pair_id]) for spec in latest.manifest.pairs]
    records = [ledger.read_record((pair.spec.pair_id, pair.fingerprint)) for pair in planned]
    progress = RunProgress(
        RunStarted(run.run_id, output, planned, 0, (), ("cpu",), ("cpu",), run.backbone, run.precision)
    )
    now = 0.0
    for record in records[:3]:
        progress.on_message("cpu", ChunkStarted((record.pair_id,), 0), now)
        now += record.seconds
        progress.on_message("cpu", record, now)
    now = report_steps(progress, records[3], now)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ nst run manifests/quickstart.csv", style="bold"))
    console.print(render(progress, now))
    svg = console.export_svg(title="nst run")
    # Its fonts would be loaded from the network; any monospaced one will do.
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL).encode()


def report_steps(progress: RunProgress, record: PairRecord, now: float) -> float:
    """Report the first two thirds of a pair's evaluations; return the time in seconds at their end."""
    progress.on_message("cpu", ChunkStarted((record.pair_id,), 0), now)
    for sample in record.history[: 2 * len(record.history) // 3]:
        progress.on_message("cpu", StepTaken(record.pair_id, sample.level, sample.step, sample.total_loss), now)
    return now + 2 / 3 * record.seconds


def timeline(output: str, pair_id: str) -> bytes:
    """The timeline of a pair, an animated WebP within `MOST_BYTES`."""
    (name,) = [one for one in storage.names(storage.join(output, "timelines")) if one.startswith(f"{pair_id}-")]
    moving = Image.open(io.BytesIO(storage.read(storage.join(output, "timelines", name))))
    return animation([frame.convert("RGB") for frame in ImageSequence.Iterator(moving)], "webp", MOST_BYTES)


def main(output: str) -> None:
    """Write all images."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        report, viewer = pages(output, Path(folder))
        made = {"sheet.webp": sheet(output, Path(folder)), "report.webp": report, "viewer.webp": viewer}
    made |= {"terminal.svg": terminal(output), "timeline.webp": timeline(output, "rocket-brushstrokes")}
    for name, data in made.items():
        (PICTURES / name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes")  # noqa: T201  # a script that is run by hand


if __name__ == "__main__":
    main(storage.absolute(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "runs" / "quickstart")))
