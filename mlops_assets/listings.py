"""Versions as they are shown: rows with short digests for a person, everything that is known for a program."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mlops_assets.history import Crowned
from mlops_assets.versions import Model, Version, called

SHORT = 8  # digits of a digest that a person reads
INPUTS_SHOWN = 2


def full(version: Version) -> dict[str, Any]:
    """All that is known of a version."""
    last = version.made[-1]
    makings = [{name: asdict(made)[name] for name in ("when", "run_id", "job", "inputs")} for made in version.made]
    return {
        "batch": version.batch,
        "md5": version.md5,
        "size_bytes": last.size_bytes,
        "rows": last.rows,
        "files": last.files,
        "folder": last.folder,
        "made": makings,
        "champions": [full_champion(crowned) for crowned in version.champions],
    }


def full_champion(crowned: Crowned) -> dict[str, Any]:
    """Which champion this is."""
    return {name: asdict(crowned)[name] for name in ("version", "candidate", "as_of", "model_md5", "when")}


def full_model(model: Model) -> dict[str, Any]:
    """All that is known of a registered version."""
    crowned = [{"when": change.when, "why": change.why} for change in model.crowned]
    return {**asdict(model.registered), "is_champion": model.is_champion, "champion_since": crowned}


def row(version: Version) -> dict[str, str]:
    """A version for a person; times in UTC."""
    last = version.made[-1]
    return {
        **({"batch": version.batch} if version.batch else {}),
        "md5": version.md5[:SHORT],
        "first made": minute(version.made[0].when),
        "last made": minute(last.when),
        "by": f"{last.job} {last.run_id[:SHORT]}",
        "rows": str(last.rows),
        "size": human(last.size_bytes),
        "files": str(len(last.files)),
        "from": shortened(last.inputs),
        "champions": " ".join(called(crowned) for crowned in version.champions) or "-",
    }


def model_row(model: Model) -> dict[str, str]:
    """A registered version for a person."""
    version, since = model.registered, [minute(crowned.when) for crowned in model.crowned]
    champion = f"{'is, since' if model.is_champion else 'was, from'} {since[-1]}" if since else "-"
    dirty = {"true": " (dirty)", "false": ""}.get(version.made_with.get("git_dirty", ""), " (unknown)")
    return {
        "version": str(version.version),
        "model": version.model_md5[:SHORT],
        "candidate": version.candidate,
        "as_of": version.as_of,
        "commit": version.made_with.get("git_commit", "unknown")[:SHORT] + dirty,
        "registered": minute(version.when),
        "champion": champion,
    }


def minute(when: str) -> str:
    """A recorded time, to the minute."""
    return when[:16].replace("T", " ")


def human(size_bytes: int) -> str:
    """A size in the largest unit of which it has at least one."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size_bytes >= 2**power:
            return f"{size_bytes / 2**power:.1f} {unit}"
    return f"{size_bytes} B"


def shortened(inputs: Mapping[str, str]) -> str:
    """Inputs with short digests; where there are many, the first, and how many more."""
    shown = [f"{name} {digest[:SHORT]}" for name, digest in sorted(inputs.items())]
    more = f" and {len(shown) - INPUTS_SHOWN} more" if len(shown) > INPUTS_SHOWN else ""
    return ", ".join(shown[:INPUTS_SHOWN]) + more or "-"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows under their names, in columns."""
    names = list(rows[0])
    cells = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
