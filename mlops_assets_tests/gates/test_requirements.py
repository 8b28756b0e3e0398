"""What is published of a verdict cannot contradict itself."""

import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from mlops_assets.gates.requirements import PromotionFindings, Requirement, findings_of
from mlops_assets.gates.verdict import Verdict

GAIN = Requirement("log_loss", 0.02, 0.01, 0.03, 0.0, holds=True, meaning="gain")
TABLE = findings_of("all_history", "comparison", Verdict.PASS, "better", [GAIN])


def refusal(table: pd.DataFrame) -> str:
    with pytest.raises(SchemaErrors) as error:
        PromotionFindings.validate(table, lazy=True)
    return str(error.value)


def test_findings_of_several_candidates_and_gates_stand_in_one_table() -> None:
    floors = findings_of("all_history", "floors", Verdict.UNKNOWN, "too few rows", [])
    other = findings_of("recent", "comparison", Verdict.FAIL, "equal", [GAIN])

    PromotionFindings.validate(pd.concat([floors, TABLE, other], ignore_index=True))


def test_a_value_outside_its_interval_is_refused() -> None:
    assert "bounds_hold_the_value" in refusal(TABLE.assign(lower=0.025))


def test_a_gate_that_holds_without_a_pass_is_refused() -> None:
    assert "whole_comes_first" in refusal(TABLE.assign(verdict="UNKNOWN"))


def test_findings_without_their_gate_are_refused() -> None:
    assert "whole_comes_first" in refusal(TABLE.iloc[1:])


def test_a_subject_told_twice_is_refused() -> None:
    assert "not unique" in refusal(pd.concat([TABLE, TABLE.iloc[1:]], ignore_index=True))
