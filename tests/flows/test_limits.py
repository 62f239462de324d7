"""flows.limits and flows.manifest.refusals: what the limits allow, and how rows outside them are rejected."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import storage
from flows.cli import ExitCode, app
from flows.errors import LimitsError, ManifestError, NotAllowed
from flows.limits import Limits, is_within, limits_in_force
from flows.manifest.load import load_manifest
from flows.manifest.refusals import refusals_of
from flows.output.latest import latest_run
from flows.output.ledger import Ledger
from flows.output.results import table_rows
from flows.records.pairs import Manifest
from flows.run.request import check_places
from flows.settings import RunSettings
from nst_core.options import StylizeOptions
from tests.flows.builders import Painter, run_record
from tests.flows.fault_proxy import FaultProxy

WriteLimits = Callable[[str], None]
CANARY = "the content of a file that no run may read"


@pytest.fixture
def limits_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteLimits:
    """Return a function that writes the limits file, which NST_LIMITS then names."""

    def write(text: str) -> None:
        (tmp_path / "limits.toml").write_text(text)
        monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))

    return write


@pytest.fixture
def team(tmp_path: Path, photo: Painter, style: Painter) -> Path:
    """A team's folder with two images, beside a folder with one that is not theirs."""
    photo("team/cat.png")
    style("team/waves.png")
    photo("other/secret.png")
    return tmp_path / "team"


def loaded(folder: Path, rows: list[str], limits: Limits, header: str = "content,style,id") -> Manifest:
    (folder / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    return load_manifest(str(folder / "pairs.csv"), StylizeOptions(), limits)[1]


def reasons(manifest: Manifest) -> dict[int, str]:
    return {row.row: row.reason() for row in manifest.rejected}


# ---------------------------------------------------------------- the limits file


def test_the_command_line_has_no_limits_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limits file a person at the command line may read and write everywhere."""
    monkeypatch.delenv("NST_LIMITS", raising=False)
    limits = limits_in_force()

    limits.check_readable("/etc/passwd")
    limits.check_readable("s3://any-bucket/key")
    limits.check_writable("/tmp/out")


def test_a_deployment_may_read_and_write_nothing_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a limits file a deployment may read and write nothing, and the message says so."""
    monkeypatch.delenv("NST_LIMITS", raising=False)
    limits = limits_in_force(strict=True)

    for address in ("/etc/passwd", "s3://any-bucket/key"):
        with pytest.raises(NotAllowed, match=f"{address}: nothing may be read here"):
            limits.check_readable(address)
        with pytest.raises(NotAllowed, match=f"{address}: nothing may be written here"):
            limits.check_writable(address)


def test_limits_come_from_the_file(limits_file: WriteLimits) -> None:
    """Every limit comes from the limits file; those that it does not name keep their defaults."""
    limits_file('read = ["s3://pictures/in/"]\nmax_rows = 5\n[max_options]\nsize_px = 512\n')
    limits = limits_in_force(strict=True)

    assert limits.readable == ("s3://pictures/in",)
    assert limits.writable == ()
    assert (limits.max_rows, limits.max_manifest_bytes) == (5, 100_000_000)
    assert limits.max_options == {"size_px": 512}


@pytest.mark.parametrize("name", ["_nst/given/0123456789abcdef.csv", "ladder.csv"])
def test_manifests_that_we_wrote_are_read_from_outputs(team: Path, name: str) -> None:
    """Manifests that we write into outputs may be read even if `read` does not list outputs.

    Other manifests there, and such names elsewhere, may not.
    """
    output = team.parent / "runs" / "out"
    limits = Limits(read=(str(team),), write=(str(team.parent / "runs"),))
    for place in (name, "pairs.csv"):
        storage.replace(str(output / place), f"content,style\n{team}/cat.png,{team}/waves.png\n".encode())

    assert len(load_manifest(str(output / name), StylizeOptions(), limits)[1].pairs) == 1
    with pytest.raises(NotAllowed, match="may be read here"):
        load_manifest(str(output / "pairs.csv"), StylizeOptions(), limits)
    with pytest.raises(NotAllowed, match="may be read here"):
        load_manifest(str(team.parent / "other" / name), StylizeOptions(), limits)


def test_strict_limits_hold_at_the_command_line(limits_file: WriteLimits) -> None:
    """With `strict = true` a person at the command line may read nothing that is not listed either."""
    limits_file("strict = true\n")

    assert limits_in_force().readable == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("read = [", "cannot be read"),
        ('raed = ["/data"]', "raed: there is no such setting; was 'read' meant?"),
        ('read = ["data"]', "read: expected an absolute folder or s3://bucket/prefix, got 'data'"),
        ('read = ["https://example.org"]', "read: expected an absolute folder"),
        ('write = ["s3://bucket/../out"]', "write: an S3 key takes no '.' or '..' between slashes"),
        ('read = ["s3://pictures/in//"]', "read: expected at most one '/' at the end of an S3 prefix"),
        ("max_rows = 0", "max_rows: expected a number greater than or equal to 1, got 0"),
        ("[max_options]\nsise_px = 5", "expected the name of a numeric option of a pair, got 'sise_px'"),
        ('[max_options]\nsize_px = "large"', "max_options: expected a number, got 'large'"),
    ],
)
def test_a_limits_file_with_a_mistake_is_refused(limits_file: WriteLimits, text: str, message: str) -> None:
    """A mistake in the limits file is an error that names it, so that a typing error opens nothing."""
    limits_file(text)

    with pytest.raises(LimitsError) as caught:
        limits_in_force()
    assert "limits.toml, named by NST_LIMITS" in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_limits_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If NST_LIMITS names a file that does not exist, the error names that file."""
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "none.toml"))

    with pytest.raises(LimitsError, match=r"none\.toml"):
        limits_in_force()


def test_a_limits_file_in_another_encoding_is_refused(limits_file: WriteLimits, tmp_path: Path) -> None:
    """A limits file that is not UTF-8, such as Latin-1, is refused as any other mistake is."""
    limits_file("")
    (tmp_path / "limits.toml").write_bytes('read = ["/data/bücher"]\n'.encode("latin-1"))

    with pytest.raises(LimitsError, match=r"limits\.toml, named by NST_LIMITS, cannot be read: .*utf-8"):
        limits_in_force()


@pytest.mark.timeout(20)
def test_a_pipe_as_the_limits_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipe given as the limits file is refused at once, instead of waiting for a writer."""
    os.mkfifo(tmp_path / "limits.toml")
    monkeypatch.setenv("NST_LIMITS", str(tmp_path / "limits.toml"))

    with pytest.raises(LimitsError, match=r"limits\.toml, named by NST_LIMITS, cannot be read: .*found a pipe"):
        limits_in_force()


# ---------------------------------------------------------------- places


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://pictures/in", True),
        ("s3://pictures/in/a/b.png", True),
        ("s3://pictures/in-other/b.png", False),
        ("s3://pictures/b.png", False),
        ("s3://pictures-2/in/b.png", False),
        ("s3://whole/any/where.png", True),
        ("/s3:/pictures/in/b.png", False),
    ],
)
def test_s3_prefixes_are_whole_folders(address: str, expected: bool) -> None:
    """An S3 prefix allows what is below it, not keys that only begin with the same letters."""
    assert is_within(address, ("s3://pictures/in", "s3://whole")) is expected


def test_local_places_are_compared_by_real_path(tmp_path: Path) -> None:
    """Neither `..` nor a link leads out of an allowed folder; a link to an allowed folder leads in."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.png").write_text(CANARY)
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "folder").symlink_to(outside)
    (tmp_path / "way-in").symlink_to(inside)
    places = Limits(read=(str(tmp_path / "way-in"),)).readable
    assert places is not None

    within = {name: is_within(str(tmp_path / name), places) for name in ("inside/a.png", "way-in/a.png")}
    without = ["inside/../outside/a.png", "inside/link.png", "inside/folder/a.png", "inside-2/a.png", "outside/a.png"]
    assert within == {"inside/a.png": True, "way-in/a.png": True}
    assert [name for name in without if is_within(str(tmp_path / name), places)] == []


def test_a_manifest_outside_the_limits_is_not_read(team: Path) -> None:
    """A manifest in a place that may not be read is refused."""
    with pytest.raises(NotAllowed, match="only what lies in s3://pictures may be read here"):
        loaded(team, ["cat.png,waves.png,a"], Limits(read=("s3://pictures",)))


def test_output_and_weights_are_within_the_limits(tmp_path: Path) -> None:
    """An output must be where writing is allowed, a weights file where reading is allowed."""
    limits = Limits(read=(str(tmp_path / "in"),), write=(str(tmp_path / "out"),))

    check_places(str(tmp_path / "out" / "a"), RunSettings(), limits)
    with pytest.raises(NotAllowed, match="may be written here"):
        check_places(str(tmp_path / "in"), RunSettings(), limits)
    with pytest.raises(NotAllowed, match="may be read here"):
        check_places(str(tmp_path / "out"), RunSettings(weights="/etc/vgg.pth"), limits)


# ---------------------------------------------------------------- rows


def test_only_rows_outside_the_limits_are_rejected(team: Path) -> None:
    """Each rejected row names its column and what is allowed; the other rows are accepted."""
    (team / "link.png").symlink_to(team.parent / "other" / "secret.png")
    limits = Limits(read=(str(team), "s3://pictures/in"))
    rows = [
        "cat.png,waves.png,good",
        "../other/secret.png,waves.png,parent",
        "cat.png,/etc/passwd,absolute",
        "link.png,waves.png,link",
        "s3://pictures/in/a.png,waves.png,s3-good",
        "s3://pictures/out/a.png,s3://pictures-2/in/b.png,s3-bad",
    ]
    manifest = loaded(team, rows, limits)

    allowed = f"only what lies in {team}, s3://pictures/in may be read here"
    assert [pair.pair_id for pair in manifest.pairs] == ["good", "s3-good"]
    assert reasons(manifest) == {
        3: f"column 'content': {allowed}",
        4: f"column 'style': {allowed}",
        5: f"column 'content': {allowed}",
        7: f"column 'content': {allowed}; column 'style': {allowed}",
    }


def test_a_link_is_resolved_when_it_is_checked(team: Path) -> None:
    """A row's address is the file that its link named when it was checked, so that changing the link has no effect."""
    (team / "link.png").symlink_to(team / "cat.png")
    manifest = loaded(team, ["link.png,waves.png,a"], Limits(read=(str(team),)))

    (pair,) = manifest.pairs
    assert pair.content == os.path.realpath(team / "cat.png")
    assert pair.content_cell == "link.png"


ATTACKS = (
    *("file:///etc/passwd", "local:///etc/passwd", "~root/.bashrc", "~/.ssh/id_rsa", "../other/secret.png"),
    *("../../../../../../etc/passwd", "simplecache::file:///etc/passwd", "filecache::/etc/passwd"),
    *("zip://a.png::file:///tmp/a.zip", "dir://x::file:///", "reference://::x", "data:text/plain;base64;eA=="),
    *("http://127.0.0.1:9/a.png", "https://169.254.169.254/latest", "ftp://host/a.png", "gs://bucket/a.png"),
    *("s3://arn:aws:s3:eu-west-1:1:accesspoint/x/a.png", "s3://user:password@bucket/a.png", "s3://pictures/../b/a.png"),
    *("s3://pictures//in/a.png", "s3://pictures/in?versionId=1/a.png", "s3://pictures/in#/a.png", "s3://other/a.png"),
    *("s3://pictures/in/../b/a.png", "S3://other/a.png", "arn:aws:s3:::other/in/a.png", "s3://"),
    *("https://other.s3.amazonaws.com/in/a.png", "https://pictures.s3.amazonaws.com/in/%2e%2e/b/a.png"),
    *("https://s3.amazonaws.com/pictures/in%2F..%2Fb/a.png", "https://pictures.s3.amazonaws.com.other.org/in/a.png"),
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/pictures/in/a.png",
    *("memory://a.png", "/etc/passwd", "/proc/self/environ", "link/secret.png", "cat.png/../../other/secret.png"),
)


@pytest.mark.parametrize("column", ["content", "style"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_known_attack_leads_out_of_the_limits(team: Path, attack: str, column: str) -> None:
    """Every known way out of the allowed folders is a rejected row, with a reason that names its column."""
    (team / "link").symlink_to(team.parent / "other")
    cells = {"content": "cat.png", "style": "waves.png"} | {column: attack}
    manifest = loaded(team, [f"{cells['content']},{cells['style']},a"], Limits(read=(str(team), "s3://pictures/in")))

    assert manifest.pairs == ()
    assert f"column {column!r}: " in reasons(manifest)[2]


def test_rows_ask_s3_only_about_allowed_objects(
    team: Path, s3_bucket: str, s3_proxy: FaultProxy, photo: Painter
) -> None:
    """No request is sent about S3 objects that may not be read, not even HEAD."""
    storage.create(f"{s3_bucket}/in/a.png", Path(photo("a.png")).read_bytes())
    s3_proxy.requests.clear()
    limits = Limits(read=(str(team), f"{s3_bucket}/in"), max_image_bytes=1_000_000)
    manifest = loaded(team, ["s3://no-such/a.png,waves.png,a", f"{s3_bucket}/out/a.png,waves.png,b"], limits)

    assert len(manifest.rejected) == 2
    assert s3_proxy.requests.total() == 0


@pytest.mark.parametrize("place", ["local", "s3"])
def test_images_over_the_byte_limit_are_rejected(request: pytest.FixtureRequest, team: Path, place: str) -> None:
    """An image of more bytes than allowed is rejected because of its size; one of exactly that size is accepted."""
    folder = str(team) if place == "local" else str(request.getfixturevalue("s3_bucket"))
    storage.replace(storage.join(folder, "fits.png"), b"x" * 1000)
    storage.replace(storage.join(folder, "large.png"), b"x" * 1001)
    rows = [f"{folder}/fits.png,{folder}/fits.png,a", f"{folder}/large.png,{folder}/missing.png,b"]
    manifest = loaded(team, rows, Limits(max_image_bytes=1000))

    assert [pair.pair_id for pair in manifest.pairs] == ["a"]
    assert reasons(manifest) == {3: "column 'content': expected an image of at most 1,000 bytes here, found 1,001"}


def test_options_over_their_bounds_are_rejected(team: Path) -> None:
    """The bounds hold for a pair's final options, whether its row, the run or the recipe sets them."""
    limits = Limits(max_options={"size_px": 512, "steps": 1000, "max_seconds": 60})
    rows = [
        "cat.png,waves.png,fine,512,,60,",
        "cat.png,waves.png,wide,513,,60,",
        "cat.png,waves.png,recipe,64,,60,notebook",
        "cat.png,waves.png,endless,64,,,",
    ]
    manifest = loaded(team, rows, limits, "content,style,id,size_px,steps,max_seconds,recipe")

    assert [pair.pair_id for pair in manifest.pairs] == ["fine"]
    assert reasons(manifest) == {
        3: "column 'size_px': expected at most 512 here, got 513",
        4: "column 'steps': expected at most 1000 here, got 2000",
        5: "column 'max_seconds': expected at most 60 here, got no bound; set it",
    }


def test_the_bound_on_steps_ignores_savings_for_large_images(team: Path) -> None:
    """A large image counts with all steps of the recipe: it may be smaller than requested, and then takes them."""
    rows = ["cat.png,waves.png,large,4096"]
    manifest = loaded(team, rows, Limits(max_options={"steps": 100}), "content,style,id,size_px")

    assert reasons(manifest) == {2: "column 'steps': expected at most 100 here, got 300"}


def test_a_manifest_over_the_row_or_byte_limit_is_refused(team: Path) -> None:
    """A manifest of more rows or bytes than allowed is refused as a whole, with the limit."""
    rows = ["cat.png,waves.png,a", "cat.png,waves.png,b", "cat.png,waves.png,c"]

    with pytest.raises(ManifestError, match="line 4: expected 2 rows at most"):
        loaded(team, rows, Limits(max_rows=2))
    with pytest.raises(ManifestError, match="expected at most 40 bytes"):
        loaded(team, rows, Limits(max_manifest_bytes=40))


def test_the_table_keeps_the_limits_of_its_run(team: Path, tmp_path: Path) -> None:
    """A row that the limits rejected stays rejected in the table of that run, also when the limits are wider later."""
    strict = loaded(team, ["cat.png,waves.png,a", "/etc/passwd,waves.png,b"], Limits(read=(str(team),)))
    ledger = Ledger(str(tmp_path / "out"))
    record = run_record({"a": "f" * 20}, manifest_uri=strict.uri, refused=refusals_of(strict))
    ledger.start_run(record, (team / "pairs.csv").read_bytes())

    latest = latest_run(str(tmp_path / "out"))
    rows = table_rows(latest.manifest, latest.record, ledger)
    told = [(row["row"], row["status"], row["error_kind"], row["pair_id"], row["content"]) for row in rows]
    assert told == [(2, "pending", None, "a", "cat.png"), (3, "rejected", "not_allowed", "b", "/etc/passwd")]
    assert f"only what lies in {team} may be read here" in rows[1]["error"]


def test_validate_keeps_to_the_limits(team: Path, limits_file: WriteLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nst validate` names the rejected row and what is allowed, and ends with exit code 3 as for any bad row."""
    monkeypatch.chdir(team)
    limits_file(f'read = ["{team}"]\n')
    (team / "pairs.csv").write_text("content,style,id\ncat.png,waves.png,a\n/etc/passwd,waves.png,b\n")
    result = CliRunner().invoke(app, ["validate", "pairs.csv", "--json"])

    assert result.exit_code == ExitCode.SOME_FAILED
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem == {"row": 3, "reason": f"column 'content': only what lies in {team} may be read here"}


def test_a_mistake_in_the_limits_makes_the_command_unusable(
    team: Path, limits_file: WriteLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limits file with a mistake ends the command with exit code 2."""
    monkeypatch.chdir(team)
    limits_file("nonsense = 1\n")
    result = CliRunner().invoke(app, ["validate", "pairs.csv"])

    assert result.exit_code == ExitCode.UNUSABLE
    assert "named by NST_LIMITS" in result.stderr


def test_a_deployment_uses_only_listed_clusters() -> None:
    """A deployment uses only listed Ray clusters; a person uses any; a local cluster is always allowed."""
    listed = Limits(strict=True, ray=("ray://head:10001",))
    listed.check_cluster("ray://head:10001")
    for limits in (listed, Limits(strict=True), Limits()):
        limits.check_cluster(None)
    Limits().check_cluster("ray://anywhere:10001")

    with pytest.raises(NotAllowed, match=r"only ray://head:10001 may be used here"):
        listed.check_cluster("ray://other:10001")
    with pytest.raises(NotAllowed, match="no Ray cluster may be used here"):
        Limits(strict=True).check_cluster("auto")


def test_places_on_s3_may_be_written_in_every_spelling(limits_file: WriteLimits) -> None:
    """The limits accept every spelling of an S3 place; a key that only looks similar is outside."""
    limits_file('read = ["S3://studio/in/", "arn:aws:s3:::other", "https://third.s3.eu-west-1.amazonaws.com/a%23/"]')
    readable = limits_in_force().readable

    assert readable == ("s3://studio/in", "s3://other", "s3://third/a#")
    for address, allowed in (
        ("s3://studio/in/a?b.png", True),
        ("s3://studio/in//a.png", True),
        ("s3://studio//in/a.png", False),
        ("s3://studio/in?/a.png", False),
        ("s3://studio/in#a.png", False),
        ("s3://third/a#/b", True),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/studio/in/a.png", False),
    ):
        assert is_within(address, readable) is allowed, address
