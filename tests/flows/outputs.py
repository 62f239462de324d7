"""Outputs as runs leave them, with small real images, for tests of reports and exports."""

import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from flows import storage
from flows.errors import NotFound
from flows.manifest import parse_manifest
from flows.output import Ledger
from flows.records.attempts import LossSample
from nst_core.options import StylizeOptions
from tests.flows.builders import FINGERPRINT, attempt_record, pair_record, run_record

OPTIONS = StylizeOptions(size_px=64, steps=20)


def drawing(text: str, size: tuple[int, int] = (64, 48), image_format: str = "PNG") -> bytes:
    """Return the file of a small image whose colours depend on a text."""
    colour = tuple(hashlib.sha256(text.encode()).digest()[:3])
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).ellipse((4, 4, size[0] - 8, size[1] - 8), fill=colour[::-1])
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


class Output:
    """A run of a manifest whose rows a test finishes or fails one by one; nothing is stylized."""

    def __init__(self, address: str, manifest: str, uri: str, **run: Any) -> None:
        self.address = address
        self._ledger = Ledger(address)
        self.manifest = parse_manifest(manifest.encode(), uri, run.get("options", OPTIONS))
        fingerprints = {pair.pair_id: FINGERPRINT for pair in self.manifest.pairs}
        self.run = run_record(fingerprints, manifest_uri=uri, **({"options": OPTIONS} | run))
        self._ledger.start_run(self.run, manifest.encode())

    def done(self, pair_id: str, size: tuple[int, int] = (64, 48), **record: Any) -> None:
        """Finish a pair: write its image and its record."""
        image = drawing(f"{self.address} {pair_id}", size)
        (spec,) = [pair for pair in self.manifest.pairs if pair.pair_id == pair_id]
        facts = {"width": size[0], "height": size[1], "options": spec.options, "notes": (), "stop_reason": "steps"}
        facts |= {"content_sha256": _sha256(spec.content), "style_sha256": _sha256(spec.style)}
        facts |= {"output_sha256": hashlib.sha256(image).hexdigest()}
        made = pair_record(pair_id, **(facts | record))
        storage.replace(storage.join(self.address, made.output), image)
        self._ledger.commit(made)

    def failed(self, pair_id: str, **attempt: Any) -> None:
        """Record a failed attempt of a pair."""
        self._ledger.add_attempt(attempt_record(pair_id, **attempt))

    def history(self, pair_id: str, losses: list[float], levels: list[int] | None = None) -> None:
        """Add a loss history to the record of a finished pair, one sample for each loss, with that number for every
        term.
        """
        record = self._ledger.read_record((pair_id, FINGERPRINT))
        samples = enumerate(zip(levels or [0] * len(losses), losses, strict=True))
        made = tuple(LossSample(level, step, step + 1, *([loss] * 4), loss) for step, (level, loss) in samples)
        address = storage.join(self.address, "_nst", "records", f"{pair_id}-{FINGERPRINT}.json")
        storage.replace(address, record.model_copy(update={"history": made}).model_dump_json().encode())


def _sha256(address: str) -> str:
    """Return the SHA-256 of a file, or of its address if it does not exist."""
    try:
        return hashlib.sha256(storage.read(address)).hexdigest()
    except NotFound:
        return hashlib.sha256(address.encode()).hexdigest()


def studio(folder: Path, **run: Any) -> Output:
    """Make a run of eleven rows: nine finished (one of them an outlier, one with a timeline), one failed, one rejected;
    cells contain HTML and scripts.
    """
    for name in ("cat", "dog"):
        (folder / f"{name}.png").write_bytes(drawing(name))
    for name in ("waves", "night"):
        (folder / f"{name}.jpg").write_bytes(drawing(name, (48, 64), "JPEG"))
    lines = ["id,content,style,note"]
    lines += [
        f"pair-{n},{'cat' if n % 2 else 'dog'}.png,{'waves' if n < 5 else 'night'}.jpg,note {n}" for n in range(1, 9)
    ]
    lines += [f"far,cat.png,night.jpg,{EVIL}", "lost,gone.png,waves.jpg,", f"bad,{EVIL_ADDRESS},waves.jpg,"]
    output = Output(str(folder / "out"), "\n".join(lines) + "\n", str(folder / "pairs.csv"), **run)
    for n in range(1, 9):
        losses = {"total_loss": 1.0 + n / 50, "content_loss": 0.5 + n / 100, "style_loss": 0.01 + n / 1000}
        losses |= {"content_distance": 0.5 + n / 100, "style_distance": 1.0 / n}
        timeline = {"timeline": "timelines/pair-1-01234567.gif"} if n == 1 else {}
        output.done(f"pair-{n}", seconds=float(n), **losses, **timeline)
    frames = [Image.new("RGB", (32, 24), (level, 60, 90)) for level in (0, 80, 160)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:], duration=50)
    storage.replace(storage.join(output.address, "timelines", "pair-1-01234567.gif"), moving.getvalue())
    output.done("far", total_loss=40.0, content_loss=0.55, style_loss=1.2, initial_total_loss=50.0, seconds=9.0)
    output.failed("lost", error_kind="not_found", error="gone.png: no such file <b>here</b>")
    return output


EVIL = '"<script>document.title=`taken`</script><img src=x onerror=document.title=`taken`>"'
EVIL_ADDRESS = '"https://example.com/</script><script>document.title=`taken`</script>"'
