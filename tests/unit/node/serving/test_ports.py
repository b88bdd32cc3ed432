from __future__ import annotations

import os
import socket
import subprocess
import sys

from node.serving import ports


def test_a_chosen_port_is_free_and_not_taken() -> None:
    taken = set(range(ports.FIRST, ports.LAST))
    assert ports.choose(taken) == ports.LAST


def test_listeners_are_found_in_the_process_tree_only() -> None:
    code = (
        "import socket, threading, subprocess, sys\n"
        'child = \'import socket; s = socket.create_server(("127.0.0.1", 0));'
        "print(s.getsockname()[1], flush=True); input()'\n"
        "t = threading.Thread(target=lambda: subprocess.run([sys.executable, '-c', child]))\n"
        "t.start(); t.join()"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as ours,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        port = int(process.stdout.readline())
        tree = ports.process_tree(process.pid)
        assert ports.listened_by(tree) == {port}
        assert ours.getsockname()[1] in (ports.listened_by([os.getpid()]) or ())
        process.communicate("\n", timeout=10)
