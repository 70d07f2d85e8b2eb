"""The documentation's site and figures: `make docs` and `make figures`."""
