"""The columns of the results table, and what is in them."""

from typing import Literal

Status = Literal["succeeded", "failed", "rejected", "pending"]

RESULT_COLUMNS = (
    *("run_id", "pair_id", "row", "content", "style", "output", "status", "error_kind", "error", "attempts"),
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "steps", "evaluations"),
    *("stop_reason", "width", "height", "seconds", "device", "precision", "backbone", "weights_sha256", "recipe"),
    *("options_digest", "seed", "content_sha256", "style_sha256", "output_sha256", "started_at", "finished_at"),
    *("engine_version", "content_distance", "style_distance", "quality", "version_ids", "steps_asked"),
    "picture_warnings",
)
"""The columns of the results table, before the manifest's own extra columns."""

WHOLE_NUMBERS = ("row", "attempts", "steps", "evaluations", "width", "height", "seed", "steps_asked")
REAL_NUMBERS = (
    *("total_loss", "content_loss", "style_loss", "tv_loss", "initial_total_loss", "seconds"),
    *("content_distance", "style_distance"),
)
TIMES = ("started_at", "finished_at")
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
"""Those of them that are no plain text: numbers, times, and texts that many rows share."""
