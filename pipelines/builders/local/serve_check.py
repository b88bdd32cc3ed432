"""Finding, before anything is deployed, that a serve command cannot start. Pure.

Only what is certain is reported; a command that this cannot read is left to the verification.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pipelines.builders.faults import SubmissionFault

PORTABLE = frozenset(
    [
        "sh",
        "env",
        "exec",
        "cd",
        "export",
        "set",
        "test",
        "echo",
        "cat",
        "sleep",
        "true",
        "false",
        "mkdir",
        "cp",
        "mv",
        "rm",
        "ln",
        "sed",
        "grep",
        "awk",
        "date",
        "id",
        "uname",
        "basename",
        "dirname",
        "nice",
        "nohup",
        "timeout",
        "xargs",
        "tee",
        "tr",
        "head",
        "tail",
        "cut",
        "sort",
    ]
)
PYTHONS = re.compile(r"python(3(\.\d+)?)?")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
SHELL = re.compile(r"[;&|<>(){}`\n]|\$\(")
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# Servers that take an `module:attribute` argument, and how their package is called on PyPI.
APPLICATION_SERVERS = {
    "uvicorn": "uvicorn",
    "gunicorn": "gunicorn",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "daphne": "daphne",
    "waitress-serve": "waitress",
}
OTHER_SERVERS = {
    "fastapi": "fastapi[standard]",
    "flask": "flask",
    "streamlit": "streamlit",
    "gradio": "gradio",
    "mlflow": "mlflow",
    "bentoml": "bentoml",
    "litestar": "litestar",
    "voila": "voila",
}
APPLICATION = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)(\(.*\))?")


@dataclass(frozen=True)
class Contents:
    """What the image will hold: `files` of the snapshot, `executables` and importable top-level
    `modules` of the environment, `read` for a snapshot file's text."""

    files: Collection[str]
    executables: Collection[str]
    modules: Collection[str]
    read: Callable[[str], bytes | None]
    requirements: str = "requirements.txt"


def check_serve(command: str, contents: Contents) -> None:
    """Raises SubmissionFault where the command certainly cannot start in the image."""
    words = simple_command(command)
    if words is None:
        return
    if not words:
        raise SubmissionFault("ServeCommandEmpty", "serve.run in hekaton.yaml is empty.")
    program, arguments = words[0], words[1:]
    if PYTHONS.fullmatch(posixpath.basename(program)):
        _check_python(arguments, contents)
    elif "/" in program:
        _check_path(program, contents)
    elif program in ("sh", "bash") and arguments and not arguments[0].startswith("-"):
        _must_have_file(arguments[0], contents)
    elif program not in contents.executables and program not in PORTABLE:
        _missing_program(program, contents)
    elif program in APPLICATION_SERVERS:
        _check_application(arguments, contents)


def simple_command(command: str) -> list[str] | None:
    """The words of a plain command, without leading assignments, `exec` and `env`; None where
    the shell would do more with it than run one program."""
    if SHELL.search(command):
        return None
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        raise SubmissionFault(
            "ServeCommandBroken", "serve.run in hekaton.yaml has a quote that is never closed."
        ) from None
    while words and (ASSIGNMENT.fullmatch(words[0]) or words[0] in ("exec", "env")):
        words.pop(0)
    return None if words and "$" in words[0] else words


def _check_python(arguments: list[str], contents: Contents) -> None:
    rest = list(arguments)
    while rest and rest[0] in ("-u", "-O", "-OO", "-B", "-I", "-E", "-s", "-S", "-q", "-v"):
        rest.pop(0)
    if rest[:1] == ["-m"] and len(rest) > 1 and MODULE.fullmatch(rest[1]):
        module = rest[1]
        top = module.partition(".")[0]
        package = {**APPLICATION_SERVERS, **OTHER_SERVERS}.get(module)
        if _in_snapshot(module, contents) or top in contents.modules:
            if module in APPLICATION_SERVERS:
                _check_application(rest[2:], contents)
        elif package:
            raise _not_required(module, package, contents)
        elif not _standard_library(top):
            raise SubmissionFault(
                "ServeModuleMissing",
                f"serve.run starts the module {module}, which is neither in the submitted folder "
                f"nor installed by {contents.requirements}.",
            )
    elif rest and rest[0].endswith(".py"):
        _must_have_file(rest[0], contents)


def _check_application(arguments: list[str], contents: Contents) -> None:
    """The `module:attribute` argument of an application server."""
    found = next((m for a in arguments if (m := APPLICATION.fullmatch(a))), None)
    if found is None or any(a.partition("=")[0] in FOLDERS for a in arguments):
        return
    module, attribute = found.group(1), found.group(2)
    if module.partition(".")[0] in contents.modules:
        return
    path = _in_snapshot(module, contents)
    if path is None:
        raise SubmissionFault(
            "ServeFileMissing",
            f"serve.run loads {found.group(0)}, but the submitted folder has no "
            f"{module.replace('.', '/')}.py. Add the file (is it ignored?) or correct serve.run.",
        )
    text = (contents.read(path) or b"").decode("utf-8", "replace")
    if path.endswith(".py") and text and not _may_define(text, attribute):
        raise SubmissionFault(
            "ServeObjectMissing",
            f"serve.run loads {found.group(0)}, but {path} defines no `{attribute}`.",
        )


FOLDERS = frozenset({"--app-dir", "--chdir", "--working-dir", "--factory-path", "--pythonpath"})


def _may_define(source: str, name: str) -> bool:
    if re.search(r"import\s*\*|globals\(|setattr\(|exec\(|__getattr__", source):
        return True
    return re.search(rf"\b{re.escape(name)}\b", source) is not None


def _in_snapshot(module: str, contents: Contents) -> str | None:
    """The file or folder of the snapshot that `import module` would find."""
    base = module.replace(".", "/")
    for path in (f"{base}.py", f"{base}/__init__.py", f"{base}/__main__.py"):
        if path in contents.files:
            return path
    if any(f.startswith((f"{base}/", f"{base}.")) for f in contents.files):
        return base  # a namespace package or an extension module
    return None


def _check_path(program: str, contents: Contents) -> None:
    if program.startswith("/opt/hekaton/env/bin/"):
        name = posixpath.basename(program)
        if name not in contents.executables:
            _missing_program(name, contents)
    elif not program.startswith("/"):
        _must_have_file(program, contents)


def _must_have_file(path: str, contents: Contents) -> None:
    name = posixpath.normpath(path.removeprefix("/opt/hekaton/code/"))
    if name.startswith("/") or "$" in name or name in contents.files:
        return
    raise SubmissionFault(
        "ServeFileMissing",
        f"serve.run starts {name}, which is not in the submitted folder. Add the file (is it "
        "ignored by .hekatonignore or .gitignore?) or correct serve.run in hekaton.yaml.",
    )


def _missing_program(program: str, contents: Contents) -> None:
    package = {**APPLICATION_SERVERS, **OTHER_SERVERS}.get(program)
    if package:
        raise _not_required(program, package, contents)


def _not_required(program: str, package: str, contents: Contents) -> SubmissionFault:
    return SubmissionFault(
        "ServeProgramMissing",
        f"serve.run starts {program}, but {package} is not in {contents.requirements}. "
        f"Add a line `{package}`.",
    )


def _standard_library(name: str) -> bool:
    return name in sys.stdlib_module_names
