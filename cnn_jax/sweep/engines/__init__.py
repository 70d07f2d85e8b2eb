"""What trials run on: processes of this machine, or a Ray cluster."""
