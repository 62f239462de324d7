"""`nst retry`: which settings of the run that is done again it takes over."""

from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import ExitCode
from flows.output.ledger import Ledger
from flows.run.request import RunArguments
from flows.settings import RunSettings
from tests.flows.builders import run_record
from tests.flows.commands import nst


@pytest.fixture
def asked_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(the earlier run's settings, options of the command) -> the settings that the retry asks for."""
    asked: list[RunArguments] = []

    def run_manifest(one: RunArguments, _shown: object) -> tuple[None, ExitCode]:
        asked.append(one)
        return None, ExitCode.OK

    monkeypatch.setattr("flows.cli.run.run_manifest", run_manifest)

    def settings(earlier: dict[str, Any], *options: str) -> RunSettings:
        given = RunSettings.model_validate(earlier)
        run = run_record(settings=given.model_dump(mode="json"), backbone=given.backbone)
        Ledger(str(tmp_path)).start_run(run, b"content,style\n")
        assert nst("retry", str(tmp_path), *options).exit_code == ExitCode.OK
        (one,) = asked
        assert one.settings is not None
        return one.settings

    return settings


def test_a_retry_is_done_with_the_weights_of_its_run(asked_of: Any) -> None:
    """And with all else that was said of it, but for the taking over of an output."""
    found = asked_of({"weights": "/w/vgg.pth", "take_over": True, "cpu_workers": 2}, "--device", "cpu")

    assert (found.weights, found.weights_sha256) == ("/w/vgg.pth", "ab" * 32)
    assert (found.take_over, found.cpu_workers, found.device) == (False, 2, "cpu")


def test_another_backbone_has_weights_of_its_own(asked_of: Any) -> None:
    """Those of the earlier one are none of its, and their hash not to be asked of it."""
    found = asked_of({"weights": "/w/vgg.pth"}, "--backbone", "vgg19-torchvision")

    assert (found.backbone, found.weights, found.weights_sha256) == ("vgg19-torchvision", None, None)


def test_a_run_in_a_debugger_is_not_done_again_in_one(asked_of: Any) -> None:
    """Only what decides its results is taken over."""
    found = asked_of({"runner": "inline", "device": "cpu", "precision": "fp32"})

    assert (found.runner, found.device, found.precision) == ("local", "auto", "fp32")
