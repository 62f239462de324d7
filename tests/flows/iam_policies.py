"""Provides a rule for a fault proxy that refuses the S3 requests that a policy of deploy/iam does not allow."""

import fnmatch
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

POLICIES = Path(__file__).parents[2] / "deploy" / "iam"

Rule = Callable[[str, str], tuple[int, str] | None]


def by_policy(name: str, bucket: str, prefix: str, refused: list[str]) -> Rule:
    """Return a rule that answers AccessDenied to requests that a policy does not allow, and adds them to `refused`."""
    text = (POLICIES / f"{name}.json").read_text()
    for data in ("DATA", "PICTURES"):
        text = text.replace(f"{data}_BUCKET", bucket).replace(f"{data}_PREFIX", prefix)
    statements = json.loads(text)["Statement"]

    def rule(method: str, path: str) -> tuple[int, str] | None:
        address = urlsplit(path)
        key = unquote(address.path).removeprefix(f"/{bucket}").strip("/")
        asked = parse_qs(address.query)
        action = _action(method, key)
        wanted = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
        if any(_allows(one, action, wanted, asked.get("prefix", [""])[0]) for one in statements):
            return None
        refused.append(f"{action} {key}")
        return 403, "AccessDenied"

    return rule


def _action(method: str, key: str) -> str:
    if method in ("GET", "HEAD"):
        return "s3:GetObject" if key else "s3:ListBucket"
    return {"PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}[method]


def _allows(statement: dict[str, Any], action: str, resource: str, prefix: str) -> bool:
    listed = {name: [value] if isinstance(value, str) else value for name, value in statement.items()}
    if action not in listed["Action"]:
        return False
    patterns = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
    return any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed["Resource"]) and any(
        fnmatch.fnmatchcase(prefix, pattern) for pattern in patterns
    )
