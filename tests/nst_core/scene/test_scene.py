"""The images of a batch, at full size and halved."""

import torch

from nst_core.losses.regions import Regions
from nst_core.options import StylizeOptions
from nst_core.scene.scene import Scene


def test_halved_halves_all_images_of_a_scene() -> None:
    """`halved` reduces contents, regions and protection mask, and the latter two keep their place in the image."""
    left = torch.zeros(1, 1, 32, 48)
    left[..., :24] = 1.0
    regions = Regions(torch.cat([left, 1.0 - left], dim=1))
    whole = Scene(torch.rand(1, 3, 32, 48), (), StylizeOptions().resolved(), protected=left, regions=regions)

    small = whole.halved(1)

    assert small.level == 1
    assert small.contents.shape == (1, 3, 16, 24)
    assert small.protected is not None
    assert small.regions is not None
    assert (small.protected.shape, small.regions.maps.shape) == ((1, 1, 16, 24), (1, 2, 16, 24))
    held, regions_there = small.protected[:, 0], small.regions.maps
    assert held[..., :10].min() > 0.95
    assert held[..., 14:].max() < 0.05
    torch.testing.assert_close(regions_there, torch.stack([held, 1.0 - held], dim=1), rtol=0.0, atol=0.02)


def test_halved_adds_no_regions_or_protection() -> None:
    """A scene without regions and protection mask has neither when halved."""
    small = Scene(torch.rand(1, 3, 32, 48), (), StylizeOptions().resolved()).halved(2)

    assert (small.contents.shape[2:], small.protected, small.regions) == ((8, 12), None, None)
