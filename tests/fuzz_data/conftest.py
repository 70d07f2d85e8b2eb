"""Flags of the random inputs; `make fuzz-data` passes them."""


def pytest_addoption(parser):
    parser.addoption("--inputs", type=int, default=None, help="how many random inputs")
    parser.addoption("--first-seed", type=int, default=None, help="seed of the first of them")
