"""This project's occlusion and guided backpropagation, as its users call them."""

import inspect_turn
import jax

from cnn_jax import models
from cnn_jax.config.model import ResNet
from cnn_jax.inspect import attribution
from cnn_jax.inspect.occlusion import occlusion
from cnn_jax.pretrained import from_torch

parser = inspect_turn.parser(__doc__)
parser.add_argument("--lowering", default="auto", help="of the network's convolutions")
options = parser.parse_args()
images, classes, entries = inspect_turn.data(options)
config = ResNet(lowering=options.lowering)
model, variables = models.create(config, 1000), jax.tree.map(jax.numpy.asarray, from_torch(entries, config))
attribution.BATCH_PIXELS = options.batch_size * images.shape[1] * images.shape[2]


def compute():
    """The attributions of all images, channels last."""
    if options.method == "guided_backprop":
        return attribution.guided_backprop(model, variables, images, classes)
    return occlusion(model, variables, images[:1], classes[:1], inspect_turn.WINDOW, inspect_turn.STRIDE)


inspect_turn.end(options, compute, f"jax {jax.__version__}")
