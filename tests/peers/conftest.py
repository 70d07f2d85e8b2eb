"""Flags of the comparison with the peers."""


def pytest_addoption(parser):
    parser.addoption("--peers", help="Python of the environment with PyTorch and TensorFlow")
    parser.addoption("--tfds", help="Python of the environment with tensorflow-datasets and datasets")
    parser.addoption("--seed", type=int, default=0, help="of the random cases")
    parser.addoption("--cases", type=int, default=300, help="how many random cases")
    parser.addoption("--networks", help="torchvision's names of networks, joined by commas, or all")
    parser.addoption("--photographs", help="folder of pictures; by default scikit-learn's two")
