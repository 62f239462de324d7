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
    """The address of an empty folder for an output and a dataset."""
    return str(tmp_path / "work") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/work"


@pytest.fixture
def output(place: str) -> Output:
    """An unfinished output: cat, dog and bridge are done, lost has failed, one row is rejected, owl is pending."""
    made = Output(storage.join(place, "out"), MANIFEST, "/in/pairs.csv")
    for pair_id in ("cat", "dog", "bridge"):
        made.done(pair_id, total_loss=0.1 + 0.2)
    made.failed("lost")
    return made
