"""The error of weights that cannot be used."""


class WeightsError(Exception):
    """Weights that cannot be read or do not fit a network; the message lists every entry at fault.

    Args:
      message: May quote a file's own words; what a terminal would not show as it stands is replaced.
    """

    def __init__(self, message: str):
        super().__init__(
            "".join(
                letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in message
            )
        )
