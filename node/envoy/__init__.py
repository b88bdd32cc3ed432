"""Envoy as the node's data plane: its configuration (pure), its files and its process."""
