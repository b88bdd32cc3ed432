"""Builds on Google Cloud Build, images in Artifact Registry.

A build runs the same tool as the local builder (`python -m pipelines.builders.local`) in the
portal's own image, so lock, checks, layers and digests are the same wherever they are made.
"""
