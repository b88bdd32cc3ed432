"""Who we are and where the portal is: ~/.config/hekaton/config.toml (0600), by context.

    current = "local"
    [contexts.local]
    server = "http://127.0.0.1:8000"
    token = "..."
    team = "acme"
    [contexts.local.keys]
    "acme/wine/wine" = "..."        # endpoint keys

The environment wins: HEKATON_SERVER, HEKATON_TOKEN, HEKATON_TEAM, HEKATON_CONTEXT,
HEKATON_CONFIG (the file itself).
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hekaton_cli.errors import UsageError

DEFAULT_SERVER = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Context:
    server: str = DEFAULT_SERVER
    token: str = ""
    team: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    current: str = "default"
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def context(self, name: str = "") -> Context:
        """The named or current context, with what the environment says on top.

        Raises:
            UsageError: a context that nobody has made was asked for.
        """
        wanted = name or os.environ.get("HEKATON_CONTEXT", "")
        if wanted and wanted not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise UsageError(
                f"There is no context `{wanted}` (known: {known}).",
                hint=f"Make it: `hekaton login SERVER --context {wanted}`.",
            )
        found = self.contexts.get(wanted or self.current, Context())
        return replace(
            found,
            server=os.environ.get("HEKATON_SERVER", found.server).rstrip("/"),
            token=os.environ.get("HEKATON_TOKEN", found.token),
            team=os.environ.get("HEKATON_TEAM", found.team),
        )

    def having(self, name: str, context: Context | None) -> Config:
        """With the context set and current, or removed where it is None."""
        others = {key: value for key, value in self.contexts.items() if key != name}
        if context is not None:
            return Config(name, {**others, name: context})
        left = self.current if self.current in others else next(iter(sorted(others)), "default")
        return Config(left, others)


def path() -> Path:
    given = os.environ.get("HEKATON_CONFIG")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "hekaton" / "config.toml"


def load() -> Config:
    """What is stored; an empty Config where nothing is.

    Raises:
        UsageError: the file is there but is not what `save` writes.
    """
    file = path()
    try:
        data = tomllib.loads(file.read_text("utf-8"))
        contexts = {name: Context(**values) for name, values in data.get("contexts", {}).items()}
        return Config(str(data.get("current", "default")), contexts)
    except FileNotFoundError:
        return Config()
    except (OSError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{file} cannot be read: {error}.",
            hint="Repair or remove it, then `hekaton login`.",
        ) from error


def save(config: Config) -> Path:
    """Replace the file whole, readable by its owner only."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(_toml(config))
    draft.replace(file)
    return file


def _toml(config: Config) -> str:
    lines = [f"current = {_quoted(config.current)}"]
    for name, context in sorted(config.contexts.items()):
        lines += ["", f"[contexts.{_quoted(name)}]"]
        lines += [
            f"{key} = {_quoted(getattr(context, key))}" for key in ("server", "token", "team")
        ]
        if context.keys:
            lines += ["", f"[contexts.{_quoted(name)}.keys]"]
            lines += [f"{_quoted(k)} = {_quoted(v)}" for k, v in sorted(context.keys.items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's, but for DEL."""
    return json.dumps(text).replace("\x7f", "\\u007f")
