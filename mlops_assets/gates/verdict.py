"""Decides which words a gate may answer with, and how several answers become one.

Three words and not two: a gate that cannot tell must not look like one that is content. UNKNOWN never promotes and
never retrains; it alerts a person.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """What a gate says; the value is what is stored and shown."""

    PASS = "PASS"
    """The rule holds: nothing moved, or the challenger is proven better."""

    FAIL = "FAIL"
    """The rule is broken: something moved, or nothing proves the challenger better."""

    UNKNOWN = "UNKNOWN"
    """The gate cannot tell: too few rows or months, one class only, values missing."""


def all_of(*verdicts: Verdict) -> Verdict:
    """One verdict of several that must all hold: FAIL before UNKNOWN before PASS; UNKNOWN if there are none.

    A rule that is broken stays so whatever the others would say once they can, hence FAIL comes first.
    """
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.PASS if set(verdicts) == {Verdict.PASS} else Verdict.UNKNOWN
