"""`python -m pipelines.builders.local prepare|package REQUEST RESULT`

Reads the request, writes the result file whole and exits: 0 done, 1 the submission is at fault,
2 the machine or network is. Progress and errors go to standard output and error, the log.
"""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import replace
from os.path import abspath
from pathlib import Path
from typing import Any

from pipelines.builders.faults import BuildFault, PlatformFault
from pipelines.builders.local import documents

USAGE = 64


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or arguments[0] not in ("prepare", "package"):
        print(__doc__, file=sys.stderr)
        return USAGE
    phase, request, result = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        report = _run(phase, request, result)
    except BuildFault as fault:
        return _failed(fault, result)
    except OSError as error:
        return _failed(_from_os_error(error), result)
    except Exception as error:
        traceback.print_exc()
        return _failed(PlatformFault("BuilderError", f"The builder failed: {error!r}"), result)
    documents.write(report, result)
    return 0


def _run(phase: str, request: Path, result: Path) -> Any:
    if phase == "prepare":
        from pipelines.builders.local.prepare import prepare

        wanted = documents.read(documents.PrepareRequest, request)
        return prepare(
            replace(wanted, home=abspath(wanted.home), snapshot=abspath(wanted.snapshot))
        )
    from pipelines.builders.local.package import package

    asked = documents.read(documents.PackageRequest, request)
    return package(
        replace(
            asked,
            home=abspath(asked.home),
            snapshot=abspath(asked.snapshot),
            model=abspath(asked.model) if asked.model else None,
        ),
        beside=result.resolve().parent,
    )


def _failed(fault: BuildFault, result: Path) -> int:
    print(f"{fault.reason}: {fault.message}", file=sys.stderr, flush=True)
    report = documents.FaultReport(
        reason=fault.reason, message=fault.message, platform=fault.platform
    )
    documents.write(report, result)
    return 2 if fault.platform else 1


def _from_os_error(error: OSError) -> PlatformFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PlatformFault(
            "DiskFull",
            "The disk of the portal's home is full. Free space there, then run this step again.",
        )
    return PlatformFault("FileError", f"The builder cannot use its files: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
