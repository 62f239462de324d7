from pathlib import Path

import pytest

from flows import storage
from tests.flows.outputs import Output

MANIFEST = (
    "id,content,style,artist\n"
    "cat,photos/pets/cat.png,art/waves.jpg,Hokusai\n"
    "dog,photos/pets/dog.v2.png,art/waves.jpg,=1+1\n"
    "bridge,photos/town/bridge.png,art/night.jpg,\n"
    "lost,gone.png,art/night.jpg,nobody\n"
    ",,art/night.jpg,nobody\n"
    "owl,photos/owl.png,art/night.jpg,last\n"
)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty folder, for an output and a dataset side by side."""
    return str(tmp_path / "work") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/work"


@pytest.fixture
def output(place: str) -> Output:
    """An output that is under way: cat, dog and bridge are done, lost failed, a row is rejected, owl is pending."""
    made = Output(storage.join(place, "out"), MANIFEST, "/in/pairs.csv")
    for pair_id in ("cat", "dog", "bridge"):
        made.done(pair_id, total_loss=0.1 + 0.2)
    made.failed("lost")
    return made


@pytest.fixture
def many(tmp_path: Path) -> Output:
    """Two hundred pairs that are done, on this disk."""
    rows = "".join(f"p{n:03d},c.png,s{n}.png\n" for n in range(200))
    made = Output(str(tmp_path / "many"), f"id,content,style\n{rows}", "/in/pairs.csv")
    for n in range(200):
        made.done(f"p{n:03d}", size=(16, 16))
    return made
