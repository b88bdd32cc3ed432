"""The local builder: environments by uv and OCI images without Docker.

`adapter.py` is the `Builder` that the portal uses. Everything else here is the tool that runs
as an attempt of the node (`python -m pipelines.builders.local`); it imports no Django.
"""
