"""flows.manifest.stdin: `-` stands for standard input, which is read once."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.errors import ManifestError
from flows.limits import Limits
from flows.manifest import load_manifest
from flows.manifest.stdin import standard_input
from nst_core.options import StylizeOptions


def test_standard_input_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are cached, relative addresses in it start from the current folder, and the limit on bytes applies."""
    monkeypatch.chdir(tmp_path)
    standard_input.cache_clear()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"content,style\na.jpg,s.jpg\n")))
    data, manifest = load_manifest("-", StylizeOptions(), Limits())

    assert load_manifest("-", StylizeOptions(), Limits())[0] == data == b"content,style\na.jpg,s.jpg\n"
    assert manifest.pairs[0].content == f"{tmp_path}/a.jpg"
    standard_input.cache_clear()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"x" * 11)))
    with pytest.raises(ManifestError, match="standard-input: expected at most 10 bytes, found more"):
        load_manifest("-", StylizeOptions(), Limits(max_manifest_bytes=10))
    standard_input.cache_clear()
