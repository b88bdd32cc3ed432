"""`python -m node --home PORTAL_HOME`: the agent that owns this machine's attempts and replicas."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from node.app import build
from node.config import Config


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m node", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--gateway-host", default="127.0.0.1")
    parser.add_argument("--gateway-port", type=int, default=8080)
    parser.add_argument("--gateway-url", default="", help="what clients are told")
    parser.add_argument("--cpu-m", type=int, default=0, help="millicores for attempts")
    parser.add_argument("--memory-bytes", type=int, default=0)
    parser.add_argument("--node-id", default="")
    parser.add_argument("--no-serving", action="store_true", help="attempts only, no data plane")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(levelname).1s %(name)s: %(message)s", stream=sys.stderr
    )
    config = Config(
        home=options.home.resolve(),
        gateway_host=options.gateway_host,
        gateway_port=options.gateway_port,
        gateway_url=options.gateway_url,
        cpu_m=options.cpu_m,
        memory_bytes=options.memory_bytes,
        node_id=options.node_id,
    )
    node = build(config)
    if not options.no_serving:
        from node.serving import Serving

        node.add(Serving(config, node.processes, node.events))
    asyncio.run(node.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
