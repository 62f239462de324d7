"""The columns of the results table and their data types."""

from typing import Literal

Status = Literal["succeeded", "failed", "rejected", "pending"]
"""The values of the column `status`."""

RESULT_COLUMNS = (
    *("run_id", "pair_id", "row", "content", "style", "output", "status", "error_kind", "error", "attempts"),
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "steps", "evaluations"),
    *("stop_reason", "width", "height", "seconds", "device", "precision", "backbone", "weights_sha256", "recipe"),
    *("options_digest", "seed", "content_sha256", "style_sha256", "output_sha256", "started_at", "finished_at"),
    *("engine_version", "content_distance", "style_distance", "quality", "version_ids", "steps_asked"),
    "picture_warnings",
)
"""The columns of the results table, in order; the manifest's extra columns follow them. Columns in none of the groups
below are plain text."""

WHOLE_NUMBERS = ("row", "attempts", "steps", "evaluations", "width", "height", "seed", "steps_asked")
"""The columns of integers."""

REAL_NUMBERS = (
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "seconds"),
    *("content_distance", "style_distance"),
)
"""The columns of floating-point numbers."""

TIMES = ("started_at", "finished_at")
"""The columns of times, as ISO 8601 text in UTC."""

REPEATED_TEXTS = (
    *("run_id", "content", "style", "status", "error_kind", "stop_reason", "device", "precision", "backbone"),
    *(
        "weights_sha256",
        "recipe",
        "options_digest",
        "content_sha256",
        "style_sha256",
        "engine_version",
        "quality",
        "picture_warnings",
    ),
)
"""The columns of texts that many rows share; Parquet stores them as dictionaries."""
