"""The portal: Django project, and what the pipelines and serving apps stand on."""

VERSION = "0.1.0"
