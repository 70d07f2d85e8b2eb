"""Random damaged and odd inputs, each with what must come of it."""
