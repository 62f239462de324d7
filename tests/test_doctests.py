"""The examples in docstrings give the results that they show."""

import doctest
import importlib
import pkgutil

import pytest

import flows
import nst_core

MODULES = sorted(
    module.name
    for package in (flows, nst_core)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """Every example in a module gives the result that is written below it."""
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert failed == 0


def test_there_are_examples() -> None:
    """The search finds at least six examples, so that the other test does not pass for lack of them."""
    finder = doctest.DocTestFinder()

    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]

    assert len(found) >= 6
