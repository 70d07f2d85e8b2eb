"""Command line. Each command has a file with its flags, its parsed request and its implementation."""
