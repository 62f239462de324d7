"""pairs: the spread of pairs that are benchmarked, and where its images come from."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import pairs
from tests.benchmarks.drawn import PICTURES, SIDE, drawn
from tests.benchmarks.pairs import BULK, CARRIED, PAIRS, PictureMissing, SpreadPair, picture, save_pair
from tests.benchmarks.pictures import sample


def test_no_pair_is_twice_in_the_spread() -> None:
    """The spread has at least a dozen different pairs; bulk has 24 different pairs, which begin with the spread."""
    assert len(set(PAIRS)) == len(PAIRS) >= 12
    assert len(set(BULK)) == len(BULK) == 24
    assert BULK[: len(PAIRS)] == PAIRS


@pytest.mark.parametrize("name", sorted({name for pair in BULK for name in (pair.content, pair.style)}))
def test_every_image_has_exactly_one_source(name: str) -> None:
    """Each name is that of a sample, of an image in a package or of a drawing, and only of one of them."""
    assert [name in PICTURES, name in CARRIED, sample(name).is_file()].count(True) == 1


@pytest.mark.parametrize("name", PICTURES)
def test_drawings_are_the_same_every_time(name: str) -> None:
    """Drawing an image twice gives the same pixels, because the seeds are fixed; the image is not blank."""
    pixels = np.asarray(drawn(name))

    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.std() > 1.0
    assert np.array_equal(pixels, np.asarray(drawn(name)))


def test_a_pair_is_saved_as_squares(tmp_path: Path) -> None:
    """Both images are saved as square PNGs of the size, which the file names contain."""
    pair = save_pair(SpreadPair("coffee", "poster"), 32, tmp_path)

    assert (pair.content.name, pair.style.name) == ("coffee-32.png", "poster-32.png")
    assert pairs.opened(pair.content).size == pairs.opened(pair.style).size == (32, 32)


def test_the_error_for_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the missing package and the command that installs it."""
    monkeypatch.setitem(CARRIED, "moon", ("no_such_package", "moon.png"))

    with pytest.raises(PictureMissing, match=r"no_such_package.*pip install '\.\[benchmarks\]'"):
        picture("moon")
