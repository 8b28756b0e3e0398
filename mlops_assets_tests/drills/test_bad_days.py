"""Faults that an adversary found, each through the door a user would use: told in a line, and nothing lost."""

import sqlite3

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError

from mlops_assets import operate
from mlops_assets.cli import main
from mlops_assets.files import md5
from mlops_assets.history import Registered
from mlops_assets.home import Home, history_of
from mlops_assets.naming import names
from mlops_assets.operate import System
from mlops_assets.storage import Layers, table_bytes
from mlops_assets.versions import Past


def call(home: Home, *arguments: str, **more: str) -> Result:
    """The command in a home."""
    return CliRunner().invoke(main, arguments, env={"MLOPS_HOME": str(home.root), **more})


def test_what_is_read_is_kept_though_another_wrote_it(copied_home: Home) -> None:
    store = history_of(copied_home).store
    layers = Layers(copied_home.layers, store)
    content = table_bytes(layers.read("labelled_customers", "2024-03").iloc[:300])
    layers.path("labelled_customers", "2024-03").write_bytes(content)
    layers.read("labelled_customers", "2024-03")
    assert store.get(layers.digest("labelled_customers", "2024-03")) == content


def test_a_month_delivered_again_with_other_bytes_is_marked(copied: System) -> None:
    assert "replaces" not in copied.run("score", "2024-06").materialized["raw_customers"]
    before = copied.inbox.read("customers", "2024-06")
    copied.inbox.put("2024-06", {"customers": b"\n".join(before.split(b"\n")[:-2]) + b"\n"})
    ran = copied.run("score", "2024-06")
    assert ran.materialized["raw_customers"]["replaces"] == md5(before)
    said = [str(check.description) for check in ran.checks if check.asset_key.to_user_string() == "raw_customers"]
    assert any("delivery 2 of this month" in text for text in said)


def test_the_inputs_of_every_registered_version_are_looked_for(demo_home: Home) -> None:
    past = Past(history_of(demo_home))
    past.__dict__["made"] = []  # as when another process wrote the tables
    named = names(past)
    assert all(oid in named for version in past.history.read(Registered) for oid in version.inputs.values())


def test_a_lost_input_is_told_with_who_used_it_and_where_it_is(copied_home: Home) -> None:
    oid = history_of(copied_home).versions()[0].inputs["2024-03"]
    history_of(copied_home).store.path(oid).unlink()
    done = call(copied_home, "reproduce", "1")
    assert done.exit_code == 2
    assert "used by  champion v1" in done.stderr
    assert "mlops store check --mend" in done.stderr


def test_a_full_disk_is_told_in_one_line(copied_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        statement = "INSERT"
        raise OperationalError(statement, {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(operate, "relocate", full)
    done = call(copied_home, "score", "2024-06")
    assert done.exit_code == 1
    assert "database or disk is full. No table is half-written. Make room" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_environment_is_refused_in_a_line(copied_home: Home) -> None:
    done = call(copied_home, "retrain", MLOPS_ENVIRONMENT="prod")
    assert done.exit_code == 2
    assert "refused: MLOPS_ENVIRONMENT=prod is unknown" in done.stderr


def test_a_damaged_line_of_the_history_is_found_and_a_torn_one_is_not(copied_home: Home) -> None:
    path = copied_home.history / "versions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:200])
    assert call(copied_home, "store", "check").exit_code == 0
    path.write_bytes(b"z" + whole[1:])
    done = call(copied_home, "store", "check", "--mend")
    assert done.exit_code == 1
    assert f"damaged: line 1 of {path}" in done.stdout
