"""The generated pages are what the code would write now."""

from pathlib import Path

from hekaton_cli.reference import cli_reference, contract_reference

DOCS = Path(__file__).parents[3] / "docs"


def test_the_command_reference_is_up_to_date() -> None:
    assert (DOCS / "cli.md").read_text() == cli_reference(), "python -m hekaton_cli.reference docs"


def test_the_contract_reference_is_up_to_date() -> None:
    assert (DOCS / "contract.md").read_text() == contract_reference()
