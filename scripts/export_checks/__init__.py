"""Exported networks of full size beside the live ones."""
