"""Bringing versions back from the store: which object is meant, whether it is whole, and what to do when it is not.

A version comes back whole or not at all, and never over something else: who restores mostly wants the old bytes
because something went wrong with the new ones. An object whose bytes are not its digest's is never handed out; the
error says what it was, which champions used it, and where it can be had again.
"""

import glob
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_assets.files import FOLDER, DamagedError, md5
from mlops_assets.history import Crowned
from mlops_assets.naming import Name, names
from mlops_assets.placing import place_file, place_folder
from mlops_assets.store import Findings, MissingObjectError, Store, folder_list
from mlops_assets.versions import CHAMPION, MODEL, Past, UnknownVersionError, called

PREFIX = re.compile(r"([0-9a-f]{4,32})(\.dir)?")
NUMBER = re.compile(r"v\d+|\d{1,3}")  # fewer digits than a digest must have
SHOWN = 3


@dataclass(frozen=True)
class Archive:
    """The objects that the history names; `home` is where the layers and the inbox may have spare copies of them."""

    past: Past
    home: Path

    @property
    def store(self) -> Store:
        """Where the objects lie."""
        return self.past.history.store

    @cached_property
    def names(self) -> dict[str, list[Name]]:
        """Every object that the history names, by digest, and what it is."""
        return names(self.past)

    def resolve(self, asset: str, text: str) -> str:
        """The object of the asset whose digest begins with `text`; a model's also by its version's number, as `v3`.

        Raises UnknownVersionError when there is none, or more than one.
        """
        newest = [version.md5[:8] for version in self.past.versions(asset)[-SHOWN:]]
        hint = f"The newest versions are {', '.join(newest)}; `mlops versions {asset}` lists all."
        if asset in {MODEL, CHAMPION} and NUMBER.fullmatch(text):
            number = int(text.removeprefix("v"))
            found = [version.model_md5 for version in self.past.registered if version.version == number]
        elif given := PREFIX.fullmatch(text.lower()):
            own = [oid for oid, names in self.names.items() if any(name.asset == asset for name in names)]
            found = [oid for oid in own if oid.startswith(given[1]) and (oid.endswith(FOLDER) or not given[2])]
        else:
            message = f"{text!r} is no md5: give at least 4 of its hex digits. {hint}"
            raise UnknownVersionError(message)
        if len(found) != 1:
            several = f"several begin with {text}: {', '.join(sorted(found))}"
            message = f"{asset}: {several if found else f'there is no version {text}'}. {hint}"
            raise UnknownVersionError(message)
        return found[0]

    def get(self, oid: str) -> bytes:
        """Bytes of the object. Raises as `Store.get` does, and says what was lost and where it can be had again."""
        try:
            return self.store.get(oid)
        except (MissingObjectError, DamagedError) as error:
            message = f"{error}\n{self.explain(oid)}"
            raise type(error)(message) from error

    def folder(self, oid: str) -> dict[str, str]:
        """Digests by relative path of the folder `oid`. Raises as `get` does."""
        self.get(oid)
        return self.store.folder(oid)

    def restore(self, oid: str, path: Path) -> bool:
        """Bring the object to `path`, a folder with all its files; False when just this lies there already.

        Raises OccupiedError and OSError, and as `get` does; then nothing has changed at `path`.
        """
        if oid.endswith(FOLDER):
            return place_folder(path, self.folder(oid), self.get)
        return place_file(path, oid, lambda: self.get(oid))

    def explain(self, oid: str) -> str:
        """What the object is, which champions used it, and where it can be had again; one line each."""
        champions = [f"{called(user)} ({user.candidate} as of {user.as_of})" for user in self.users(oid)]
        first, *others = [*self.ways(oid), "bring it from a backup of the store"]
        lines = [
            f"it is    {listed([name.text for name in self.known(oid)]) or 'named by nothing in the history'}",
            f"used by  {f'champion {listed(champions)}' if champions else 'no champion'}",
            f"again    {first}",
            *(f"or       {way}" for way in others),
        ]
        return "\n".join(f"  {line}" for line in lines)

    def known(self, oid: str) -> list[Name]:
        """What the object is; one that only a folder's list names was there before there was a history."""
        return self.names.get(oid) or [
            Name(f"{path} in {name.text}", name.asset, name.version, f"*/{name.asset}/{glob.escape(path)}", name.again)
            for folder, names in self.names.items()
            if folder.endswith(FOLDER) and self.store.is_whole(folder)
            for path, digest in self.store.folder(folder).items()
            if digest == oid
            for name in names
        ]

    def users(self, oid: str) -> list[Crowned]:
        """Champions that used the object. Of the models of a training, a champion used only its own."""
        if any(version.model_md5 == oid for version in self.past.registered):
            return [crowned for crowned, _ in self.past.used if crowned.model_md5 == oid]
        versions = {name.version for name in self.known(oid)}
        return [crowned for crowned, used in self.past.used if not versions.isdisjoint(used)]

    def ways(self, oid: str) -> Iterator[str]:
        """Where the object can be had again, the surest first."""
        if spare := self.spare(oid):
            yield f"{spare[0]} has it: `mlops store check --mend` puts it back"
        if self.store.remote:
            yield f"`mlops store pull` brings it from {self.store.remote.url}, if it was pushed there"
        for version in self.past.registered:
            if version.model_md5 == oid:
                yield f"`mlops reproduce {version.version}` trains it again"
        yield from list(dict.fromkeys(name.again for name in self.known(oid)))[:SHOWN]

    def spare(self, oid: str) -> tuple[str, bytes] | None:
        """A place that has the object's bytes, proved by their digest, and these: a layer, the inbox, the history."""
        for position, made in enumerate(self.past.made) if oid.endswith(FOLDER) else ():
            if made.folder == oid and md5(content := self.relisted(position)) + FOLDER == oid:
                return "the history", content
        for place in dict.fromkeys(name.places for name in self.known(oid)):
            for path in self.home.glob(place) if place else ():
                with suppress(OSError):
                    if md5(content := path.read_bytes()) == oid:
                        return str(path), content
        return None

    def relisted(self, position: int) -> bytes:
        """The list of the folder as it stood after a making, told from the history: a batch replaces only its own."""
        last = self.past.made[position]
        before = self.past.made[: position + 1] if last.batch else [last]
        files: dict[str, str] = {}
        for made in before:
            if made.asset == last.asset:
                files |= {f"{made.batch or made.asset}.parquet": made.md5, **made.files}
        return folder_list(files)

    def mend(self, oid: str) -> str | None:
        """Put the object back from a spare copy; returns from where, None when there is none."""
        if spare := self.spare(oid):
            self.store.keep(oid, spare[1])
        return spare[0] if spare else None

    def check(self) -> Findings:
        """Hash everything in the store again, and look for everything that the history names."""
        return self.store.check(self.names)

    def pull(self) -> tuple[int, list[str]]:
        """Bring from the remote what is damaged or missing; returns how many that were, and what is lost there too.

        Raises RemoteError.
        """
        there, brought = set(self.store.remote.names() if self.store.remote else ()), 0
        while True:  # a folder that came back lists files to look for
            found = self.check()
            lost = {*found.damaged, *found.missing}
            if not (able := lost & there):
                return brought, sorted(lost)
            for oid in able:
                with suppress(MissingObjectError, DamagedError):
                    self.store.get(oid)
                    brought += 1
            there -= able


def listed(words: list[str]) -> str:
    """The first few of the words, and how many there are more."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more
