from __future__ import annotations

import pytest

from pipelines.builders.faults import SubmissionFault
from pipelines.builders.local.serve_check import Contents, check_serve

FILES = {
    "serve.py": "from fastapi import FastAPI\napp = FastAPI()\n",
    "start.sh": "uvicorn serve:app\n",
    "api/__init__.py": "",
    "api/main.py": "def create_app(): ...\n",
    "wild.py": "from api.main import *\n",
}


def check(command: str, *, installed: str = "uvicorn") -> None:
    check_serve(
        command,
        Contents(
            files=FILES,
            executables={"python", *installed.split()},
            modules=set(installed.split()),
            read=lambda path: FILES[path].encode() if path in FILES else None,
        ),
    )


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn serve:app --host 0.0.0.0 --port $PORT",
        "exec uvicorn serve:app --port ${PORT}",
        "WORKERS=2 uvicorn serve:app",
        "uvicorn --factory api.main:create_app --port $PORT",
        "uvicorn app:app --app-dir src",
        "uvicorn wild:anything",
        "python serve.py",
        "python3.11 -u serve.py --port $PORT",
        "python -m api.main",
        "python -m uvicorn serve:app",
        "python -m http.server $PORT",
        "python -c 'import serve'",
        "bash start.sh",
        "./start.sh",
        "/usr/bin/env true",
        "cd api && uvicorn main:create_app",
        "some-tool-of-the-base-image --port $PORT",
        "$SERVER --port 1",
        "sh -c 'uvicorn serve:app'",
    ],
)
def test_what_may_start_passes(command: str) -> None:
    check(command)


@pytest.mark.parametrize(
    ("command", "reason", "words"),
    [
        ("uvicorn server:app", "ServeFileMissing", "no server.py"),
        ("uvicorn api.gone:app", "ServeFileMissing", "no api/gone.py"),
        ("uvicorn serve:application", "ServeObjectMissing", "serve.py defines no `application`"),
        ("gunicorn serve:app", "ServeProgramMissing", "gunicorn is not in requirements.txt"),
        ("waitress-serve serve:app", "ServeProgramMissing", "Add a line `waitress`"),
        ("streamlit run x.py", "ServeProgramMissing", "streamlit"),
        ("python -m gunicorn serve:app", "ServeProgramMissing", "gunicorn"),
        ("python -m uvicorn gone:app", "ServeFileMissing", "gone"),
        ("python -m nowhere", "ServeModuleMissing", "nowhere"),
        ("python gone.py", "ServeFileMissing", "gone.py"),
        ("python /opt/hekaton/code/gone.py", "ServeFileMissing", "gone.py"),
        ("bash gone.sh", "ServeFileMissing", "gone.sh"),
        ("./gone.sh", "ServeFileMissing", "gone.sh"),
        ("/opt/hekaton/env/bin/gunicorn x:y", "ServeProgramMissing", "gunicorn"),
        ("uvicorn 'serve:app", "ServeCommandBroken", "quote"),
        ("   ", "ServeCommandEmpty", "empty"),
    ],
)
def test_what_cannot_start_is_named(command: str, reason: str, words: str) -> None:
    with pytest.raises(SubmissionFault) as caught:
        check(command)
    assert caught.value.reason == reason
    assert words in caught.value.message
