from django.apps import AppConfig


class ServingConfig(AppConfig):
    name = "serving"
    label = "serving"

    def ready(self) -> None:
        from pipelines.signals import champion_changed
        from serving import following

        champion_changed.connect(following.champion_changed, dispatch_uid="serving.following")
