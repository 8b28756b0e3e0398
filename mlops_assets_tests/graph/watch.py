"""A script: makes every layer of the tree it is started in, and writes what each read to the file named.

Files by the interpreter's own audit of every opening and listing, parameters by a stand-in that notes what it is asked.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mlops_assets import materialize
from mlops_assets.params import Params, Section
from mlops_assets.resources import resources_for
from mlops_assets.tables import LAYERS

FOLDER = Path.cwd()
CODE = {".py", ".pyc"}
OPENINGS = {"open", "os.listdir", "os.scandir"}


class Noted:
    """Parameters that note what is asked of them in `asked`, as `section.key`."""

    def __init__(self, values: Section, asked: set[str], path: str = "") -> None:
        """Stands in for `values`."""
        self.values, self.asked, self.path = values, asked, path

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        """The value, noted; a section stands in for itself again."""
        value = getattr(self.values, name)
        if isinstance(value, Section):
            return Noted(value, self.asked, f"{name}.")
        if name in type(self.values).model_fields:
            self.asked.add(self.path + name)
        return value

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """A section's values, noted. The whole tree is dumped for registries only, which there are none of here."""
        values = self.values.model_dump(**options)
        if self.path:
            self.asked |= {self.path + name for name in values}
        return values

    def digest(self, *sections: str) -> str:
        """Digest of sections of the tree; it depends on every key in them."""
        assert isinstance(self.values, Params)
        for section in sections:
            Noted(getattr(self.values, section), self.asked, f"{section}.").model_dump()
        return self.values.digest(*sections)


def main() -> None:
    """Make all layers, one after another."""
    read: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in OPENINGS and isinstance(arguments[0], (str, bytes, Path)):
            path = Path(FOLDER, arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0])
            if path.is_relative_to(FOLDER) and path.suffix not in CODE:
                read.add(str(path.relative_to(FOLDER)))

    found: dict[str, dict[str, list[str]]] = {}
    resources = resources_for("reproduction")
    known = resources["params"]
    sys.addaudithook(note)
    for layer in LAYERS:
        asked: set[str] = set()
        read.clear()
        materialize.materialize(layer, {**resources, "params": Noted(known, asked)})
        found[layer] = {"files": sorted(read), "params": sorted(asked)}
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
