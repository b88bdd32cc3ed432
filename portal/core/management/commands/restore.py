"""`manage.py restore FOLDER`: put a backup back (docs/backup.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.core.backup import BackupError, restore
from portal.up.checks import CannotStart
from portal.up.lock import HomeLock


class Command(BaseCommand):
    help = "Put a backup back. Stop every process of the portal first."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--force", action="store_true", help="replace what an installation in use has"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            HomeLock(settings.HOME).take()
            manifest = restore(options["folder"].resolve(), force=options["force"])
        except (BackupError, CannotStart) as error:
            raise CommandError(str(error)) from error
        call_command("migrate", verbosity=0, interactive=False)
        self.stdout.write(f"Restored the backup of {manifest['made_at']}; start the portal.")
