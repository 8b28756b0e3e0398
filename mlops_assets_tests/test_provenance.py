"""Where a model comes from, and when that keeps it from scoring."""

import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.files import md5
from mlops_assets.home import PROJECT
from mlops_assets.provenance import LIBRARIES, Origin, git_state, lock_md5

Git = Callable[..., None]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs git in a repository with one commit of one file."""

    def run(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)  # noqa: S607

    run("init", "-q")
    (tmp_path / "file").write_text("one")
    run("add", "file")
    run("commit", "-qm", "one")
    return run


def test_without_git_the_commit_is_said_to_be_unknown(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"git_commit": "no git", "git_dirty": "unknown"}


@pytest.mark.usefixtures("git")
def test_a_tree_that_is_its_commit_is_clean_and_names_it(tmp_path: Path) -> None:
    state = git_state(tmp_path)
    assert len(state["git_commit"]) == 40
    assert state["git_dirty"] == "false"


@pytest.mark.usefixtures("git")
@pytest.mark.parametrize("name", ["file", "new"])
def test_a_changed_or_a_new_file_makes_the_tree_dirty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("two")
    assert git_state(tmp_path)["git_dirty"] == "true"


def test_the_next_commit_makes_it_clean_again_and_another(tmp_path: Path, git: Git) -> None:
    before = git_state(tmp_path)
    (tmp_path / "file").write_text("two")
    git("commit", "-qam", "two")
    after = git_state(tmp_path)
    assert after["git_dirty"] == "false"
    assert after["git_commit"] != before["git_commit"]


def test_the_lock_file_is_known_by_its_digest_and_its_absence_is_said(tmp_path: Path) -> None:
    absent = lock_md5(tmp_path)
    (tmp_path / "requirements.lock").write_bytes(b"a==1\n")
    assert (absent, lock_md5(tmp_path)) == ("no lock", md5(b"a==1\n"))


def test_a_model_says_which_libraries_python_and_machine_made_it() -> None:
    facts = Origin(PROJECT, "local").facts()
    assert {name: facts[f"library.{name}"] for name in LIBRARIES} == {name: version(name) for name in LIBRARIES}
    assert facts["python"] == platform.python_version()
    assert facts["environment"] == "local"
    assert {"git_commit", "git_dirty", "lock_md5", "machine", "thread_count"} <= set(facts)


def test_facts_are_text_and_none_is_empty() -> None:
    assert all(isinstance(value, str) and value for value in Origin(PROJECT, "local").facts().values())


@given(st.dictionaries(st.sampled_from(["git_dirty", "git_commit", "python"]), st.text()))
def test_the_local_environment_lets_every_model_score(made_with: dict[str, str]) -> None:
    assert Origin(Path(), "local").why_not_promote(made_with) is None


@given(st.dictionaries(st.sampled_from(["git_dirty", "git_commit"]), st.sampled_from(["true", "false", "unknown"])))
def test_production_lets_a_model_score_only_if_its_tree_was_known_to_be_a_commit(made_with: dict[str, str]) -> None:
    refusal = Origin(Path(), "production").why_not_promote(made_with)
    assert (refusal is None) == (made_with.get("git_dirty") == "false")


def test_a_refusal_says_what_is_wrong_and_what_to_do() -> None:
    refusal = Origin(Path(), "production").why_not_promote({"git_commit": "abc", "git_dirty": "true"})
    assert refusal is not None
    assert "commit abc, dirty: true" in refusal
    assert refusal.endswith("Commit, then run retrain.")


def test_what_the_running_system_makes_in_the_project_is_no_change_of_the_code(tmp_path: Path, git: Git) -> None:
    _ = git
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "table").write_text("made")
    assert git_state(tmp_path, apart=tmp_path / "home")["git_dirty"] == "false"
    assert git_state(tmp_path)["git_dirty"] == "true"
