"""The node's serving half: endpoints, replicas, activator and autoscaler over Envoy."""

from node.serving.component import Serving

__all__ = ["Serving"]
