"""A mistyped parameter is an error that names the key and what is allowed."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from mlops_assets.params import Params, ParamsError, Section, load_params

PROJECT = Path(__file__).parents[1]
TREE = yaml.safe_load((PROJECT / "params.yaml").read_text())


def changed(**keys: object) -> dict[str, Any]:
    """The shipped tree with other values, given as section__key."""
    tree: dict[str, Any] = {section: dict(values) for section, values in TREE.items()}
    for name, value in keys.items():
        section, key = name.split("__")
        tree[section][key] = value
    return tree


def load(tmp_path: Path, tree: object) -> Params:
    """Parameters of a file with that tree."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load_params(path)


def refused(tmp_path: Path, tree: object) -> str:
    """Why that tree is refused."""
    with pytest.raises(ParamsError) as error:
        load(tmp_path, tree)
    assert str(tmp_path / "params.yaml") in str(error.value)
    return str(error.value)


def sections() -> list[type[BaseModel]]:
    """The parts of the tree."""
    parts = [field.annotation for field in Params.model_fields.values()]
    return [Params, *(part for part in parts if isinstance(part, type) and issubclass(part, BaseModel))]


# ------------------------------------------------------------------------------------------------- what is refused


def test_an_unknown_key_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    message = refused(tmp_path, changed(drift__alhpa=0.01))
    assert "drift.alhpa" in message
    assert "known keys: alpha, min_rows, min_effect, reference_months" in message


def test_an_unknown_section_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    message = refused(tmp_path, {**TREE, "drfit": {}})
    assert "drfit" in message
    assert f"known keys: {', '.join(TREE)}" in message


@pytest.mark.parametrize("section", TREE)
def test_a_missing_key_is_refused_by_its_name(tmp_path: Path, section: str) -> None:
    key, *_ = TREE[section]
    tree = changed()
    del tree[section][key]
    assert f"{section}.{key}: Field required" in refused(tmp_path, tree)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model__depth", "3"),
        ("model__depth", 3.0),
        ("model__depth", True),
        ("offers__enabled", "no thanks"),
        ("offers__enabled", 1),
        ("drift__alpha", "0.01"),
        ("drift__alpha", [0.01]),
        ("sample__as_of", 202405),
        ("drift__alpha", None),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, name: str, value: object) -> None:
    message = refused(tmp_path, changed(**{name: value}))
    assert f"{name.replace('__', '.')}: Input should be a valid" in message


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("landing__max_megabytes", 0, ">= 1, <= 4096"),
        ("quality__max_quarantined_share", 1.5, ">= 0, <= 1"),
        ("quality__max_quarantined_share", -0.1, ">= 0, <= 1"),
        ("model__depth", 11, ">= 1, <= 10"),
        ("model__learning_rate", 0, "> 0, <= 1"),
        ("offers__control_share", 1, "> 0, < 1"),
        ("promotion__months", 25, ">= 1, <= 24"),
        ("drift__alpha", 0.5, "> 0, < 0.5"),
        ("sample__as_of", "2024-13", "matches"),
        ("sample__score_batch", "../2024-06", "matches"),
    ],
)
def test_a_value_out_of_range_is_refused_with_key_value_and_range(
    tmp_path: Path, name: str, value: float | str, allowed: str
) -> None:
    message = refused(tmp_path, changed(**{name: value}))
    assert name.replace("__", ".") in message
    assert f"(it is {value!r}); allowed: {allowed}" in message


NUMBERS = [f"{part}__{key}" for part, keys in TREE.items() for key, value in keys.items() if type(value) is float]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_neither_nan_nor_infinity_passes_a_range(tmp_path: Path, name: str, value: float) -> None:
    assert name.replace("__", ".") in refused(tmp_path, changed(**{name: value}))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, changed(drift__alpha=2, model__depth="x", quality__limit=1))
    assert all(key in message for key in ("drift.alpha", "model.depth", "quality.limit"))


def test_economics_in_which_no_offer_can_pay_are_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, changed(economics__offer_cost=30.0))
    assert "economics: " in message
    assert "no offer can pay" in message


@pytest.mark.parametrize("content", ["", "- 1\n", "3\n", "a: [", "landing: {max_megabytes: 1"])
def test_a_file_that_holds_no_tree_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_is_refused_with_the_way_back(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"is missing. Restore it with `git checkout params.yaml`"):
        load_params(tmp_path / "params.yaml")


# --------------------------------------------------------------------------------------------------- what is promised


def test_the_shipped_file_loads(params: Params) -> None:
    assert params.model_dump(mode="json") == TREE


def test_nothing_has_a_default_so_that_a_number_has_one_home() -> None:
    assert [name for part in sections() for name, field in part.model_fields.items() if not field.is_required()] == []


def test_every_part_says_what_it_is_and_is_frozen() -> None:
    assert all(part.__doc__ and issubclass(part, Section) and part.model_config["frozen"] for part in sections())


def test_the_digest_changes_with_a_value(tmp_path: Path, params: Params) -> None:
    other = load(tmp_path, changed(drift__alpha=0.02))
    assert other.digest() != params.digest()
    assert other.digest("drift") != params.digest("drift")


def test_the_digest_of_a_section_is_its_own(tmp_path: Path, params: Params) -> None:
    other = load(tmp_path, changed(drift__alpha=0.02))
    assert other.digest("model", "floors") == params.digest("model", "floors")


def test_the_digest_changes_neither_with_comments_nor_with_order_nor_with_spelling(
    tmp_path: Path, params: Params
) -> None:
    backwards = {section: dict(reversed(values.items())) for section, values in reversed(TREE.items())}
    text = yaml.safe_dump(backwards, sort_keys=False).replace("offer_cost: 10.0", "offer_cost: 1.0e+1")
    path = tmp_path / "params.yaml"
    path.write_text(f"# turned round\n{text}# end\n")
    assert load_params(path).digest() == params.digest()
