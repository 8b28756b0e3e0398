"""What the graph runs on follows from the environment's name; reproduction touches nothing of the running system."""

from pathlib import Path

import pytest

from mlops_assets.home import PROJECT, Home, home_from_environment
from mlops_assets.params import Params, ParamsError
from mlops_assets.resources import params_from_environment, resources_for
from mlops_assets.tracking import Tracking


def test_the_home_is_the_one_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "elsewhere"))
    assert home_from_environment() == Home(tmp_path / "elsewhere")


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_one_the_home_lies_in_the_project(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLOPS_HOME")
    if value is not None:
        monkeypatch.setenv("MLOPS_HOME", value)
    assert home_from_environment() == Home(PROJECT / "var")


def test_a_home_is_an_absolute_path_whatever_the_folder_one_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_HOME", "relative/home")
    assert home_from_environment().root.is_absolute()


def test_everything_of_the_running_system_lies_below_its_home(tmp_path: Path, params: Params) -> None:
    resources = resources_for("local", Home(tmp_path), params)
    places = [resources["layers"].root, resources["inbox"].root, resources["pages"], resources["tracking"].root]
    assert all(place.is_relative_to(tmp_path) for place in places)


def test_tables_are_written_where_they_are_read(tmp_path: Path, params: Params) -> None:
    resources = resources_for("local", Home(tmp_path), params)
    # One object, so that a contract held while writing is not held again while reading.
    assert resources["io_manager"].layers is resources["layers"]


def test_reproduction_has_no_registry_and_works_in_data_whatever_the_home(tmp_path: Path, params: Params) -> None:
    resources = resources_for("reproduction", Home(tmp_path), params)
    assert not isinstance(resources["tracking"], Tracking)
    assert resources["layers"].root == PROJECT / "data"
    assert resources["inbox"].root == PROJECT / "data" / "landing"


def test_both_environments_give_the_same_resources(tmp_path: Path, params: Params) -> None:
    local, reproduction = (resources_for(name, Home(tmp_path), params) for name in ("local", "reproduction"))
    assert set(local) == set(reproduction)


def test_making_resources_makes_nothing_on_disk(tmp_path: Path, params: Params) -> None:
    resources_for("local", Home(tmp_path / "home"), params)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_environment_is_refused_with_the_known_ones(params: Params) -> None:
    with pytest.raises(ValueError, match="'staging' is unknown: local"):
        resources_for("staging", params=params)


def test_the_largest_file_is_the_one_the_parameters_allow(tmp_path: Path, params: Params) -> None:
    inbox = resources_for("local", Home(tmp_path), params)["inbox"]
    assert inbox.max_bytes == params.landing.max_megabytes * 1024 * 1024


def test_other_parameters_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("max_megabytes: 64", "max_megabytes: 3"), encoding="utf-8")
    monkeypatch.setenv("MLOPS_PARAMS", str(tmp_path / "mine.yaml"))
    assert params_from_environment().landing.max_megabytes == 3


def test_parameters_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_PARAMS", str(tmp_path / "mine.yaml"))
    with pytest.raises(ParamsError, match=r"mine\.yaml is missing"):
        params_from_environment()
