"""The command on SeaweedFS with unusual keys and spellings of addresses, in a bucket with versioning."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from flows import storage
from tests.faults.seaweedfs import BUCKET, Weed

KEYS = {
    "content": "odd #1/cat?versionId=9 & 100%.png",
    "other": "odd #1/größe+猫 %41\U0001f469\u200d\U0001f52c.png",
    "style": "odd/a+b=c;d@e,f.png",
    "style_2": "odd/#2?x.png",
    "mask": "odd/i::x%20.png",
}
MANIFEST, OUTPUT = f"s3://{BUCKET}/odd/mani fest#1?m%.csv", f"s3://{BUCKET}/odd/out #?%+"


def image(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 20 + seed).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def nst(*arguments: str) -> str:
    command = Path(sys.executable).parent / "nst"
    done = subprocess.run(
        [command, *arguments], env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_unusual_keys_and_spellings_work(weed: Weed, client: Any, tmp_path: Path) -> None:
    """Images, manifest and output may have unusual S3 keys, and addresses may be URLs, ARNs or `S3a://`.

    Records have plain addresses and the versions of the images.
    """
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    versions = {}
    for seed, (name, key) in enumerate(KEYS.items()):
        body, more = image(seed), {}
        if name == "style_2":
            body, more = gzip.compress(body), {"ContentEncoding": "gzip"}
        versions[name] = client.put_object(Bucket=BUCKET, Key=key, Body=body, **more)["VersionId"]
    host = f"https://{BUCKET}.s3.eu-central-1.amazonaws.com"
    address = {name: f"s3://{BUCKET}/{key}" for name, key in KEYS.items()}
    rows = [
        ["id", "content", "style", "style_2", "protect"],
        ["one", address["content"], f"arn:aws:s3:::{BUCKET}/{KEYS['style']}", address["style_2"], address["mask"]],
        ["two", f"{host}/{quote(KEYS['other'])}", f"S3a://{BUCKET}/{KEYS['style']}", "", ""],
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    storage.replace(MANIFEST, text.getvalue().encode())

    nst("run", MANIFEST, "--output", OUTPUT, "--backbone", "stub", "--size-px", "64")
    assert "2 done before" in nst("run", MANIFEST, "--output", OUTPUT, "--backbone", "stub", "--size-px", "64")
    table = {row["pair_id"]: row for row in csv.DictReader(io.StringIO(storage.read(f"{OUTPUT}/results.csv").decode()))}
    records = {
        record["pair_id"]: record
        for name in storage.names(f"{OUTPUT}/_nst/records")
        if (record := json.loads(storage.read(f"{OUTPUT}/_nst/records/{name}")))
    }

    assert [records["one"][name] for name in ("content", "style")] == [address["content"], address["style"]]
    assert [records["two"][name] for name in ("content", "style")] == [address["other"], address["style"]]
    assert table["two"]["content"] == rows[2][1]
    assert json.loads(table["one"]["version_ids"]) == {
        "content": versions["content"],
        "style": versions["style"],
        "style_2": versions["style_2"],
        "protect": versions["mask"],
    }
    listed = nst("pairs", f"s3://{BUCKET}/odd #1/", f"{host}/odd/", "--limit", "100")
    assert {row["content"] for row in csv.DictReader(io.StringIO(listed))} == {address["content"], address["other"]}
