"""flows.run.request: the arguments of a run, resolved once, and what a retry takes over from an earlier run."""

import dataclasses
import hashlib
from contextlib import nullcontext
from pathlib import Path

import pytest

from flows.errors import ManifestError, NotAllowed, OutputError, StorageError
from flows.limits import Limits
from flows.records.layout import REWRITTEN
from flows.run.prepare import prepare_run
from flows.run.request import RunArguments, check_feasible, check_places, recorded_settings, resolve
from flows.runners import Means
from flows.settings import RunSettings, Selection
from nst_core.errors import OptionsError, WeightsError
from nst_core.options import StylizeOptions
from tests.flows.builders import Painter, run_record


def test_a_retry_takes_over_the_look_but_not_the_place() -> None:
    """Backbone, weights and precision are those of the retried run; device and cluster are the retry's own."""
    given = RunSettings(
        backbone="vgg16-torchvision", precision="fp32", device="cuda:1", runner="ray", ray_address="ray://head:10001"
    )
    record = run_record(
        settings=given.model_dump(mode="json"), backbone="vgg16-torchvision", weights_sha256="a" * 64, precision="fp32"
    )

    expected = RunSettings(backbone="vgg16-torchvision", precision="fp32", weights_sha256="a" * 64)
    assert recorded_settings(record) == expected


def test_a_retry_takes_over_the_user_s_weights_file() -> None:
    """A retry uses the weights file of the retried run, and only with the same hash."""
    given = RunSettings(weights="/w/vgg.pth")
    record = run_record(settings=given.model_dump(mode="json"), weights_sha256="a" * 64)

    assert recorded_settings(record) == RunSettings(weights="/w/vgg.pth", weights_sha256="a" * 64)


def test_a_retry_takes_over_the_stub() -> None:
    """A run with the stub is retried with the stub and its options."""
    given = RunSettings(backbone="stub", stub="seconds=0.5")
    record = run_record(settings=given.model_dump(mode="json"), backbone="stub")

    assert recorded_settings(record) == given


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> RunArguments:
    """Arguments of a run with a manifest of one pair."""
    (tmp_path / "pairs.csv").write_text(f"content,style\n{photo('a.png')},{waves}\n")
    return RunArguments(str(tmp_path / "out"), str(tmp_path / "pairs.csv"))


def test_overrides_with_a_manifest_are_refused(asked: RunArguments) -> None:
    """Overrides are for a run without a manifest; with one, the same values would be options."""
    with pytest.raises(OptionsError, match="overrides go with a run without a manifest"):
        resolve(dataclasses.replace(asked, overrides={"steps": 3}))


@pytest.mark.parametrize("name", REWRITTEN)
def test_files_that_no_run_wrote_are_not_overwritten(asked: RunArguments, tmp_path: Path, name: str) -> None:
    """If the output has a file with the name of one that runs write, the error names it before anything is written."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    request = resolve(dataclasses.replace(asked, settings=RunSettings(backbone="stub")))

    said = rf"found {name}, which no run wrote here"
    with pytest.raises(OutputError, match=said):
        check_feasible(request)
    with pytest.raises(OutputError, match=said):
        prepare_run(request, Means(("cpu",), ("cpu",), "fp32"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_manifest_with_other_bytes_than_asked_for_is_refused(asked: RunArguments, tmp_path: Path) -> None:
    """A request may name the hash of the manifest: other bytes are refused, whatever they are."""
    data = (tmp_path / "pairs.csv").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert resolve(dataclasses.replace(asked, manifest_sha256=sha256)).data == data

    (tmp_path / "pairs.csv").write_bytes(data + b"\n")
    with pytest.raises(ManifestError, match=rf"pairs\.csv: expected the bytes with sha256 {sha256}, found "):
        resolve(dataclasses.replace(asked, manifest_sha256=sha256))


def test_an_output_that_is_a_file_is_refused(asked: RunArguments) -> None:
    """An output that is a file is refused before anything is done."""
    Path(asked.output).write_text("mine")

    with pytest.raises(OutputError, match="out: expected a folder, found a file; name another place"):
        check_feasible(resolve(dataclasses.replace(asked, settings=RunSettings(backbone="stub"))))


def test_a_retry_needs_an_earlier_run(tmp_path: Path) -> None:
    """Without a manifest, an output into which no run was made is an error."""
    with pytest.raises(OutputError, match="no run has been made into this output"):
        resolve(RunArguments(str(tmp_path)))


def limits(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Set the operator's limits to these."""
    (folder / "limits.toml").write_text(text)
    monkeypatch.setenv("NST_LIMITS", str(folder / "limits.toml"))


def test_arguments_are_resolved(asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places become absolute, the manifest is read, and missing arguments get their defaults."""
    monkeypatch.chdir(tmp_path)
    options, selection = StylizeOptions(size_px=64), Selection(limit=3)
    request = resolve(RunArguments("out", "pairs.csv", options, selection=selection))

    assert (request.output, request.manifest.uri) == (str(tmp_path / "out"), str(tmp_path / "pairs.csv"))
    assert request.data == (tmp_path / "pairs.csv").read_bytes()
    assert (request.options, request.settings, request.selection) == (options, RunSettings(), selection)
    assert (request.overrides, request.latest) == ({}, None)
    assert request.manifest.pairs[0].options.size_px == 64
    assert resolve(asked).options == StylizeOptions()


def test_a_forbidden_output_is_refused_before_reading_the_manifest(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output outside the limits is refused although the manifest does not exist; one within them is accepted."""
    limits(monkeypatch, tmp_path, f'write = ["{tmp_path}/elsewhere"]')
    with pytest.raises(NotAllowed, match="out"):
        resolve(dataclasses.replace(asked, manifest=str(tmp_path / "none.csv")))

    limits(monkeypatch, tmp_path, f'write = ["{tmp_path}"]')
    assert resolve(asked).limits.write is not None


@pytest.mark.parametrize(
    ("closed", "settings", "is_refused"),
    [
        ({"read": []}, RunSettings(weights="/models/vgg19.bin"), True),
        ({"read": ["/models"]}, RunSettings(weights="/models/vgg19.bin"), False),
        ({"read": []}, RunSettings(), False),
        ({"ray": []}, RunSettings(runner="ray", ray_address="ray://head:10001"), True),
        ({"ray": ["ray://head:10001"]}, RunSettings(runner="ray", ray_address="ray://head:10001"), False),
        ({"ray": []}, RunSettings(ray_address="ray://head:10001"), False),
        ({"write": []}, RunSettings(), True),
    ],
)
def test_places_of_the_settings_are_held_to_the_limits(
    tmp_path: Path, closed: dict[str, tuple[str, ...]], settings: RunSettings, is_refused: bool
) -> None:
    """The limits apply to the output, the weights file and the cluster, each only if the run uses it."""
    allowed = Limits.model_validate(closed)
    with pytest.raises(NotAllowed) if is_refused else nullcontext():
        check_places(str(tmp_path), settings, allowed)


def test_resolve_refuses_a_forbidden_cluster(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that the limits exclude is refused when the arguments are resolved."""
    limits(monkeypatch, tmp_path, "ray = []")
    settings = RunSettings(runner="ray", ray_address="ray://head:10001")

    with pytest.raises(NotAllowed, match="ray"):
        resolve(dataclasses.replace(asked, settings=settings))


def test_an_infeasible_run_is_refused_at_once(asked: RunArguments, tmp_path: Path) -> None:
    """An unknown id, missing weights and a missing device are errors before the output is created."""
    check_feasible(resolve(asked))
    for changes, error in (
        ({"selection": Selection(only=("none",))}, ManifestError),
        ({"settings": RunSettings(weights=str(tmp_path / "none.bin"))}, (WeightsError, StorageError)),
        ({"settings": RunSettings(device="cuda:77")}, OptionsError),
    ):
        with pytest.raises(error):
            check_feasible(resolve(dataclasses.replace(asked, **changes)))
    assert not Path(asked.output).exists()


def test_a_retry_takes_over_the_latest_run_s_request(asked: RunArguments, tmp_path: Path) -> None:
    """Manifest, options and settings are those of the latest run; new overrides are added to its overrides."""
    settings = RunSettings(backbone="stub", stub="seconds=0")
    request = resolve(dataclasses.replace(asked, options=StylizeOptions(size_px=64), settings=settings))
    prepare_run(request, Means(("cpu",), ("cpu",), "fp32"))
    (tmp_path / "pairs.csv").unlink()
    first = resolve(RunArguments(asked.output, overrides={"steps": 7}))
    record = prepare_run(first, Means(("cpu",), ("cpu",), "fp32")).record
    again = resolve(RunArguments(asked.output, overrides={"seed": 3}, selection=Selection(limit=1)))

    assert (again.data, again.latest, again.options) == (request.data, record, StylizeOptions(size_px=64))
    assert again.overrides == {"steps": 7, "seed": 3}
    (pair,) = again.manifest.pairs
    assert (pair.options.size_px, pair.options.steps, pair.options.seed) == (64, 7, 3)
    assert again.settings == recorded_settings(record) == settings
    assert again.selection == Selection(limit=1)
    given = RunSettings(backbone="stub", device="cpu")
    assert resolve(RunArguments(asked.output, settings=given)).settings == given


def test_overrides_are_held_to_the_operator_s_limits(
    asked: RunArguments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry cannot evade the limits: neither its overrides nor rows planned before the limits were set may exceed
    them.
    """
    request = resolve(
        dataclasses.replace(asked, options=StylizeOptions(size_px=512), settings=RunSettings(backbone="stub"))
    )
    prepare_run(request, Means(("cpu",), ("cpu",), "fp32"))
    limits(monkeypatch, tmp_path, "max_options = {size_px = 256}")

    with pytest.raises(NotAllowed, match="size_px"):
        resolve(RunArguments(asked.output, overrides={"size_px": 300}))
    again = resolve(RunArguments(asked.output))
    assert (len(again.manifest.pairs), len(again.manifest.rejected)) == (0, 1)
    assert len(resolve(RunArguments(asked.output, overrides={"size_px": 200})).manifest.pairs) == 1


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        ({"style_blend": "0.3 0.9"}, NotAllowed, "style_blend: at most 0.5 is allowed here, got 0.3 0.9"),
        ({"style_blend": [0.3, 0.9]}, NotAllowed, "style_blend: at most 0.5 is allowed here"),
        ({"style_blend": "1 some"}, NotAllowed, "style_blend: at most 0.5 is allowed here"),
        ({"size_px": "large"}, OptionsError, "line 2 .* expected a whole number, got 'large'"),
        ({"size_px": None}, OptionsError, "line 2 .* cannot be done with these options"),
    ],
)
def test_overrides_of_any_type_are_checked(
    asked: RunArguments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    """Each number of a list is checked against the limits; a value of a wrong type is refused with the expected one."""
    request = resolve(dataclasses.replace(asked, settings=RunSettings(backbone="stub")))
    prepare_run(request, Means(("cpu",), ("cpu",), "fp32"))
    limits(monkeypatch, tmp_path, "max_options = {style_blend = 0.5, size_px = 4096}")

    with pytest.raises(error, match=words):
        resolve(RunArguments(asked.output, overrides=overrides))


def test_a_deployment_refuses_a_manifest_on_standard_input(tmp_path: Path) -> None:
    """A deployment does not wait for standard input, because nobody can pipe anything into a service."""
    with pytest.raises(ManifestError, match="a deployment has no standard input"):
        resolve(RunArguments(str(tmp_path / "out"), "-"), strict=True)
