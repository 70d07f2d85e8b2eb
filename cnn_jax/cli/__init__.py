"""The command line: one file for each command, with its flags, its request and what it runs."""
