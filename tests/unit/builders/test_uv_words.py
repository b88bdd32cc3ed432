"""What uv printed in trials, and what the portal makes of it."""

from __future__ import annotations

import pytest

from pipelines.builders.local.uv import explanation, fault

UNRESOLVABLE = """error: No solution found when resolving dependencies
  cause: Because there is no version of six==99 and you require six==99, we can conclude that \
your requirements are unsatisfiable.
"""
OFFLINE = """error: Request failed after 3 retries in 9.7s
  cause: Failed to fetch: http://127.0.0.1:9/simple/six/
  cause: error sending request for url (http://127.0.0.1:9/simple/six/)
  cause: Connection refused (os error 111)
"""
MISMATCH = """error: Failed to download `iniconfig==2.3.1`
  cause: Hash mismatch for `iniconfig==2.3.1`

         Expected:
           sha256:00
"""
SYNTAX = """error: Couldn't parse requirement in `r.txt` at position 0
  cause: Trailing `<` is not allowed
"""
BUILD = """error: Failed to build `pkg==1.0`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)
"""


@pytest.mark.parametrize(
    ("text", "reason", "platform"),
    [
        (UNRESOLVABLE, "Unresolvable", False),
        (OFFLINE, "NetworkDown", True),
        (MISMATCH, "HashMismatch", False),
        (SYNTAX, "BadRequirements", False),
        (BUILD, "BuildFailed", False),
        ("error: x\n  cause: No space left on device (os error 28)", "DiskFull", True),
    ],
)
def test_the_cause_and_whose_fault_it_is(text: str, reason: str, platform: bool) -> None:
    found = fault(text, 1, "requirements.txt")
    assert (found.reason, found.platform) == (reason, platform)


def test_a_signal_is_the_platforms_affair() -> None:
    assert fault("", -9, "requirements.txt").platform


def test_uvs_own_words_are_kept() -> None:
    assert "six==99" in fault(UNRESOLVABLE, 1, "requirements.txt").message


def test_warnings_before_the_error_are_left_out_and_the_rest_is_bounded() -> None:
    text = "warning: something else\n" + UNRESOLVABLE + "\n".join(f"line {n}" for n in range(200))
    said = explanation(text).splitlines()
    assert said[0].startswith("error: No solution")
    assert len(said) <= 25
    assert said[-1] == "line 199"
