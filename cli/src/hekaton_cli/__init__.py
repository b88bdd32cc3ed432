"""The `hekaton` command, and a Python client of the portal:

from hekaton_cli import Client

client = Client("https://portal.example.com", token="...")
run = client.submit(Path("."), team="acme", message="deeper trees")
"""

from __future__ import annotations

from hekaton_cli.client import Client
from hekaton_cli.errors import HekatonError

__all__ = ["Client", "HekatonError"]
