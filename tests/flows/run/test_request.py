"""flows.run.request: what a run was asked, resolved once; what a retry takes over from an earlier run."""

import dataclasses
from pathlib import Path

import pytest
from builders import Painter, run_record

from flows.errors import OutputError
from flows.run.request import Asked, resolve, settings_again
from flows.settings import RunSettings
from nst_core.errors import OptionsError


def test_the_look_is_taken_over_and_the_place_is_not() -> None:
    """Backbone, its weights and the precision are those of the run; device and cluster are the retry's own."""
    given = RunSettings(
        backbone="vgg16-torchvision", precision="fp32", device="cuda:1", runner="ray", ray_address="ray://head:10001"
    )
    record = run_record(
        settings=given.model_dump(mode="json"), backbone="vgg16-torchvision", weights_sha256="a" * 64, precision="fp32"
    )

    expected = RunSettings(backbone="vgg16-torchvision", precision="fp32", weights_sha256="a" * 64)
    assert settings_again(record) == expected


def test_the_stub_stays_the_stub() -> None:
    """A made-up run is done again as one, with its behaviour."""
    given = RunSettings(backbone="stub", stub="seconds=0.5")
    record = run_record(settings=given.model_dump(mode="json"), backbone="stub")

    assert settings_again(record) == given


@pytest.fixture
def asked(photo: Painter, waves: str, tmp_path: Path) -> Asked:
    """A manifest of one pair, and where it goes."""
    (tmp_path / "pairs.csv").write_text(f"content,style\n{photo('a.png')},{waves}\n")
    return Asked(str(tmp_path / "out"), str(tmp_path / "pairs.csv"))


def test_overrides_go_without_a_manifest(asked: Asked) -> None:
    """With one they would be options."""
    with pytest.raises(OptionsError, match="overrides go with a run without a manifest"):
        resolve(dataclasses.replace(asked, overrides={"steps": 3}))


def test_an_output_without_a_run_has_nothing_to_retry(tmp_path: Path) -> None:
    """Said with the place where a run would be."""
    with pytest.raises(OutputError, match="no run has been made into this output"):
        resolve(Asked(str(tmp_path)))
