"""`manage.py backup FOLDER`: database, keys, objects and images (docs/backup.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.core.backup import BackupError, back_up


class Command(BaseCommand):
    help = "Copy database, keys, objects and images to a new folder. The portal may be running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="must not exist")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"].resolve()
        try:
            manifest = back_up(folder)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Backed up to {folder} at {manifest['made_at']}.")
        if "objects" not in manifest["trees"]:
            self.stdout.write("Objects are in a bucket and are not in this copy.")
        self.stdout.write("It holds the keys: keep it where only operators can read.")
