"""The plan of a run: pairs with their fingerprints, grouped into batches."""

from dataclasses import dataclass, field

from flows.records.pairs import PairSpec


@dataclass(frozen=True)
class PlannedPair:
    """A pair with the identities of its inputs and the fingerprint of everything that determines its result."""

    spec: PairSpec
    content_identity: str
    style_identity: str
    fingerprint: str
    attempt: int = 1
    """The number of the coming attempt at this pair with this fingerprint, from 1."""
    other_identities: dict[str, str] = field(default_factory=dict)
    """The identities of the pair's optional images, by column."""


@dataclass(frozen=True)
class Batch:
    """Pairs with the same style and options, though not always of one size, that one task stylizes on one device."""

    name: str
    pairs: tuple[PlannedPair, ...]


@dataclass(frozen=True)
class RunPlan:
    """The pairs to do, grouped into batches, the pairs that are done already, and those that this run skips."""

    batches: tuple[Batch, ...]
    done: tuple[PlannedPair, ...]
    unselected: tuple[PlannedPair, ...]
    failed_for_good: int = 0
    """The number of unselected pairs that are skipped because they failed permanently (see `FOR_GOOD`)."""

    @property
    def todo(self) -> tuple[PlannedPair, ...]:
        """The pairs of all batches, in the order of the manifest."""
        return tuple(sorted((pair for batch in self.batches for pair in batch.pairs), key=lambda p: p.spec.row))
