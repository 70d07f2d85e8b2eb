"""This project's stream, made by threads of the run's own process, or by worker processes of one thread each."""

import contextlib
from pathlib import Path

import grain
import loader_turn

from cnn_jax.config import Records
from cnn_jax.data.sources.pictures import open_streams


def main():
    parser = loader_turn.parser(__doc__)
    parser.add_argument("--kind", required=True, help="which of the folders of records")
    parser.add_argument("--processes", action="store_true", help="in place of threads")
    options = loader_turn.started(parser.parse_args())
    workers, threads = (options.cores, 1) if options.processes else (0, options.cores)
    folder = str(Path(options.records) / options.kind)
    config = Records(folder=folder, image_size=loader_turn.SIDE, workers=workers, threads=threads)
    train = open_streams(config, seed=0).train.in_batches(options.batch_size)
    with contextlib.closing(iter(train.at(0))) as batches:
        pairs = ((batch.images, batch.labels) for batch in batches)
        loader_turn.end(options, pairs, f"grain {grain.__version__}")


if __name__ == "__main__":
    main()
