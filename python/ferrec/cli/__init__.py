"""The command line: `ferrec`, or `python -m ferrec.cli`."""
