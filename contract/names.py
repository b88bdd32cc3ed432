"""Names that both sides of the contract must spell alike."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MANIFEST = "hekaton.yaml"
API_VERSION = "hekaton/v1"

# Inside images and sandboxes.
ENV_DIR = "/opt/hekaton/env"
CODE_DIR = "/opt/hekaton/code"
MODEL_DIR = "/opt/hekaton/model"
DATA_DIR = "/hekaton/data"
INPUTS_DIR = "/hekaton/inputs"
OUTPUT_DIR = "/hekaton/output"
METRICS_DIR = "/hekaton/metrics"
METRICS_FILE = "metrics.jsonl"
PARAMS_FILE = "/hekaton/params.json"
HOME_DIR = "/hekaton/home"

HEADER_ENDPOINT = "x-hekaton-endpoint"
HEADER_REVISION = "x-hekaton-revision"
HEADER_REQUEST_ID = "x-request-id"

LABEL_PREFIX = "io.hekaton"
STEP_NAMES_RESERVED = frozenset({"prepare", "gate", "build", "verify", "deploy"})
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def reserved_variable(name: str) -> bool:
    """Whether the platform sets this variable itself."""
    return name in {"PORT", "PATH", "HOME", "TMPDIR"} or name.startswith(("HEKATON_", "AIP_"))


def variable(name: str) -> str:
    """A slot, step or parameter as the tail of a variable name: `my-set` -> `MY_SET`."""
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def param_variables(params: Mapping[str, Any]) -> dict[str, str]:
    """`HEKATON_PARAM_<NAME>`: strings as they are, everything else as JSON."""
    return {
        f"HEKATON_PARAM_{variable(name)}": value if isinstance(value, str) else json.dumps(value)
        for name, value in params.items()
    }
