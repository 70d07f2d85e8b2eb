"""Arguments of the wrong type as a user passes them."""

import jaxtyping
import pytest


@pytest.fixture
def untyped(monkeypatch):
    """Lets wrong types through to the function: elsewhere in the tests the annotations are checked before it runs."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
