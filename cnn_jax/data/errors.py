"""Errors for images that cannot be had."""


class DataError(Exception):
    """An input that cannot be used; the message names the file, what is wrong, and what helps."""


class UnreadPicturesError(Exception):
    """Some pictures were predicted, and others cannot be read; the message lists them."""


class UnreadableRecordError(Exception):
    """A record that is damaged, or cannot be read now, found while records are streamed; the message names it."""
