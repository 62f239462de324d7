"""flows.cli.retry: which settings of the earlier run `nst retry` takes over."""

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
def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function: (the earlier run's settings, options of the command) -> the settings of the retry."""
    requested: list[RunArguments] = []

    def run_manifest(one: RunArguments, _shown: object) -> tuple[None, ExitCode]:
        requested.append(one)
        return None, ExitCode.OK

    monkeypatch.setattr("flows.cli.run.run_manifest", run_manifest)

    def settings(earlier: dict[str, Any], *options: str) -> RunSettings:
        given = RunSettings.model_validate(earlier)
        run = run_record(settings=given.model_dump(mode="json"), backbone=given.backbone)
        Ledger(str(tmp_path)).start_run(run, b"content,style\n")
        assert nst("retry", str(tmp_path), *options).exit_code == ExitCode.OK
        (one,) = requested
        assert one.settings is not None
        return one.settings

    return settings


def test_a_retry_uses_the_weights_of_the_earlier_run(settings_of: Any) -> None:
    """A retry takes over the weights, their hash and the other settings of the earlier run, except `take_over`."""
    found = settings_of({"weights": "/w/vgg.pth", "take_over": True, "cpu_workers": 2}, "--device", "cpu")

    assert (found.weights, found.weights_sha256) == ("/w/vgg.pth", "ab" * 32)
    assert (found.take_over, found.cpu_workers, found.device) == (False, 2, "cpu")


def test_another_backbone_does_not_take_over_weights(settings_of: Any) -> None:
    """With another backbone a retry takes over neither the weights of the earlier run nor their hash."""
    found = settings_of({"weights": "/w/vgg.pth"}, "--backbone", "vgg19-torchvision")

    assert (found.backbone, found.weights, found.weights_sha256) == ("vgg19-torchvision", None, None)


def test_a_retry_of_an_inline_run_uses_worker_processes(settings_of: Any) -> None:
    """Runner and device are not taken over; the precision is, because it changes the results."""
    found = settings_of({"runner": "inline", "device": "cpu", "precision": "fp32"})

    assert (found.runner, found.device, found.precision) == ("local", "auto", "fp32")
