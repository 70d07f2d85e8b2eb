"""This project's stream, by Grain's worker processes."""

import contextlib

import grain
import loader_turn

from cnn_jax.config import Records
from cnn_jax.data.stream import open_streams


def main():
    options = loader_turn.started(loader_turn.parser(__doc__).parse_args())
    config = Records(folder=options.records, image_size=loader_turn.SIDE, workers=options.cores)
    train = open_streams(config, seed=0).train.in_batches(options.batch_size)
    with contextlib.closing(iter(train.at(0))) as batches:
        pairs = ((batch.images, batch.labels) for batch in batches)
        loader_turn.end(options, pairs, f"grain {grain.__version__}")


if __name__ == "__main__":
    main()
