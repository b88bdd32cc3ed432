"""`python -m portal.up`: the embedded portal as a handful of supervised processes."""
