"""The generated pages are what the code would write now."""

import subprocess
import sys
from pathlib import Path

from hekaton_cli.reference import cli_reference, contract_reference

DOCS = Path(__file__).parents[3] / "docs"


def test_the_command_reference_is_up_to_date() -> None:
    assert (DOCS / "cli.md").read_text() == cli_reference(), "python -m hekaton_cli.reference docs"


def test_the_contract_reference_is_up_to_date() -> None:
    assert (DOCS / "contract.md").read_text() == contract_reference()


def test_the_command_needs_nothing_of_the_portal() -> None:
    """It installs alone, so it must not come to import Django or the portal by the way."""
    code = (
        "import sys, hekaton_cli.main\n"
        "own = {'django', 'portal', 'pipelines', 'serving', 'node', 'rest_framework', 'celery'}\n"
        "print(sorted(own & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
