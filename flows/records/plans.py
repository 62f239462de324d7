"""What a run is to do: pairs with their fingerprints, in batches."""

from dataclasses import dataclass, field

from flows.records.pairs import PairSpec


@dataclass(frozen=True)
class PlannedPair:
    """A pair with the identity of its inputs and the fingerprint of all that decides its result."""

    spec: PairSpec
    content_identity: str
    style_identity: str
    fingerprint: str
    attempt: int = 1
    """This will be the pair's n-th attempt with this fingerprint."""
    other_identities: dict[str, str] = field(default_factory=dict)
    """Of the further pictures, by column."""


@dataclass(frozen=True)
class Batch:
    """Pairs of one style and size, done by one task on one device."""

    name: str
    pairs: tuple[PlannedPair, ...]


@dataclass(frozen=True)
class RunPlan:
    """What is left to do, and what is done already."""

    batches: tuple[Batch, ...]
    done: tuple[PlannedPair, ...]
    unselected: tuple[PlannedPair, ...]
    failed_for_good: int = 0
    """Of the unselected, those that are left alone as another attempt would only fail again."""

    @property
    def todo(self) -> tuple[PlannedPair, ...]:
        """The pairs of all batches, in the order of the manifest."""
        return tuple(sorted((pair for batch in self.batches for pair in batch.pairs), key=lambda p: p.spec.row))
