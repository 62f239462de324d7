"""Decode the bytes of a text file, without byte order or end-of-file marks, and name other kinds of files.

Files that are not text, such as workbooks or archives with a `.csv` name, are recognised by their first bytes.
"""

import codecs
import re

from flows.errors import ManifestError

_HOW = "(in Excel: 'CSV UTF-8'; in LibreOffice: character set 'Unicode (UTF-8)')"
SAVE_AS_UTF8 = f"save it as UTF-8 {_HOW}"
WORKBOOK = f"save its sheet as CSV in UTF-8 {_HOW}"
UNPACK = "unpack it"
OTHER_FILES = {
    b"PK\x03\x04": f"an Excel or LibreOffice workbook, or another zip archive; {WORKBOOK}",
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook; {WORKBOOK}",
    b"<?xml": f"an XML document, such as a workbook; {WORKBOOK}",
    **dict.fromkeys((b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"), f"a web page with a table at best; {WORKBOOK}"),
    b"\x1f\x8b": f"a gzip file in a gzip file; {UNPACK}",
    b"BZh": f"a bzip2 file; {UNPACK}",
    b"\xfd7zXZ": f"an xz file; {UNPACK}",
    b"\x28\xb5\x2f\xfd": f"a zstd file; {UNPACK}",
    b"%PDF-": "a PDF document; export its table as CSV",
    b"\x89PNG": "a PNG image; name it in a manifest",
    b"\xff\xd8\xff": "a JPEG image; name it in a manifest",
}
"""Maps the first bytes of files that are not CSV, although they may be named so, to what they are and what to do."""
MAX_LINES = 5_000_000
"""The most lines a file may have. Blank lines do not count as rows, so this bounds the memory that they take."""

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_START_BYTES = 4096
"""The number of bytes that are decoded to recognise a file."""
_BEFORE_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?\s*")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CTRL_Z = re.compile(r"(?<=[\r\n])\x1a[\r\n]*\Z")
"""The end-of-file mark that old Windows tools write as a last line of its own."""


def text_of_file(data: bytes, name: str, *, may_be_long: bool = False) -> str:
    """Return the text of a file that is UTF-8, or UTF-16 with a byte order mark, such as Excel's 'Unicode text'.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.
        may_be_long: whether the file may have any number of lines.

    Raises:
        ManifestError: the file is not such text, or has too many lines.
    """
    first = start_of_text(data)
    if found := next((kind for start, kind in OTHER_FILES.items() if first.startswith(start)), None):
        raise ManifestError(f"{name}: expected CSV text, found {found}")
    text = _CTRL_Z.sub("", _decoded(data, name).lstrip("\ufeff"))
    if not may_be_long and (text.count("\n") > MAX_LINES or text.count("\r") > MAX_LINES):
        raise ManifestError(f"{name}: expected at most {MAX_LINES:,} lines, found more; split the file")
    return text


def start_of_text(data: bytes) -> bytes:
    """Return the start of a file in UTF-8, without byte order mark and leading blanks, to recognise its kind.

    UTF-16 with a byte order mark, as PowerShell's `>` writes any program's output, is converted.
    """
    if data.startswith(_UTF16_MARKS):
        data = data[:_START_BYTES].decode("utf-16", errors="ignore").encode()
    before = _BEFORE_TEXT.match(data)
    start = before.end() if before else 0
    return data[start : start + _START_BYTES]


def _decoded(data: bytes, name: str) -> str:
    if data.startswith(_UTF16_MARKS):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ManifestError(f"{name}: expected UTF-16 text, found a damaged one; {SAVE_AS_UTF8}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(data, 0, error.start)) + 1
        raise ManifestError(
            f"{name} line {line}: expected UTF-8 text, found byte 0x{data[error.start]:02X} at byte offset"
            f" {error.start}, as in Latin-1 or Windows-1252 text; {SAVE_AS_UTF8}"
        ) from error
