"""errors: the hierarchy of the engine's errors."""

import inspect
import pickle
import re

import pytest

from nst_core import errors
from nst_core.errors import BadImage, NstError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, NstError) and value.__module__ == errors.__name__
]
SUBCLASSES = [cls for cls in CLASSES if cls is not NstError]


def example(cls: type[NstError]) -> NstError:
    return BadImage("cat.png", "truncated", "ends early") if cls is BadImage else cls("what went wrong")


def test_the_docstring_shows_every_class() -> None:
    """The tree in the module's docstring shows every error of the module, and nothing else."""
    drawn = re.findall(r"^    (?:├── |└── )(\w+)", errors.__doc__ or "", flags=re.MULTILINE)

    assert sorted(drawn) == sorted(cls.__name__ for cls in SUBCLASSES)


@pytest.mark.parametrize("cls", SUBCLASSES)
def test_every_error_is_a_child_of_nst_error(cls: type[NstError]) -> None:
    """Every error derives directly from NstError, as the tree in the docstring shows."""
    assert cls.__bases__ == (NstError,)


def test_kinds_are_distinct() -> None:
    """Every error has its own `kind`, in lower case."""
    kinds = [cls.kind for cls in CLASSES]

    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch(r"[a-z_]+", kind) for kind in kinds)


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_pickling(cls: type[NstError]) -> None:
    """An error that comes from a worker process keeps its class, its text and its attributes."""
    error = example(cls)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert (copy.kind, copy.retryable) == (error.kind, error.retryable)


def test_only_out_of_memory_is_retryable() -> None:
    """OutOfMemory is the only error after which the same call can succeed later."""
    assert [cls.__name__ for cls in CLASSES if cls.retryable] == ["OutOfMemory"]


def test_a_bad_image_error_names_its_image() -> None:
    """The text of a BadImage begins with the image's name; its parts are attributes."""
    error = BadImage("cat.png", "truncated", "ends early")

    assert str(error) == "cat.png: ends early"
    assert (error.name, error.reason, error.message) == ("cat.png", "truncated", "ends early")
