"""Inspection of networks, and image filters."""
