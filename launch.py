"""Runs a command: `python launch.py --help` lists them; `cnn-jax` is the same where the package is installed."""

from cnn_jax.cli.start import start

if __name__ == "__main__":
    start()
