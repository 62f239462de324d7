"""flows.run.plan: the fingerprints of pairs, which pairs are left to do, and their batches."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import storage
from flows.errors import Forbidden, ManifestError
from flows.output.ledger import LedgerIndex, key_of
from flows.records.pairs import Manifest, PairSpec
from flows.records.plans import PlannedPair, RunPlan
from flows.run import plan
from flows.run.plan import (
    MISSING,
    Earlier,
    Share,
    fingerprint_of,
    fingerprinted,
    identities_of,
    in_batches,
    pairs_to_retry,
    plan_run,
)
from flows.settings import Selection
from tests.flows.builders import Painter, pair_spec, run_record
from tests.flows.fault_proxy import FaultProxy

WEIGHTS = "ab" * 32
NOTHING_DONE = LedgerIndex()
ONE_DEVICE = Share(devices=1, pairs_per_task=16)


def manifest_of(specs: Iterable[PairSpec]) -> Manifest:
    return Manifest("/in/pairs.csv", "00" * 32, (), tuple(specs), ())


def plan_of(
    specs: Iterable[PairSpec],
    index: LedgerIndex = NOTHING_DONE,
    selection: Selection | None = None,
    failed_before: Iterable[str] = (),
    failed_for_good: Iterable[PlannedPair] = (),
    share: Share = ONE_DEVICE,
) -> RunPlan:
    """Return the plan of these pairs.

    `failed_before` has the ids of pairs of the retried run that have a failed attempt and no record.
    """
    specs = list(specs)
    is_retry = selection is not None and selection.only_failed
    retried = run_record({spec.pair_id: f"of {spec.pair_id}" for spec in specs}) if is_retry else None
    attempts = index.attempts | {(pair_id, f"of {pair_id}"): 1 for pair_id in failed_before}
    index = dataclasses.replace(index, attempts=attempts)
    earlier = Earlier(index, retried, lambda keys: frozenset(keys) & frozenset(map(key_of, failed_for_good)))
    return plan_run(manifest_of(specs), WEIGHTS, selection or Selection(), earlier, share)


def fingerprint(spec: PairSpec, weights: str = WEIGHTS) -> str:
    (pair,) = fingerprinted([spec], NOTHING_DONE, weights)
    return pair.fingerprint


def ids(pairs: Iterable[PlannedPair]) -> list[str]:
    return [pair.spec.pair_id for pair in pairs]


# ---------------------------------------------------------------- fingerprints


@pytest.fixture
def files(photo: Painter, style: Painter) -> dict[str, str]:
    """A content and a style image, as arguments of `pair_spec`."""
    return {"content": photo("cat.png"), "style": style("waves.png")}


def test_a_fingerprint_is_20_hex_digits(files: dict[str, str]) -> None:
    """The fingerprint, which is a part of file names, has 20 hex digits and is the same each time."""
    first, second = fingerprint(pair_spec(**files)), fingerprint(pair_spec(**files))

    assert first == second
    assert len(first) == 20
    assert set(first) <= set("0123456789abcdef")


@pytest.mark.parametrize("which", ["content", "style"])
def test_a_fingerprint_changes_with_either_image(files: dict[str, str], which: str) -> None:
    """A changed byte in the content or the style image changes the result, and so the fingerprint."""
    before = fingerprint(pair_spec(**files))
    with open(files[which], "ab") as file:
        file.write(b"x")

    assert fingerprint(pair_spec(**files)) != before


def test_swapping_content_and_style_changes_the_fingerprint(files: dict[str, str]) -> None:
    """The same two images with swapped roles are another pair."""
    swapped = {"content": files["style"], "style": files["content"]}

    assert fingerprint(pair_spec(**files)) != fingerprint(pair_spec(**swapped))


def test_a_fingerprint_changes_with_every_option(files: dict[str, str]) -> None:
    """Changing any option changes the fingerprint, so that the pair is done again."""
    changes: dict[str, Any] = {
        "recipe": "gatys",
        "style_blend": (1.0, 2.0),
        "colors": "match",
        "strength": 0.7,
        "quality": "draft",
        "size_px": 64,
        "enlarge": True,
        "style_scale": 0.5,
        "content_weight": 2.0,
        "style_weight": 31.0,
        "tv_weight": 1.0,
        "content_layers": ("relu4_1",),
        "style_layers": ("relu1_1", "relu2_1"),
        "style_layer_weights": (1.0, 2.0, 3.0, 4.0, 5.0),
        "pooling": "average",
        "init": "noise",
        "seed": 1,
        "levels": 3,
        "optimizer": "adam",
        "learning_rate": 0.1,
        "steps": 7,
        "loss_threshold": 0.5,
        "plateau_tolerance": 0.5,
        "plateau_window": 5,
        "max_seconds": 60.0,
        "output_format": "jpeg",
        "jpeg_quality": 50,
        "bit_depth": 16,
        "output_profile": "content",
        "dpi": 300,
        "alpha": "keep",
    }
    made = {}
    for name, value in changes.items():
        # L-BFGS takes no learning rate, so that one is changed under Adam.
        base = {"optimizer": "adam"} if name == "learning_rate" else {}
        made[name] = fingerprint(pair_spec(**files, options=base | {name: value}))
    made["nothing"] = fingerprint(pair_spec(**files))

    assert set(changes) == set(pair_spec().options.model_fields_set)
    assert len(set(made.values())) == len(changes) + 1


def test_writing_out_a_default_does_not_change_the_fingerprint(files: dict[str, str]) -> None:
    """Stating an option with its default, or with the recipe's own value, does not change the fingerprint."""
    written = {"size_px": 512, "style_weight": 30.0, "optimizer": "lbfgs", "steps": 300}

    assert fingerprint(pair_spec(**files, options=written)) == fingerprint(pair_spec(**files))


def test_a_fingerprint_changes_with_weights_and_engine(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights, or another version of the engine, change the result, and so the fingerprint."""
    spec = pair_spec(**files)
    made = {fingerprint(spec), fingerprint(spec, "cd" * 32)}
    monkeypatch.setattr(plan, "__version__", "99.0")
    made.add(fingerprint(spec))

    assert len(made) == 3


def test_the_fingerprint_of_given_facts_is_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fingerprint that is made in another way would have all pairs of all existing outputs done again."""
    monkeypatch.setattr(plan, "__version__", "1.0")
    identities = {"content": "sha256:aa", "style": "etag:bb:5"}
    options, weights = "0123456789abcdef", "cd" * 32

    assert fingerprint_of(identities, options, weights) == "48a23d8103778fd33326"
    assert fingerprint_of(identities | {"protect": "sha256:ee"}, options, weights) == "7a5f1987854677501e6c"


def test_nothing_else_changes_the_fingerprint(files: dict[str, str], tmp_path: Path) -> None:
    """Row, id, extra columns, the spelling of cells, and a file's name and time do not influence the fingerprint."""
    before = fingerprint(pair_spec(**files))
    moved = shutil.copy(files["content"], tmp_path / "renamed.jpg")
    os.utime(moved, (1, 1))
    other = pair_spec(
        77,
        str(moved),
        files["style"],
        pair_id="another",
        extra={"artist": "Hokusai"},
        content_cell="../renamed.jpg",
        style_cell="waves.png",
    )

    assert fingerprint(other) == before


def test_a_planned_pair_has_the_identities_of_its_inputs(files: dict[str, str]) -> None:
    """The identities in the fingerprint are part of the planned pair, so that a later change of a file is noticed."""
    (pair,) = fingerprinted([pair_spec(**files)], NOTHING_DONE, WEIGHTS)

    for identity, path in ((pair.content_identity, files["content"]), (pair.style_identity, files["style"])):
        assert identity == f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"


def test_a_pair_with_a_missing_image_is_planned(files: dict[str, str]) -> None:
    """A pair with a missing image is left to do, so that the worker reports its failure; other pairs are unaffected."""
    specs = [pair_spec(2, **files), pair_spec(3, "/no/such/cat.png", files["style"])]
    planned = plan_of(specs)

    assert ids(planned.todo) == ["pair-2", "pair-3"]
    assert planned.todo[1].content_identity == "missing"
    assert planned.todo[1].style_identity == planned.todo[0].style_identity


@pytest.mark.parametrize("odd", [".", "waves.png/cat.png", "x" * 300], ids=["folder", "below a file", "too long"])
def test_an_unusable_address_does_not_stop_the_plan(files: dict[str, str], tmp_path: Path, odd: str) -> None:
    """A cell that names a folder, something below a file, or a name of 300 characters affects only its own row."""
    planned = plan_of([pair_spec(2, str(tmp_path / odd), files["style"]), pair_spec(3, **files)])

    assert ids(planned.todo) == ["pair-2", "pair-3"]


def test_an_image_that_appears_later_changes_the_fingerprint(files: dict[str, str], tmp_path: Path) -> None:
    """A pair that failed because an image was missing starts anew once the image exists."""
    spec = pair_spec(content=str(tmp_path / "late.png"), style=files["style"])
    before = fingerprint(spec)
    shutil.copy(files["content"], spec.content)

    assert fingerprint(spec) != before


def test_every_file_is_requested_once(s3_bucket: str, s3_proxy: FaultProxy) -> None:
    """Planning 40 pairs of six S3 objects sends one HEAD request per object."""
    contents = [f"{s3_bucket}/{number}.png" for number in range(5)]
    for address in (*contents, f"{s3_bucket}/waves.png"):
        storage.create(address, address.encode())
    s3_proxy.requests.clear()
    specs = [pair_spec(row, contents[row % 5], f"{s3_bucket}/waves.png") for row in range(2, 42)]
    planned = plan_of(specs)

    assert len(planned.todo) == 40
    assert s3_proxy.requests == {"HEAD": 6}


def test_planning_fails_only_if_no_file_is_accessible(
    s3_bucket: str, s3_proxy: FaultProxy, files: dict[str, str], tmp_path: Path
) -> None:
    """If access to all inputs is refused, the error is raised; if some are accessible, the others count as missing.

    A folder as the only input counts as missing too.
    """
    closed = [f"{s3_bucket}/cat.png", f"{s3_bucket}/waves.png"]
    s3_proxy.rule = lambda _method, _path: (403, "AccessDenied")

    with pytest.raises(Forbidden):
        identities_of(closed)
    beside = identities_of([*closed, files["style"]])
    assert [beside[address] for address in closed] == [MISSING, MISSING]
    assert beside[files["style"]] == storage.identity(files["style"])
    assert identities_of([str(tmp_path)]) == {str(tmp_path): MISSING}


# ---------------------------------------------------------------- done, left, not selected


def three_pairs() -> list[PairSpec]:
    return [pair_spec(row, f"/none/{row}.png", pair_id=pair_id) for row, pair_id in ((2, "a"), (3, "b"), (4, "c"))]


def test_a_pair_with_a_record_is_done() -> None:
    """A pair with a record of its fingerprint is done; the others are left to do, in the order of the manifest."""
    specs = three_pairs()
    done = key_of(fingerprinted(specs, NOTHING_DONE, WEIGHTS)[1])
    planned = plan_of(specs, LedgerIndex(frozenset({done, ("c", "f" * 20), ("x", done[1])})))

    assert (ids(planned.done), ids(planned.todo), ids(planned.unselected)) == (["b"], ["a", "c"], [])


@pytest.mark.parametrize("kind", ["done", "without its image", "failed"])
def test_ids_that_differ_in_case_have_different_file_names(kind: str) -> None:
    """Pairs `Cat` and `cat` get different fingerprints, so that their files stay apart where file names ignore case.

    Once both have records, each keeps its own.
    """
    earlier, spec = pair_spec(pair_id="Cat"), pair_spec(pair_id="cat")
    key = (earlier.pair_id, fingerprint(earlier))
    index = {
        "done": LedgerIndex(done=frozenset({key})),
        "without its image": LedgerIndex(imageless=frozenset({key})),
        "failed": LedgerIndex(attempts={key: 1}),
    }[kind]

    (pair,) = plan_of([spec], index).todo
    assert (pair.fingerprint != key[1], pair.attempt) == (True, 1)

    both = dataclasses.replace(index, done=index.done | {key_of(pair)})
    assert ids(plan_of([spec], both).done) == ["cat"]
    if kind == "done":
        assert list(map(key_of, plan_of([earlier], both).done)) == [key]


def test_ids_that_differ_in_case_with_one_fingerprint_stay_done() -> None:
    """Outputs of earlier versions may have records of `Cat` and `cat` with one fingerprint; both pairs stay done."""
    specs = [pair_spec(pair_id=pair_id) for pair_id in ("Cat", "cat")]
    index = LedgerIndex(done=frozenset((spec.pair_id, fingerprint(spec)) for spec in specs))

    assert [ids(plan_of([spec], index).done) for spec in specs] == [["Cat"], ["cat"]]


def test_an_attempt_is_numbered_after_the_last_one() -> None:
    """A pair that failed twice with its fingerprint makes its third attempt; attempts with other fingerprints do not
    count.
    """
    specs = three_pairs()
    keys = [key_of(pair) for pair in fingerprinted(specs, NOTHING_DONE, WEIGHTS)]
    planned = plan_of(specs, LedgerIndex(frozenset(), {keys[0]: 2, ("b", "f" * 20): 5}))

    assert [pair.attempt for pair in planned.todo] == [3, 1, 1]


def test_a_retry_with_other_options_keeps_counting_attempts() -> None:
    """Other options change the fingerprint, but attempts with the fingerprint of the retried run still count."""
    spec = pair_spec()
    index = LedgerIndex(attempts={(spec.pair_id, "an earlier one"): 2})
    (alone,) = fingerprinted([spec], index, WEIGHTS)
    (counted,) = fingerprinted([spec], index, WEIGHTS, {spec.pair_id: "an earlier one"})

    assert (alone.attempt, counted.attempt) == (1, 3)


@pytest.mark.parametrize(
    ("index", "failed"),
    [
        (LedgerIndex(), False),
        (LedgerIndex(attempts={("a", "f" * 20): 1}), True),
        (LedgerIndex(attempts={("a", "0" * 20): 1}), False),
        (LedgerIndex(frozenset({("a", "f" * 20)}), {("a", "f" * 20): 1}), False),
        (LedgerIndex(imageless=frozenset({("a", "f" * 20)}), attempts={("a", "f" * 20): 1}), False),
    ],
    ids=["never tried", "failed", "with other options", "done since", "done, without its image"],
)
def test_a_retry_takes_pairs_with_an_attempt_and_no_record(index: LedgerIndex, failed: bool) -> None:
    """A pair is retried if it has an attempt with the run's fingerprint and no record, with or without an image."""
    assert pairs_to_retry(run_record({"a": "f" * 20}), index) == ({"a"} if failed else frozenset())


def test_a_retry_takes_pairs_that_an_interrupted_retry_left_undone() -> None:
    """A pair that the latest run set out to retry is retried again, although it has not failed as it is now."""
    run = run_record(dict.fromkeys("abcd", "f" * 20), retrying=dict.fromkeys("abc", "0" * 20))
    index = LedgerIndex(frozenset({("a", "f" * 20)}), imageless=frozenset({("b", "f" * 20)}))

    assert pairs_to_retry(run, index) == {"c"}


@pytest.mark.parametrize(("most", "todo"), [(1, 2), (2, 2), (3, 3), (None, 3)])
def test_max_attempts_skips_pairs_that_failed_too_often(most: int | None, todo: int) -> None:
    """With `max_attempts`, a pair that failed that many times is skipped; the others are done."""
    specs = three_pairs()
    index = LedgerIndex(attempts={(specs[1].pair_id, fingerprint(specs[1])): 2})

    assert len(plan_of(specs, index, Selection(max_attempts=most)).todo) == todo


def test_a_failed_pair_is_left_to_do() -> None:
    """A pair without a record is left to do, however often it failed."""
    specs = three_pairs()
    keys = [key_of(pair) for pair in fingerprinted(specs, NOTHING_DONE, WEIGHTS)]

    assert ids(plan_of(specs, LedgerIndex(frozenset(), dict.fromkeys(keys, 9))).todo) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("selection", "todo"),
    [
        (Selection(), ["a", "c"]),
        (Selection(limit=2), ["a", "c"]),
        (Selection(only=("b",)), ["b"]),
        (Selection(only_failed=True), ["b"]),
    ],
)
def test_a_pair_that_failed_for_good_is_skipped(selection: Selection, todo: list[str]) -> None:
    """A pair that failed for good is skipped unless its id is named with `only`, or failed pairs are requested."""
    specs = three_pairs()
    failed_for_good = [pair for pair in fingerprinted(specs, NOTHING_DONE, WEIGHTS) if pair.spec.pair_id == "b"]

    assert ids(plan_of(specs, selection=selection, failed_before=["b"], failed_for_good=failed_for_good).todo) == todo


@pytest.mark.parametrize(
    ("selection", "failed_before", "todo", "unselected"),
    [
        (Selection(), ["b"], ["a", "b", "c"], []),
        (Selection(only=("c", "a")), [], ["a", "c"], ["b"]),
        (Selection(only=("b", "b")), [], ["b"], ["a", "c"]),
        (Selection(limit=2), [], ["a", "b"], ["c"]),
        (Selection(limit=99), [], ["a", "b", "c"], []),
        (Selection(only=("b", "c"), limit=1), [], ["b"], ["a", "c"]),
        (Selection(only_failed=True), ["b", "not in this manifest"], ["b"], ["a", "c"]),
        (Selection(only_failed=True), [], [], ["a", "b", "c"]),
        (Selection(only_failed=True, only=("a",)), ["b"], [], ["a", "b", "c"]),
        (Selection(only_failed=True, limit=1), ["b", "c"], ["b"], ["a", "c"]),
    ],
)
def test_a_selection_limits_the_pairs_to_do(
    selection: Selection, failed_before: list[str], todo: list[str], unselected: list[str]
) -> None:
    """Ids, a limit and `only_failed` narrow the pairs to do, also together, and keep the manifest's order."""
    planned = plan_of(three_pairs(), selection=selection, failed_before=failed_before)

    assert (ids(planned.todo), ids(planned.unselected), planned.done) == (todo, unselected, ())


def test_the_limit_does_not_count_pairs_that_are_done() -> None:
    """The same command with a limit continues where it stopped: pairs that are done do not use up the limit."""
    specs = three_pairs()
    first = key_of(fingerprinted(specs, NOTHING_DONE, WEIGHTS)[0])
    planned = plan_of(specs, LedgerIndex(frozenset({first})), Selection(limit=1))

    assert (ids(planned.done), ids(planned.todo), ids(planned.unselected)) == (["a"], ["b"], ["c"])


def test_an_unknown_id_is_an_error_that_names_it() -> None:
    """An id in `only` that no valid row has is an error before anything is done."""
    with pytest.raises(ManifestError, match=r"pairs.csv: no valid row has the id 'A'"):
        plan_of(three_pairs(), selection=Selection(only=("b", "A")))


# ---------------------------------------------------------------- batches


def planned_pairs(*kinds: tuple[str, dict[str, Any]]) -> list[PlannedPair]:
    """Return pairs with these styles and options, from row 2 on."""
    specs = [pair_spec(row, style=style, options=options) for row, (style, options) in enumerate(kinds, start=2)]
    return [PlannedPair(spec, "x", "y", f"{spec.row:020}") for spec in specs]


def rows(batches: Iterable[Any]) -> list[list[int]]:
    return [[pair.spec.row for pair in batch.pairs] for batch in batches]


def test_a_batch_has_one_style_and_one_set_of_options() -> None:
    """Pairs are grouped by style and options, each group in the manifest's order; only the seed may differ."""
    pairs = planned_pairs(
        ("/s/waves.png", {}),
        ("/s/ink.png", {}),
        ("/s/waves.png", {"seed": 5}),
        ("/s/waves.png", {"size_px": 64}),
        ("/s/ink.png", {}),
        ("/s/waves.png", {}),
        ("/s/waves.png", {"steps": 300}),
        ("/other/waves.png", {}),
    )

    assert rows(in_batches(pairs, 16, 1)) == [[2, 4, 7, 8], [3, 6], [5], [9]]


@pytest.mark.parametrize(
    ("pairs", "pairs_per_task", "devices", "sizes"),
    [
        (10, 4, 1, [4, 4, 2]),
        (10, 16, 1, [10]),
        (10, 16, 2, [5, 5]),
        (10, 16, 3, [4, 4, 2]),
        (10, 3, 2, [3, 3, 3, 1]),
        (10, 16, 99, [1] * 10),
        (1, 16, 4, [1]),
        (10, 1, 1, [1] * 10),
        (600, 256, 1, [256, 256, 88]),
        (100, 256, 2, [50, 50]),
        (600, 256, 2, [75] * 8),
        (1000, 256, 8, [64] * 15 + [40]),
    ],
)
def test_batches_are_sized_so_that_every_device_has_work(
    pairs: int, pairs_per_task: int, devices: int, sizes: list[int]
) -> None:
    """A batch has at most `pairs_per_task` pairs and at most a device's share.

    With many pairs, each of several devices gets several batches.
    """
    batches = in_batches(planned_pairs(*[("/s/waves.png", {})] * pairs), pairs_per_task, devices)

    assert [len(batch.pairs) for batch in batches] == sizes
    assert [row for batch in rows(batches) for row in batch] == list(range(2, 2 + pairs))


def test_no_pairs_make_no_batches() -> None:
    """With no pairs left to do, there are no batches."""
    assert in_batches([], 16, 4) == ()


def test_the_name_of_a_batch_says_style_size_and_rows() -> None:
    """The name of a batch tells its style, its size, and its pairs by number and first row."""
    pairs = planned_pairs(
        ("/s/great waves.png", {"size_px": 64}), ("/s/great waves.png", {"size_px": 64}), ("s3://b/ink", {})
    )

    assert [batch.name for batch in in_batches(pairs, 16, 1)] == [
        "great waves at 64 px: 2 pairs from row 2",
        "ink at 512 px: row 4",
    ]


# ---------------------------------------------------------------- any manifest


KIND = st.tuples(
    st.sampled_from(["/s/waves.png", "/s/ink.png", "s3"]), st.sampled_from([64, 128]), st.integers(0, 3), st.booleans()
)


@settings(max_examples=60)
@given(
    kinds=st.lists(KIND, max_size=12),
    limit=st.none() | st.integers(1, 5),
    only_failed=st.booleans(),
    failed=st.sets(st.integers(2, 14)),
    wanted=st.sets(st.integers(2, 14), max_size=4),
    pairs_per_task=st.integers(1, 5),
    devices=st.integers(1, 3),
)
def test_no_pair_is_lost_or_done_twice(
    kinds: list[tuple[str, int, int, bool]],
    limit: int | None,
    only_failed: bool,
    failed: set[int],
    wanted: set[int],
    pairs_per_task: int,
    devices: int,
) -> None:
    """Every pair of the manifest is done, in exactly one batch, or not selected."""
    specs = [
        pair_spec(row, "/none.png", f"/none/{style}", options={"size_px": size_px, "seed": seed})
        for row, (style, size_px, seed, _) in enumerate(kinds, start=2)
    ]
    recorded = [spec for spec, (*_, is_done) in zip(specs, kinds, strict=True) if is_done]
    index = LedgerIndex(frozenset(key_of(pair) for pair in fingerprinted(recorded, NOTHING_DONE, WEIGHTS)))
    only = tuple(spec.pair_id for spec in specs if spec.row in wanted)
    selection = Selection(only=only, limit=limit, only_failed=only_failed)
    planned = plan_of(specs, index, selection, {f"pair-{row}" for row in failed}, share=Share(devices, pairs_per_task))
    batched = [pair for batch in planned.batches for pair in batch.pairs]

    everything = [*planned.done, *batched, *planned.unselected]
    assert sorted(ids(everything)) == sorted(spec.pair_id for spec in specs)
    assert set(ids(planned.done)) == {spec.pair_id for spec in recorded}
    assert [pair.spec.row for pair in planned.todo] == sorted(pair.spec.row for pair in batched)
    assert len(batched) <= (limit or len(specs))
    for batch in planned.batches:
        assert 1 <= len(batch.pairs) <= pairs_per_task
        assert len({pair.spec.style for pair in batch.pairs}) == 1
        assert len({pair.spec.options.model_copy(update={"seed": 0}).digest() for pair in batch.pairs}) == 1


def test_further_images_are_part_of_the_fingerprint(photo: Painter, style: Painter) -> None:
    """Another mask, another file under its name, or the same file in another column changes the fingerprint."""
    base, mask, other = style("waves.png"), photo("mask.png", seed=1), photo("other.png", seed=2)
    cat = photo("cat.png")

    def of(**others: str) -> str:
        return fingerprint(pair_spec(content=cat, style=base, others=others))

    known = [of(), of(protect=mask), of(protect=other), of(init_image=mask)]
    assert len(set(known)) == 4
    before = of(protect=mask)
    shutil.copy(other, mask)
    assert of(protect=mask) not in (before, *known[:1])


def test_a_batch_has_one_blend_and_one_set_of_columns() -> None:
    """Rows with another blend, or with a mask, are in batches of their own; the `protect` mask may differ within a
    batch.
    """
    style, blend = "/s/a.png", {"style_2": "/s/b.png"}
    kinds: list[dict[str, str]] = [{}, blend, blend, {"protect": "/m/1.png"}, {"protect": "/m/2.png"}]
    pairs = [
        PlannedPair(pair_spec(row, style=style, others=others), "c", "s", str(row))
        for row, others in enumerate(kinds, start=2)
    ]

    assert [[pair.spec.row for pair in batch.pairs] for batch in in_batches(pairs, 16, 1)] == [[2], [3, 4], [5, 6]]
