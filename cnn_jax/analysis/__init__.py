"""What a finished run shows: measurements, predictions, reports."""
