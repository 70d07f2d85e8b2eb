"""The error of weights that cannot be used."""


class WeightsError(Exception):
    """Weights that cannot be read or do not fit a network; the message lists every entry at fault."""
