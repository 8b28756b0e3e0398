"""Changes the gates one token at a time, and reports every change that no test notices.

A line that is run is not yet one that is tested. Each mutant is one small error as a person might make: `<` for `<=`,
`+` for `-`, `and` for `or`, a constant that is off by one, a `not` or a keyword argument too few. The tests run in
one process that is forked for each mutant, so that a mutant costs its tests and not the imports; nothing on disk is
changed. Those in `EQUIVALENT` change nothing that a test could see, each for the reason given.

    make mutants                                   all modules, hours on one core
    python -m benchmarks.mutants floors evidence   only these
    python -m benchmarks.mutants promotion --sample 40 --seed 1
"""

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
GATES = ROOT / "mlops_assets" / "gates"
SECONDS = 120
"""After so long the tests of a mutant are ended: one that runs for ever is noticed."""

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}

TESTS = {
    "persons": ["persons", "promotion"],
    "promotion": ["promotion", "persons"],
    "floors": ["floors", "persons"],
    "outcomes": ["outcomes", "persons"],
    "joint": ["joint", "persons"],
    "drift": ["drift", "moves", "persons"],
    "monthly": ["monthly", "ageing"],
    "estimates": ["estimates", "persons", "promotion", "floors"],
    "evidence": ["promotion", "floors", "outcomes", "persons", "asking"],
    "recalibration": ["recalibration", "outcomes", "persons"],
    "requirements": ["requirements", "promotion", "floors"],
    "outcome_findings": ["outcomes"],
    "findings": ["drift"],
    "columns": ["news", "drift", "ageing"],
    "news": ["news", "ageing", "drift"],
    "ageing": ["ageing"],
    "attempts": ["retraining"],
    "learned": ["monthly"],
    "embedding": ["joint"],
}
"""Tests of a module, the quickest first, where they are not `test_<module>.py` alone."""

EQUIVALENT: dict[str, str] = {}
"""Mutants, as they are printed, that change nothing which a test should see, and why."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one error: `what` says it in a line, `tree` is its code."""

    what: str
    tree: ast.Module


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, int, str]]:
    """Each place and kind of error that there is: the node, which of its errors, and the error in words."""
    # How a class is built (frozen, slots) decides nothing.
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    decorators = {id(part) for node in classes for one in node.decorator_list for part in ast.walk(one)}
    for node in ast.walk(tree):
        if id(node) not in decorators:
            yield from ((node, at, error) for at, error in errors_of(node))


def errors_of(node: ast.AST) -> list[tuple[int, str]]:  # noqa: PLR0911 - one for each kind of error
    """The errors that can be made in a node: its number and words for it."""
    match node:
        case ast.Compare(ops=ops):
            return [(at, f"{type(op).__name__} -> {COMPARED[type(op)].__name__}") for at, op in enumerate(ops)]
        case ast.BinOp(op=op) if type(op) in COMPUTED and not _is_text(node):
            return [(0, f"{type(op).__name__} -> {COMPUTED[type(op)].__name__}")]
        case ast.BoolOp(op=op):
            return [(0, "or -> and" if isinstance(op, ast.Or) else "and -> or")]
        case ast.UnaryOp(op=ast.Not()):
            return [(0, "not dropped")]
        case ast.Constant(value=int() | float() as value):
            return [(0, f"{value} -> {_other(value)}")]
        case ast.Call(keywords=keywords):
            return [(at, f"{keyword.arg}= dropped") for at, keyword in enumerate(keywords) if keyword.arg]
    return []


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _other(value: float) -> float:
    return not value if isinstance(value, bool) else value + 1


def broken(node: ast.AST, at: int) -> None:
    """Make one error in the node."""
    if isinstance(node, ast.Compare):
        node.ops[at] = COMPARED[type(node.ops[at])]()
    elif isinstance(node, ast.BinOp):
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.UnaryOp):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant):
        node.value = _other(node.value)  # type: ignore[arg-type]
    elif isinstance(node, ast.Call):
        del node.keywords[at]


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of a module of the gates, by line."""
    source = (GATES / f"{module}.py").read_text()
    lines = source.splitlines()
    numbered = [(at, error) for at, error in enumerate(places(ast.parse(source)))]
    for number, (node, at, error) in sorted(numbered, key=lambda one: (getattr(one[1][0], "lineno", 0), one[0])):
        line = getattr(node, "lineno", 0)
        tree = ast.parse(source)
        twin, _, _ = next(place for count, place in enumerate(places(tree)) if count == number)
        broken(twin, at)
        yield Mutant(f"{module}: {lines[line - 1].strip()} [{error}]", ast.fix_missing_locations(copy.deepcopy(tree)))


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a mutant in the place of the module."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        """`name` of the module, in full."""
        self.name, self.mutant = name, mutant

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A spec for the mutated module alone."""
        _ = path, target
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code as the module's."""
        exec(compile(self.mutant.tree, self.name, "exec"), module.__dict__)  # noqa: S102 - the project's own code


def is_noticed(module: str, mutant: Mutant | None) -> bool:
    """Whether a test of the module fails, is ended after `SECONDS`, or cannot be collected."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.alarm(SECONDS)
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            os._exit(_tested(module, mutant))
    _, status = os.waitpid(child, 0)
    return status != 0


def _tested(module: str, mutant: Mutant | None) -> int:
    """The exit code of the module's tests."""
    import pytest  # noqa: PLC0415 - after the mutant's place is known

    if mutant:
        sys.meta_path.insert(0, Instead(f"mlops_assets.gates.{module}", mutant))
    tests = [str(ROOT / "mlops_assets_tests" / "gates" / f"test_{name}.py") for name in TESTS.get(module, [module])]
    return int(pytest.main(["-n0", "-x", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]))


def warm() -> None:
    """Import what every test needs and no gate is, once for all forks."""
    for name in ("hypothesis", "pandera.pandas", "scipy.stats", "sklearn.linear_model", "sklearn.metrics"):
        importlib.import_module(name)


def run(module: str, *, sample: int | None, seed: int) -> list[str]:
    """Every mutant of the module that no test noticed, in words; those known as equivalent left out."""
    if is_noticed(module, None):
        message = f"the tests of {module} fail without any mutant. Make them pass first."
        raise SystemExit(message)
    found = [one for one in mutants(module) if one.what not in EQUIVALENT]
    if sample is not None and sample < len(found):
        found = random.Random(seed).sample(found, sample)  # noqa: S311 - which mutants is no secret
    began, survivors = time.monotonic(), []
    for mutant in found:
        if not is_noticed(module, mutant):
            survivors.append(mutant.what)
            print(f"survived: {mutant.what}", flush=True)
    print(f"{module}: {len(survivors)} of {len(found)} survived, {time.monotonic() - began:.0f} s", flush=True)
    return survivors


def main() -> None:
    """Run the mutants of the modules named, or of all."""
    known = sorted(path.stem for path in GATES.glob("*.py") if path.stem != "__init__")
    parser = argparse.ArgumentParser(description="Errors in the gates that no test notices.")
    parser.add_argument("modules", nargs="*", choices=[*known, []], help="of mlops_assets/gates; all if none is named")
    parser.add_argument("--sample", type=int, help="at most so many of a module, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    warm()
    survivors = [what for name in asked.modules or known for what in run(name, sample=asked.sample, seed=asked.seed)]
    raise SystemExit(1 if survivors else 0)


if __name__ == "__main__":
    main()
