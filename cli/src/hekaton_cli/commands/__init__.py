"""One module a noun or verb. A command reads its options, calls the client, and shows."""
