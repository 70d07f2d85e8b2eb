"""Measurements, predictions and reports of finished runs."""
