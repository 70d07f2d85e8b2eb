"""Flax Linen as most people write it: nn.Conv, optax, one jitted step that donates its state, a Python loop."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import turn
from flax.training import train_state
from flax_networks import NETWORKS
from jax_device import device

this = turn.Turn(turn.parser(__doc__).parse_args())
images = this.images.astype("float32") / 255
test_images = None if this.test_images is None else this.test_images.astype("float32") / 255
model = NETWORKS[this.network](this.classes, jnp.dtype(this.precision))
if this.optimizer == "adam":
    optimizer = optax.adam(this.learning_rate, eps=turn.ADAM_EPS)
else:
    optimizer = optax.sgd(this.learning_rate, momentum=turn.MOMENTUM)


class TrainState(train_state.TrainState):
    """With the running statistics of batch normalisation."""

    batch_stats: dict


@functools.partial(jax.jit, donate_argnums=0)
def train_step(state, images, labels):
    """One step, and its loss."""
    dropout = jax.random.fold_in(jax.random.key(1), state.step)

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, updates = state.apply_fn(
            variables, images, train=True, rngs={"dropout": dropout}, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updates

    (loss, updates), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    state = state.apply_gradients(grads=gradients, batch_stats=updates.get("batch_stats", {}))
    return state, loss


@jax.jit
def right(state, images, labels):
    """How many images are classified rightly."""
    logits = state.apply_fn({"params": state.params, "batch_stats": state.batch_stats}, images, train=False)
    return jnp.sum(jnp.argmax(logits, -1) == labels)


@jax.jit
def begin(key):
    """The state before the first step."""
    variables = model.init(key, jnp.zeros((1, *images.shape[1:])), train=False)
    return TrainState.create(
        apply_fn=model.apply, params=variables["params"], tx=optimizer, batch_stats=variables.get("batch_stats", {})
    )


state, rng = begin(jax.random.key(0)), np.random.default_rng(0)
loss = accuracy = None


def batches(order):
    return (order[begun : begun + this.batch_size] for begun in range(0, len(order), this.batch_size))


def epoch():
    """One pass over the training images, then the accuracy on the test images, where there are any."""
    global state, loss, accuracy
    for chosen in batches(rng.permutation(len(images))):
        state, loss = train_step(state, images[chosen], this.labels[chosen])
    loss.block_until_ready()
    if test_images is not None:
        parts = np.split(np.arange(len(test_images)), 20)
        counts = [right(state, test_images[part], this.test_labels[part]) for part in parts]
        accuracy = sum(map(int, counts)) / len(test_images)


this.end(
    seconds=this.clock(epoch),
    parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    loss=float(loss),
    accuracy=accuracy,
    versions=f"flax {flax.__version__}, jax {jax.__version__}",
    device=device(),
)
