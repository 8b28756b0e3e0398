"""`mlops reproduce`: a registered model made again, and proof of how equal it is.

The result goes to stdout, progress to stderr. Exit codes: 0 the model is back, byte by byte or in every prediction;
1 it is not; 2 it could not be made again.
"""

import json
import signal
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlops_assets.gates.equality import Grade, Part
    from mlops_assets.reproduction import Reproduction

DIFFERENT, REFUSED = 1, 2


@click.command()
@click.argument("which", metavar="champion|VERSION|RUN_ID")
@click.option(
    "--locked", is_flag=True, help="in the environment that the recorded commit locks, built by uv if need be"
)
@click.option("--json", "as_json", is_flag=True, help="the result as JSON")
def reproduce(which: str, *, locked: bool, as_json: bool) -> None:
    """Make a registered model again from its commit, inputs and parameters, and compare it with the recorded one."""
    from mlops_assets.environments import EnvironmentNotBuiltError
    from mlops_assets.files import DamagedError
    from mlops_assets.home import home_from_environment
    from mlops_assets.recorded import NotReproducibleError
    from mlops_assets.reproduction import reproduce as make
    from mlops_assets.worktrees import CommitError

    for ended in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(ended, lambda number, _: sys.exit(128 + number))  # so that the worktree goes then, too
    try:
        results = make(which, home_from_environment(), is_locked=locked, tell=lambda line: click.echo(line, err=True))
    except (NotReproducibleError, CommitError, EnvironmentNotBuiltError, DamagedError, OSError) as error:
        click.echo(f"cannot be reproduced: {error}", err=True)
        sys.exit(REFUSED)
    click.echo(json.dumps(document(results), indent=1) if as_json else "\n\n".join(map(in_words, results)))
    sys.exit(0 if all(result.grade.is_back for result in results) else DIFFERENT)


def document(results: "list[Reproduction]") -> dict[str, Any]:
    """The results as a tree for JSON: the least equal verdict, then each version."""
    verdicts = [result.grade.verdict for result in results]
    worst = max(verdicts, key=list(type(verdicts[0])).index)
    return {"verdict": worst, "versions": [of_version(result) for result in results]}


def of_version(result: "Reproduction") -> dict[str, Any]:
    """One version's result."""
    version, grade = result.version, result.grade
    return {
        "version": version.version,
        "candidate": version.candidate,
        "as_of": version.as_of,
        "commit": version.made_with.get("git_commit"),
        "mlflow_run_id": version.mlflow_run_id,
        "locked": result.is_locked,
        "verdict": grade.verdict,
        **{part.name: {key: getattr(part, key) for key in ("recorded", "made", "distance")} for part in grade.parts},
        "differences": [asdict(difference) for difference in grade.differences],
        "unexplained": grade.is_unexplained,
    }


def in_words(result: "Reproduction") -> str:
    """One version's result as a person reads it: verdict, what it is about, what was compared, what differs."""
    version, grade = result.version, result.grade
    facts = [
        ("version", f"{version.version}, {version.candidate} as of {version.as_of}"),
        ("commit", version.made_with.get("git_commit")),
        *((part.name, compared(part)) for part in grade.parts),
    ]
    return "\n".join([str(grade.verdict), *(f"  {name:<8} {value}" for name, value in facts), *suspects(grade)])


def compared(part: "Part") -> str:
    """A part's digests, and how far apart it is."""
    if part.recorded is None:
        return "none was recorded"
    if part.same_bytes:
        return f"{part.recorded}, the same"
    if part.made is None:
        return f"recorded {part.recorded}, none was made"
    return f"recorded {part.recorded}, made {part.made}: {apart(part.name, part.distance)}"


def apart(name: str, distance: float | None) -> str:
    """How far the values of a part are from the recorded ones."""
    values = {"model": "scores of the training rows", "scores": "scores", "metrics": "figures"}[name]
    if distance is None:
        return f"{values} cannot be compared"
    return f"{values} differ by up to {distance:.3g}" if distance else f"other bytes, the same {values}"


def suspects(grade: "Grade") -> list[str]:
    """What differs in the making, the first suspect first, and what that did."""
    if grade.is_unexplained:
        return ["  No known difference explains it: commit, libraries, inputs, parameters and machine are the same."]
    if not grade.differences:
        return []
    did = "and changed nothing" if all(part.same_bytes for part in grade.parts) else "the first suspect first"
    return [f"  What differs, {did}:", *(f"    {one}" for one in grade.differences)]
