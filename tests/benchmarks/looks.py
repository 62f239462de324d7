"""A sheet of pastiches to choose options by looking: one row per pair, one column per variant of the options.

python -m tests.benchmarks.looks --out sheet.jpg --variant "levels=1 steps=100" --variant "steps=60"
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from nst_core.backbones.backbone import Backbone, load_backbone
from nst_core.backbones.find import find_weights
from nst_core.geometry.sizes import pastiche_size, style_size
from nst_core.machine.runtime import choose_devices, choose_precision, prepare_process
from nst_core.measure import measure
from nst_core.options import StylizeOptions
from nst_core.prepare import prepare_style
from nst_core.request import StylizeRequest, StylizeResult
from nst_core.scene.pixels import to_picture, to_tensor
from nst_core.stylize import stylize
from tests.benchmarks.pictures import sample
from tests.benchmarks.scoring import options_of, parse_options

CONTENTS = ("astronaut", "chelsea", "coffee", "rocket")
STYLES = ("expressionist", "woodcut-waves", "stained-glass")
LABEL_PX = 16


def main(argv: Sequence[str] | None = None) -> None:
    """Stylize every pair with every variant, and paste the pastiches into one sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--content", type=Path, nargs="+", default=[sample(name) for name in CONTENTS])
    parser.add_argument("--style", type=Path, nargs="+", default=[sample(name) for name in STYLES])
    parser.add_argument("--variant", action="append", default=[], help='options, as "steps=60 pooling=average"')
    parser.add_argument("--thumb", type=int, default=512, help="long edge of a picture on the sheet")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args(argv)

    (device, *_) = choose_devices(arguments.device)
    prepare_process(device)
    backbone = load_backbone(find_weights("vgg19"), device, choose_precision(arguments.precision, device))
    rows = []
    for content, style in itertools.product(arguments.content, arguments.style):
        cells = [(content.stem, _opened(content)), (style.stem, _opened(style))]
        cells += [_cell(content, style, variant, backbone) for variant in arguments.variant or [""]]
        rows.append(cells)
        _paste(rows, arguments.thumb).save(arguments.out, quality=90)


def _cell(content: Path, style: Path, variant: str, backbone: Backbone) -> tuple[str, Image.Image]:
    options = options_of(dict(parse_options(variant.split()))).resolved()
    (result,) = stylize([request := _request(content, style, options, backbone)], backbone)
    if not isinstance(result, StylizeResult):
        raise result
    picture = to_picture(result.pastiche)
    loss = measure(to_tensor(picture), request, backbone).total
    work = "+".join(str(one) for one in (*result.coarse_evaluations, result.evaluations))
    label = f"{variant or 'defaults'}: loss {loss:.4g}, {work} evaluations, {result.seconds:.0f} s"
    print(content.stem, style.stem, label, flush=True)  # noqa: T201  # progress
    return label, picture


def _request(content: Path, style: Path, options: StylizeOptions, backbone: Backbone) -> StylizeRequest:
    photo, painting = _opened(content), _opened(style)
    size = pastiche_size(*photo.size, options.size_px, enlarge=options.enlarge)
    painting = painting.resize(style_size(*painting.size, size, options.style_scale), Image.Resampling.LANCZOS)
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    return StylizeRequest(to_tensor(photo), prepare_style(backbone, to_tensor(painting), options), options)


def _opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def _paste(rows: list[list[tuple[str, Image.Image]]], thumb: int) -> Image.Image:
    small = [[(label, ImageOps.contain(picture, (thumb, thumb))) for label, picture in cells] for cells in rows]
    heights = [LABEL_PX + max(picture.height for _, picture in cells) for cells in small]
    sheet = Image.new("RGB", (max(map(len, rows)) * thumb, sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    for cells, top in zip(small, itertools.accumulate(heights[:-1], initial=0), strict=True):
        for across, (label, picture) in enumerate(cells):
            draw.text((across * thumb + 2, top), label, fill="black")
            sheet.paste(picture, (across * thumb, top + LABEL_PX))
    return sheet


if __name__ == "__main__":
    main()
