"""The columns of the results table and their data types."""

from typing import Literal

Status = Literal["succeeded", "failed", "rejected", "pending"]
"""The values of the column `status`."""

ColumnType = Literal["text", "repeated text", "whole number", "real number", "time"]
"""The data type of a column: a repeated text is one that many rows share, which Parquet stores as a dictionary; a time
is ISO 8601 text in UTC."""

_TYPES: dict[str, ColumnType] = {
    "run_id": "repeated text",
    "pair_id": "text",
    "row": "whole number",
    "content": "repeated text",
    "style": "repeated text",
    "output": "text",
    "status": "repeated text",
    "error_kind": "repeated text",
    "error": "text",
    "attempts": "whole number",
    "total_loss": "real number",
    "content_loss": "real number",
    "style_loss": "real number",
    "tv_loss": "real number",
    "initial_total_loss": "real number",
    "steps": "whole number",
    "evaluations": "whole number",
    "stop_reason": "repeated text",
    "width": "whole number",
    "height": "whole number",
    "seconds": "real number",
    "device": "repeated text",
    "precision": "repeated text",
    "backbone": "repeated text",
    "weights_sha256": "repeated text",
    "recipe": "repeated text",
    "options_digest": "repeated text",
    "seed": "whole number",
    "content_sha256": "repeated text",
    "style_sha256": "repeated text",
    "output_sha256": "text",
    "started_at": "time",
    "finished_at": "time",
    "engine_version": "repeated text",
    "content_distance": "real number",
    "style_distance": "real number",
    "quality": "repeated text",
    "version_ids": "text",
    "steps_asked": "whole number",
    "picture_warnings": "repeated text",
}
"""Every column of the results table with its type, in order; the manifest's extra columns, all plain text, follow."""


def _of_type(wanted: ColumnType) -> tuple[str, ...]:
    return tuple(name for name, column_type in _TYPES.items() if column_type == wanted)


RESULT_COLUMNS = tuple(_TYPES)
WHOLE_NUMBERS = _of_type("whole number")
REAL_NUMBERS = _of_type("real number")
TIMES = _of_type("time")
REPEATED_TEXTS = _of_type("repeated text")
