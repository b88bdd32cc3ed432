"""News for other apps: merely hints beside their own sweeps. Sent after commit."""

from django.dispatch import Signal

run_finished = Signal()  # run_id, project_id, status
champion_changed = Signal()  # project_id, model_version_id
