"""flows.costs: estimates of what a run will take, from the rates of earlier runs, and the costs of a finished run."""

import json
from pathlib import Path

import pytest
from PIL import Image

from flows.costs import estimate as of_estimates
from flows.costs.estimate import LEAST_DOUBT, SHAPES, estimate, local_size
from flows.costs.rates import FILE, MOST_KEPT, Measured, gpus_here, keep_measured, measured_here, settling, size_class
from flows.costs.spent import MOST_STYLES, Spent
from flows.costs.wording import by_style_in_words, costs_in_words
from flows.environment import user_folder
from flows.records.attempts import LossSample
from flows.records.pairs import PairSpec
from nst_core.machine.hardware import Hardware
from nst_core.machine.work import style_work, work_of
from nst_core.options import StylizeOptions
from tests.flows.builders import pair_record, pair_spec


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without measurements of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return user_folder("XDG_CACHE_HOME", ".cache") / FILE


def measured(**changes: object) -> Measured:
    values = {"device": "cpu", "precision": "fp32", "backbone": "vgg19", "workers": 1, "rates": {256: (2.0,)}}
    return Measured.model_validate(values | changes)


def fixed(steps: int, size_px: int = 256, **options: object) -> dict[str, object]:
    """Return options of a pair whose number of evaluations is known."""
    return {"steps": steps, "size_px": size_px, "plateau_tolerance": 0.0, **options}


SIZES = {"/in/cat.png": (1024, 768)}


# ---- Estimates


def test_without_an_earlier_run_the_time_is_unknown() -> None:
    """If no run on this machine was measured, the time is unknown, and the estimate says so."""
    found = estimate([pair_spec()], SIZES, "vgg19")

    assert found is not None
    assert found.seconds is None
    assert str(found) == "1 pair at up to 512 px: time unknown until a first run on this machine"
    assert found.as_json()["seconds_likely"] is None
    assert estimate([], SIZES, "vgg19") is None


def test_time_is_work_at_the_measured_rate() -> None:
    """One pair takes 21 evaluations, 2 exact passes and a style's encoding, at the measured rate, which has a range."""
    keep_measured(measured(beside=(5.0, 7.0, 60.0)))
    found = estimate([pair_spec(options=fixed(20))], SIZES, "vgg19")
    pixels = 256 * 192 / 1e6

    assert found is not None
    assert found.seconds is not None
    low, likely, high = found.seconds
    assert likely == pytest.approx(2.0 * pixels * (21 + 2 * 1 + 1) + 7.0)
    assert low == pytest.approx(2.0 / LEAST_DOUBT * pixels * (21 + 2) + 2.0 * pixels + 7.0)
    assert high == pytest.approx(2.0 * LEAST_DOUBT * pixels * (21 + 2) + 2.0 * pixels + 7.0)


def test_pairs_of_one_style_encode_it_once() -> None:
    """Ten pairs of one style take nine encodings less than ten pairs of ten styles."""
    keep_measured(measured())
    alike = [pair_spec(row, options=fixed(20)) for row in range(2, 12)]
    apart = [pair_spec(row, options=fixed(20), style=f"/in/{row}.png") for row in range(2, 12)]
    seconds = [estimate(pairs, SIZES, "vgg19").seconds[1] for pairs in (alike, apart)]  # type: ignore[union-attr, index]  # there is one

    assert seconds[1] - seconds[0] == pytest.approx(9 * 2.0 * 256 * 192 / 1e6)


def test_every_image_of_a_style_is_encoded() -> None:
    """A blend takes one encoding per image; with `colors=match`, a style is encoded again for each of its pairs."""
    keep_measured(measured())
    one, unit = [pair_spec(options=fixed(20))], 2.0 * 256 * 192 / 1e6

    def likely(pairs: list[PairSpec]) -> float:
        found = estimate(pairs, SIZES, "vgg19")
        assert found is not None
        assert found.seconds is not None
        return found.seconds[1]

    blend = [pair_spec(options=fixed(20), others={"style_2": "/in/b.png", "style_3": "/in/c.png"})]
    assert likely(blend) - likely(one) == pytest.approx(2 * unit)
    alike = [[pair_spec(row, options=fixed(20, colors=colors)) for row in (2, 3)] for colors in ("style", "match")]
    assert likely(alike[1]) - likely(alike[0]) == pytest.approx(unit)


CPU_RATE, T4_RATE, H200_RATE = 2.0, 0.2, 0.02


@pytest.mark.parametrize(
    ("has_gpu", "models", "rate"),
    [
        (False, (), CPU_RATE),
        (True, ("NVIDIA H200",), H200_RATE),
        (True, ("NVIDIA T4", "NVIDIA H200"), T4_RATE),
        (True, (), T4_RATE),
        (True, ("NVIDIA H2", "NVIDIA T"), CPU_RATE),
    ],
    ids=["no GPU", "one of two", "both", "unknown model", "another model"],
)
def test_estimates_use_the_latest_device_that_is_available(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, models: tuple[str, ...], rate: float
) -> None:
    """Rates of a GPU that this machine does not have now are not used; of the others, the latest are."""
    keep_measured(measured())
    keep_measured(measured(device="cuda", gpu="NVIDIA H200 MIG 1g.18gb", rates={256: (H200_RATE,)}))
    keep_measured(measured(device="cuda", gpu="NVIDIA T4", rates={256: (T4_RATE,)}))
    monkeypatch.setattr(of_estimates, "hardware_without_torch", lambda: None if has_gpu else Hardware((), frozenset()))
    monkeypatch.setattr(of_estimates, "gpus_here", lambda: models)
    found = estimate([pair_spec(options=fixed(20))], SIZES, "vgg19")

    assert found is not None
    assert found.seconds is not None
    assert found.seconds[1] == pytest.approx(rate * 256 * 192 / 1e6 * (21 + 2 * 1 + 1))


@pytest.mark.parametrize(("there", "at_once"), [(8, 4), (4, 4), (1, 1), (0, 4)])
def test_the_number_of_gpus_is_limited_to_those_available(
    monkeypatch: pytest.MonkeyPatch, there: int, at_once: int
) -> None:
    """With rates of four GPUs, at most as many are assumed as are available; if that is unknown, four are."""
    keep_measured(measured(device="cuda", gpu="NVIDIA H200", workers=4))
    monkeypatch.setattr(of_estimates, "hardware_without_torch", lambda: None)
    monkeypatch.setattr(of_estimates, "gpus_here", lambda: ("NVIDIA H200",) * there)
    pairs = [pair_spec(row, style=f"/in/{row}.png", options=fixed(20)) for row in range(2, 10)]
    found = estimate(pairs, SIZES, "vgg19")

    assert found is not None
    assert found.seconds is not None
    assert found.seconds[1] == pytest.approx(8 / at_once * 2.0 * 256 * 192 / 1e6 * (21 + 2 * 1 + 1))


def test_gpu_models_are_read_from_the_driver_s_files(tmp_path: Path) -> None:
    """The driver has a file for each GPU; a file that cannot be read is left out."""
    h200, t4 = "Model: \t\t NVIDIA H200\nIRQ:   10\n", "Model: \t\t NVIDIA T4\n"
    for number, text in enumerate((h200, t4, h200)):
        folder = tmp_path / "proc" / "driver" / "nvidia" / "gpus" / f"0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(text)
    (folder.with_name("0000:09:00.0") / "information").mkdir(parents=True)

    assert sorted(gpus_here(tmp_path)) == ["NVIDIA H200", "NVIDIA H200", "NVIDIA T4"]
    assert gpus_here(tmp_path / "none") == ()


def test_workers_share_the_pairs() -> None:
    """Four workers take a quarter of the time for eight pairs, and a third for three pairs."""
    pairs = [pair_spec(row, options=fixed(20)) for row in range(2, 10)]
    keep_measured(measured())
    one = estimate(pairs, SIZES, "vgg19"), estimate(pairs[:3], SIZES, "vgg19")
    keep_measured(measured(workers=4))
    four = estimate(pairs, SIZES, "vgg19"), estimate(pairs[:3], SIZES, "vgg19")

    assert one[0].seconds[1] / four[0].seconds[1] == pytest.approx(4)  # type: ignore[union-attr, index]  # there are
    assert one[1].seconds[1] / four[1].seconds[1] == pytest.approx(3)  # type: ignore[union-attr, index]  # there are


def test_a_size_without_a_rate_has_a_wider_range() -> None:
    """The rate of the nearest size is used, and each doubling in between widens the range by 1.3 on both sides."""
    keep_measured(measured(rates={256: (2.0,), 4096: (9.0,)}))
    ranges = {}
    for size_px in (256, 512):
        found = estimate([pair_spec(options=fixed(500, size_px, levels=1))], SIZES, "vgg19")
        assert found is not None
        assert found.seconds is not None
        ranges[size_px] = found.seconds[2] / found.seconds[0]

    assert ranges[512] / ranges[256] == pytest.approx(1.3**2, rel=0.01)


def test_the_range_of_evaluations_comes_from_earlier_pairs() -> None:
    """The evaluations of a pair that may end early are those of earlier pairs; without any, those of the benchmark."""
    options = StylizeOptions(size_px=256).resolved()
    pair = pair_spec(options={"size_px": 256})
    keep_measured(measured())
    before = estimate([pair], SIZES, "vgg19")
    keep_measured(measured(settled={settling(options): (120, 130)}))
    after = estimate([pair], SIZES, "vgg19")

    assert before is not None
    assert after is not None
    assert before.seconds is not None
    assert after.seconds is not None
    assert before.seconds[0] < after.seconds[0]
    assert after.seconds[2] < before.seconds[2]
    work = [work_of(256, 192, options, full, (), measured(), 1 << 40) for full in (120, 130)]
    style = 2.0 * style_work(256, 192, measured())
    assert (after.seconds[0], after.seconds[2]) == pytest.approx(
        (work[0] * 2.0 / LEAST_DOUBT + style, work[1] * 2.0 * LEAST_DOUBT + style)
    )


def test_an_unknown_shape_widens_the_range() -> None:
    """If the size of the content is unknown, its shape may be anything from 16:9 to a square."""
    keep_measured(measured())
    found = estimate([pair_spec(options=fixed(2000, 320))], {}, "vgg19")

    assert found is not None
    assert found.seconds is not None
    assert found.seconds[2] / found.seconds[0] == pytest.approx(SHAPES[2] / SHAPES[0] * LEAST_DOUBT**2, rel=0.01)


def test_unknown_shapes_are_inferred_from_twenty_known_ones() -> None:
    """The shapes of nineteen known images say nothing about another image; those of twenty do."""
    keep_measured(measured())
    pair = pair_spec(options=fixed(2000, 320))
    found = [
        estimate([pair], {f"/in/{number}.png": (320, 160) for number in range(examined)}, "vgg19")
        for examined in (19, 20)
    ]
    highs = [one.seconds[2] for one in found if one is not None and one.seconds is not None]

    assert highs[0] == pytest.approx(2 * highs[1], rel=0.01)


def test_estimates_use_the_latest_precision() -> None:
    """Of runs in two precisions, the latest one's rates are used."""
    keep_measured(measured(rates={256: (50.0,)}))
    keep_measured(measured(precision="bf16", rates={256: (1.0,)}))
    found = estimate([pair_spec(options=fixed(20))], SIZES, "vgg19")

    assert found is not None
    assert found.seconds is not None
    assert found.seconds[1] == pytest.approx(1.0 * 256 * 192 / 1e6 * (21 + 2 * 2 + 2))


def test_a_time_budget_limits_the_estimate() -> None:
    """With `max_seconds` a pair takes at most that time, and what is done once."""
    keep_measured(measured())
    found = estimate([pair_spec(options=fixed(100_000, max_seconds=3.0))], SIZES, "vgg19")

    assert found is not None
    assert found.seconds is not None
    assert 3.0 < found.seconds[2] < 4.0


def test_rows_that_do_not_fit_into_memory_are_refused() -> None:
    """A pastiche that cannot fit into memory is reported with its row before a run begins."""
    found = estimate([pair_spec(2), pair_spec(7, options={"size_px": 16384, "enlarge": True})], SIZES, "vgg19")

    assert found is not None
    assert [row for row, _ in found.refused] == [7]
    assert "takes at least" in found.refused[0][1]


@pytest.mark.parametrize(("turned", "size"), [(1, (40, 20)), (6, (20, 40))])
def test_local_size_applies_the_exif_orientation(tmp_path: Path, turned: int, size: tuple[int, int]) -> None:
    """The size of a photograph is that after rotation; a file that is no image, a missing file and an S3 object have
    none.
    """
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.jpg").write_text("no picture")

    assert local_size(str(tmp_path / "a.jpg")) == size
    assert [local_size(one) for one in (str(tmp_path / "b.jpg"), str(tmp_path / "c.jpg"), "s3://b/a.jpg")] == [None] * 3


def test_local_size_ignores_pillow_s_limit_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """An image above Pillow's own limit has a size, and there is no warning."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("1", (60, 50)).save(tmp_path / "large.png")

    assert local_size(str(tmp_path / "large.png")) == (60, 50)
    assert list(recwarn) == []


# ---- Rates in the cache


def test_the_latest_rates_are_kept(empty_cache: Path) -> None:
    """Each run adds its measurements, of which the latest are kept; another precision has rates of its own."""
    for number in range(MOST_KEPT + 3):
        keep_measured(measured(rates={256: (float(number),)}))
    keep_measured(measured(precision="bf16"))
    cpu, bf16 = measured_here()

    assert cpu.rates[256] == tuple(map(float, range(3, MOST_KEPT + 3)))
    assert bf16.rates == {256: (2.0,)}
    assert [path.name for path in empty_cache.parent.iterdir()] == [FILE]


def test_another_number_of_workers_replaces_the_rates() -> None:
    """Rates of one worker are not used for two, which share the processor; the times beside the pairs are kept."""
    keep_measured(measured(rates={256: (1.0,)}, beside=(4.0,)))
    keep_measured(measured(rates={512: (3.0,)}, workers=2, beside=(5.0,)))
    (known,) = measured_here()

    assert (known.rates, known.workers, known.beside) == ({512: (3.0,)}, 2, (4.0, 5.0))


def test_each_gpu_model_has_its_own_rates() -> None:
    """Rates are kept by GPU model; a run with two models counts as a third one."""
    for gpus in (["NVIDIA T4"], ["NVIDIA H200"], ["NVIDIA T4", "NVIDIA H200"], ["NVIDIA T4"]):
        spent = Spent(on_gpus=True, threads=8)
        for number, gpu in enumerate(gpus):
            spent.add(pair_record(device=f"cuda:{number} ({gpu})", seconds=10.0))
        spent.keep_rates(len(gpus), "bf16", 20.0)

    assert [(one.gpu, len(one.beside)) for one in measured_here()] == [
        ("NVIDIA H200", 1),
        ("NVIDIA H200, NVIDIA T4", 1),
        ("NVIDIA T4", 2),
    ]


def test_a_cache_without_gpu_names_is_read(empty_cache: Path) -> None:
    """A cache of an earlier version, without GPU names, is read; a GPU with a name adds rates of its own."""
    keep_measured(measured(device="cuda"))
    empty_cache.write_text(empty_cache.read_text().replace('"gpu": "",', ""))
    (before,) = measured_here()
    keep_measured(measured(device="cuda", gpu="NVIDIA T4"))

    assert "gpu" not in before.model_fields_set
    assert [one.gpu for one in measured_here()] == ["", "NVIDIA T4"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', "null", '{"%s": [{"device": "cpu"}]}'])
def test_a_damaged_cache_counts_as_empty(empty_cache: Path, content: str) -> None:
    """Whatever the file contains, nothing fails, and the next run writes it again."""
    keep_measured(measured())
    machine = next(iter(json.loads(empty_cache.read_text())))
    empty_cache.write_text(content.replace("%s", machine))

    assert measured_here() == []
    keep_measured(measured())
    assert len(measured_here()) == 1


def test_an_unwritable_cache_is_ignored(tmp_path: Path) -> None:
    """A cache that cannot be written is no error."""
    (tmp_path / "cache").write_text("a file, not a folder")
    keep_measured(measured())

    assert measured_here() == []


def test_size_classes_are_powers_of_two() -> None:
    """The class of a size is the nearest power of two to the square root of its pixels."""
    assert [size_class(*size) for size in ((128, 128), (320, 213), (362, 362), (363, 363))] == [128, 256, 256, 512]


# ---- Costs of a run


def history(level: int, evaluations: int) -> LossSample:
    return LossSample(level, evaluations - 1, evaluations, 1.0, 1.0, 1.0, 0.0, 1.0)


def test_costs_are_those_of_the_runs_own_pairs() -> None:
    """The costs count the evaluations of all levels and the hours of CPU cores, also by style, the most expensive
    first.
    """
    spent = Spent(on_gpus=False, threads=2)
    spent.add(pair_record("a", seconds=36.0, evaluations=20, history=(history(1, 7), history(1, 9), history(0, 20))))
    spent.add(pair_record("b", seconds=72.0, evaluations=30, style="/in/ink.png"))
    spent.add(pair_record("c", seconds=18.0, evaluations=10))
    costs = spent.costs(180.0)

    assert costs is not None
    assert (costs.pairs_per_hour, costs.evaluations) == (60.0, 20 + 9 + 30 + 10)
    assert costs.evaluations_per_second == pytest.approx(69 / 180, abs=1e-3)
    assert (costs.processor_hours, costs.gpu_hours) == (2 * 126 / 3600, 0.0)
    assert [(name, one.pairs, one.processor_hours) for name, one in costs.by_style.items()] == [
        ("ink.png", 1, 0.04),
        ("waves.png", 2, 0.03),
    ]
    assert costs_in_words(costs) == "60 pairs per hour, 0.383 evaluations per second, 4 min of processor cores"
    assert by_style_in_words(costs) == (
        "ink.png: 1 pair, 30 evaluations, 2 min of processor cores; "
        "waves.png: 2 pairs, 39 evaluations, 108 s of processor cores"
    )


def test_of_many_styles_the_most_expensive_are_listed() -> None:
    """Only the `MOST_STYLES` most expensive styles are listed; the evaluations of all are counted."""
    spent = Spent(on_gpus=False, threads=2)
    for n in range(MOST_STYLES + 10):
        spent.add(pair_record(f"p{n}", seconds=36.0 * (n + 1), evaluations=10, style=f"/in/{n}.png"))
    costs = spent.costs(180.0)

    assert costs is not None
    assert list(costs.by_style) == [f"{n}.png" for n in range(MOST_STYLES + 9, 9, -1)]
    assert costs.evaluations == 10 * (MOST_STYLES + 10)


def test_gpu_hours_are_counted_separately() -> None:
    """A worker on a GPU takes GPU hours instead of processor hours; a run without pairs has no costs."""
    spent = Spent(on_gpus=True, threads=8)
    spent.add(pair_record(seconds=7200.0))
    costs = spent.costs(7200.0)

    assert costs is not None
    assert (costs.processor_hours, costs.gpu_hours) == (0.0, 2.0)
    assert Spent(on_gpus=True, threads=8).costs(10.0) is None


@pytest.mark.parametrize(
    ("colors", "others", "encodings"),
    [
        ("style", {}, (1, 0)),
        ("style", {"style_2": "/in/oil.png", "style_3": "/in/ink.png"}, (3, 0)),
        ("match", {"style_2": "/in/oil.png"}, (2, 2)),
    ],
    ids=["one style", "a blend", "a blend in each content's colours"],
)
def test_rates_include_all_encoded_images(colors: str, others: dict[str, str], encodings: tuple[int, int]) -> None:
    """The work of a pair includes the encodings of all images of its blend.

    Pairs that share them encode them once, unless they take each content's colours.
    """
    options = StylizeOptions(**fixed(30, colors=colors)).resolved()
    unit, spent = 256 * 192 / 1e6, Spent(on_gpus=False, threads=2)
    for number, pictures in enumerate(encodings):
        seconds = 2.0 * unit * (31 + 2 + pictures)
        taken = {"width": 256, "height": 192, "evaluations": 31, "seconds": seconds, "stop_reason": "steps"}
        spent.add(pair_record(f"p{number}", options=options, others=others, **taken))
    spent.keep_rates(1, "fp32", 20.0)
    (known,) = measured_here()

    assert known.rates[256] == pytest.approx([2.0, 2.0])


def test_what_a_run_measured_predicts_the_same_run() -> None:
    """The estimate for the pairs that were measured agrees with their time; a pair that ended at once gives no rate."""
    options = StylizeOptions(**fixed(30)).resolved()
    spent, records = Spent(on_gpus=False, threads=2), []
    for number, style in enumerate(("ink", "ink", "oil")):
        taken = {"width": 256, "height": 192, "evaluations": 31, "seconds": 4.0 - 0.5 * number, "stop_reason": "steps"}
        records.append(pair_record(f"p{number}", options=options, style=f"/in/{style}.png", **taken))
    for record in records:
        spent.add(record)
    spent.add(pair_record("early", evaluations=2, stop_reason="settled", seconds=1.0))
    spent.keep_rates(1, "fp32", 20.0)
    specs = [pair_spec(row, style=f"/in/{style}.png", options=fixed(30)) for row, style in ((2, "ink"), (3, "oil"))]
    found = estimate(specs, SIZES, "vgg19")
    (known,) = measured_here()

    assert found is not None
    assert found.seconds is not None
    assert (sum(map(len, known.rates.values())), known.beside) == (3, (20.0 - 11.5,))
    # The first pair of each style has its encoding in its time, the second of `ink` has not.
    pixels = 256 * 192 / 1e6
    assert known.rates[256] == pytest.approx(
        [4.0 / pixels / (31 + 3), 3.5 / pixels / (31 + 2), 3.0 / pixels / (31 + 3)], rel=1e-5
    )
    assert known.settled == {settling(StylizeOptions(size_px=64).resolved()): (2,)}
    assert found.seconds[0] - 8.5 <= 2 * 3.5 <= found.seconds[2] - 8.5
