"""Start the embedded portal: checks, migrations, processes, first account, example.

Ctrl-C stops everything in order; a second Ctrl-C kills.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from portal.up import checks
from portal.up.checks import CannotStart
from portal.up.lock import MARK, HomeLock, end_leftovers
from portal.up.processes import Output, Service

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 90.0


class Up:
    def __init__(self, example: bool) -> None:
        checks.check_python()
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
        home = Path(os.environ.get("PORTAL_HOME", ROOT / "var")).resolve()
        checks.check_home(home)
        os.environ["PORTAL_HOME"] = str(home)
        self.home = home
        self.lock = HomeLock(home)
        self.lock.take()
        os.environ[MARK] = str(home)
        self.output = Output(home / "logs")
        left = end_leftovers(home)
        if left:
            self.output.say(f"Ended {left} processes that a killed portal had left behind.")
        self.stopping = threading.Event()
        self.interrupts = 0
        self.example = example

    def run(self) -> int:
        import django

        django.setup()
        from django.conf import settings

        checks.check_port(settings.BIND, settings.PORT, "PORT")
        checks.check_port("127.0.0.1", settings.GATEWAY_PORT, "GATEWAY_PORT")
        self.output.say("Preparing the database ...")
        from django.core.management import call_command

        call_command("migrate", verbosity=0, interactive=False)
        link = self._first_account()
        services = self._services()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)
        try:
            for service in services:
                service.start(self.output)
            if self._wait_ready(services):
                self._welcome(link)
                self._watch(services)
        finally:
            self._stop(services)
        return 0

    def _services(self) -> list[Service]:
        from django.conf import settings

        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        python = sys.executable
        services = []
        if not os.environ.get("REDIS_URL") and not os.environ.get("REDIS_URL_FILE"):
            folder = self.home / "queue"
            folder.mkdir(exist_ok=True)
            socket = str(settings.RUNTIME / "valkey.sock")
            services.append(
                Service(
                    "queue",
                    [checks.valkey_program(), "--port", "0", "--unixsocket", socket,
                     "--unixsocketperm", "700", "--dir", str(folder), "--appendonly", "yes",
                     "--save", "", "--loglevel", "nothing"],
                    env,
                )
            )  # fmt: skip
        services += [
            Service(
                "node",
                [python, "-m", "node", "--home", str(self.home),
                 "--gateway-host", settings.BIND, "--gateway-port", str(settings.GATEWAY_PORT),
                 "--gateway-url", settings.GATEWAY_URL],
                env,
                stop_s=40.0,
            ),
            Service(
                "web",
                [python, "-m", "uvicorn", "portal.asgi:application", "--host", settings.BIND,
                 "--port", str(settings.PORT), "--no-access-log", "--log-level", "warning",
                 "--timeout-graceful-shutdown", "3", "--lifespan", "off", "--no-server-header"],
                env,
            ),
            Service(
                "worker",
                [python, "-m", "celery", "-q", "-A", "portal", "worker", "-P", "threads", "-c",
                 str(settings.WORKER_THREADS), "--loglevel", "warning", "--without-gossip",
                 "--without-mingle", "--without-heartbeat"],
                {**env, "PYTHONWARNINGS": "ignore"},
                stop_s=15.0,
            ),
            Service("scheduler", [python, str(ROOT / "manage.py"), "scheduler"], env),
        ]  # fmt: skip
        return services

    def _first_account(self) -> str | None:
        """The one-time link's path; the account and its team are made on the first start."""
        from django.conf import settings

        from portal.accounts.models import Team, User
        from portal.accounts.principals import Principal
        from portal.accounts.services import sign_in_links, teams

        user = User.objects.order_by("pk").first()
        if user is None:
            name = os.environ.get("USER") or "admin"
            user = User.objects.create(username=name, is_operator=True)
            user.set_unusable_password()
            user.save()
        if not Team.objects.exists():
            teams.create(principal=Principal(user=user), slug="demo", name="Demo")
        if settings.SIGN_IN_METHODS:
            return None
        return sign_in_links.create(user)

    def _wait_ready(self, services: list[Service]) -> bool:
        """Until web, node and worker answer. False when it is to stop."""
        import httpx
        from django.conf import settings

        from node.client import NodeClient, NodeError

        node = NodeClient(settings.RUNTIME / "node.sock")
        began = time.monotonic()
        url = f"http://127.0.0.1:{settings.PORT}/livez"
        while not self.stopping.wait(0.1):
            for service in services:
                service.watch(self.output)
            try:
                if httpx.get(url, timeout=2).status_code == 200 and node.info():
                    return True
            except (httpx.HTTPError, NodeError):
                pass
            if time.monotonic() - began > READY_WITHIN_S:
                raise CannotStart(
                    f"The portal did not come up within {READY_WITHIN_S:.0f} s; "
                    f"the logs are in {self.home / 'logs'}."
                )
        return False

    def _welcome(self, link: str | None) -> None:
        from django.conf import settings

        say = self.output.say
        say("")
        say(f"Hekatoncheir is ready at {settings.URL}")
        if link:
            say(f"Sign in once with this link: {settings.URL}{link}")
        else:
            say("Sign in with your company account.")
        if self.example:
            thread = threading.Thread(target=self._run_example, daemon=True)
            thread.start()
        else:
            say("Press Ctrl-C to stop.")

    def _run_example(self) -> None:
        """The worked example, once; its last lines are the endpoint and a request to paste."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "example"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            self.output.say(line.rstrip())
        process.wait()
        self.output.say("Press Ctrl-C to stop.")

    def _watch(self, services: list[Service]) -> None:
        while not self.stopping.wait(0.2):
            for service in services:
                service.watch(self.output)

    def _interrupt(self, *_: object) -> None:
        self.interrupts += 1
        self.stopping.set()

    def _stop(self, services: list[Service]) -> None:
        """In order: nobody new comes in, then what works, then the node, then the queue."""
        self.output.say("Stopping ...")
        order = {"web": 0, "scheduler": 0, "worker": 1, "node": 2, "queue": 3}
        for rank in range(4):
            group = [s for s in services if order[s.name] == rank]
            for service in group:
                service.ask_to_stop()
            for service in group:
                self._wait(service)
        self.output.say("Stopped.")

    def _wait(self, service: Service) -> None:
        began = time.monotonic()
        while not service.wait_stopped(0.1):
            late = time.monotonic() - began > service.stop_s
            if late or self.interrupts > 1:
                service.kill()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m portal.up", description=__doc__)
    parser.add_argument("--no-example", action="store_true", help="do not run the worked example")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    try:
        return Up(example=not options.no_example).run()
    except CannotStart as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        from portal.env import ConfigurationError

        if isinstance(error, ConfigurationError):
            print(f"Cannot start: {error}", file=sys.stderr)
            return 1
        raise


if __name__ == "__main__":
    sys.exit(main())
