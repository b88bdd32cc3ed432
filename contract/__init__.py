"""What the command line, the portal and the runners inside images share. Imports nothing of ours."""
