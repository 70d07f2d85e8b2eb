"""The page that `launch.py inspect` writes."""
