"""The live page: a network with its weights in one HTML file, computed by JavaScript."""
