"""Speed beside peers: what runs in which environment, and how the figures are taken."""
