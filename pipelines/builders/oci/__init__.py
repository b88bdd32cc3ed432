"""OCI images without a daemon: layers, image layouts, registries. Knows nothing of ours.

Source: the OCI image specification 1.1 and distribution specification 1.1.
"""
