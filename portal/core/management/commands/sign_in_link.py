"""`manage.py sign_in_link`: a fresh one-time link for the first account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portal.accounts.models import User
from portal.accounts.services import sign_in_links


class Command(BaseCommand):
    help = "Print a one-time sign-in link (embedded default only)."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.SIGN_IN_METHODS:
            raise CommandError("Single sign-on is configured; there are no links.")
        user = User.objects.order_by("pk").first()
        if user is None:
            raise CommandError("There is no account yet; run `make up` first.")
        self.stdout.write(f"{settings.URL}{sign_in_links.create(user)}")
