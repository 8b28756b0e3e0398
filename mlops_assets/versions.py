"""What was made when and from what, and which champions used it; bringing it back is `restoring`'s work.

Answered from the history alone: the registry, Dagster's instance and the layers may all be gone. A version of an asset
is a table's digest, by batch; the same bytes made twice are one version made twice. A champion used everything its
model and its verdict came from, back to the landed files. What scores now is no ingredient of what comes next, so the
way back from a verdict does not pass through the champion it was compared with.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from mlops_assets.history import Crowned, History, Made, Registered

Node = tuple[str, str]  # `asset`, `asset@batch` or the name of a landed file; and the digest of this version of it
CHAMPION, MODEL, VERDICT = "champion", "churn_model", "promotion_verdict"


class UnknownVersionError(LookupError):
    """No version goes by what was asked for, or several do; the message lists what does."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an asset: every time it was made, oldest first, and the champions that used it."""

    asset: str
    batch: str | None
    md5: str
    made: tuple[Made, ...]
    champions: tuple[Crowned, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """One registered version, each time it became champion, and whether it is champion now."""

    registered: Registered
    crowned: tuple[Crowned, ...]
    is_champion: bool


@dataclass(frozen=True)
class Past:
    """What the history told when it was first asked."""

    history: History

    @cached_property
    def made(self) -> list[Made]:
        """Everything ever made, oldest first."""
        return self.history.read(Made)

    @cached_property
    def crowned(self) -> list[Crowned]:
        """Every change of champion, oldest first."""
        return self.history.read(Crowned)

    @cached_property
    def registered(self) -> list[Registered]:
        """Every registered version, oldest first."""
        return self.history.versions()

    @cached_property
    def makings(self) -> dict[Node, list[int]]:
        """Positions in `made` of each version, oldest first."""
        found = defaultdict(list)
        for position, made in enumerate(self.made):
            found[node(made)].append(position)
        return dict(found)

    def assets(self) -> list[str]:
        """Assets of which there is a version, in the order in which they were first made."""
        return list(dict.fromkeys(made.asset for made in self.made))

    def versions(self, asset: str, batch: str | None = None) -> list[Version]:
        """Every version of the asset, of one batch if one is given; the one made last comes last.

        Raises UnknownVersionError for an asset of which there is none.
        """
        if asset not in self.assets():
            known = ", ".join(self.assets()) or "nothing was made yet"
            message = f"no version of {asset!r} was ever made. There are versions of: {known}."
            raise UnknownVersionError(message)
        found = sorted((positions[-1], positions) for positions in self.makings.values())
        makings = [tuple(self.made[position] for position in positions) for _, positions in found]
        return [
            Version(asset, last.batch, last.md5, made, self.users(node(last)))
            for made in makings
            if (last := made[-1]).asset == asset and batch in {None, last.batch}
        ]

    def models(self) -> list[Model]:
        """Every registered version, the newest last."""
        now = self.crowned[-1].model_md5 if self.crowned else None
        return [
            Model(
                version,
                tuple(crowned for crowned in self.crowned if crowned.model_md5 == version.model_md5),
                version.model_md5 == now,
            )
            for version in self.registered
        ]

    def users(self, version: Node) -> tuple[Crowned, ...]:
        """The champions that used the version, each model once."""
        return tuple(crowned for crowned, used in self.used if version in used)

    @cached_property
    def used(self) -> list[tuple[Crowned, set[Node]]]:
        """What each champion used; one that came back is told once."""
        first: dict[str, Crowned] = {}
        for crowned in self.crowned:
            first.setdefault(crowned.model_md5, crowned)
        return [(crowned, self.used_by(crowned)) for crowned in first.values()]

    def used_by(self, crowned: Crowned) -> set[Node]:
        """Everything that the model and the verdict came from, and the champions' tables with that model."""
        tables = {(CHAMPION, other.champion) for other in self.crowned if other.model_md5 == crowned.model_md5}
        verdicts = {
            node(made) for made in self.made if made.asset == VERDICT and crowned.verdict_md5 in made.files.values()
        }
        used = tables | self.origins(verdicts)
        model = next((version for version in self.registered if version.model_md5 == crowned.model_md5), None)
        if model is None:  # its registration is lost: what its table was made from is the next best answer
            return used | self.origins(tables)
        trained = (MODEL, model.churn_model)
        learned = {(f"labelled_customers@{batch}", digest) for batch, digest in model.inputs.items()}
        before = self.makings.get(trained, [len(self.made)])[0]
        return used | self.origins({trained, ("training_set", model.training_set), *learned}, before)

    def origins(self, versions: Iterable[Node], before: int | None = None) -> set[Node]:
        """Those versions, and everything they were made from.

        A version may have been made several times, and from different inputs: what counts is the newest making that is
        no newer than what was made from it, of `versions` the newest up to `before`, a position in `made`.
        """
        reached: set[tuple[Node, int | None]] = set()
        waiting = [(version, before) for version in versions]
        while waiting:
            version, limit = waiting.pop()
            position = newest(self.makings.get(version, []), limit)
            if (version, position) in reached:
                continue
            reached.add((version, position))
            if position is not None:
                inputs = self.made[position].inputs.items()
                waiting += [(source, position) for source in inputs if source[0] != CHAMPION]
        return {version for version, _ in reached}


def newest(positions: list[int], limit: int | None) -> int | None:
    """The last position up to the limit; the first where there is no limit or none is so early, None of none."""
    early = [position for position in positions if limit is not None and position <= limit]
    return early[-1] if early else next(iter(positions), None)


def node(made: Made) -> Node:
    """Which version a making is one of; inputs are named so too."""
    return (f"{made.asset}@{made.batch}" if made.batch else made.asset, made.md5)


def called(crowned: Crowned) -> str:
    """A champion in a word: its version's number, or the start of its model's digest where it has none."""
    return f"v{crowned.version}" if crowned.version else crowned.model_md5[:8]
