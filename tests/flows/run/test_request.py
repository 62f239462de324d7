"""flows.run.request.settings_again: what a retry takes over from the run whose failures it does again."""

from builders import run_record

from flows.run.request import settings_again
from flows.settings import RunSettings


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
