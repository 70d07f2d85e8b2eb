"""Attributions of torchvision's ResNet-18 with the golden weights against captum's."""

import subprocess
from pathlib import Path

import golden_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from double_precision import double_precision, in_double_precision

from cnn_jax import models, ops
from cnn_jax.config.model import ResNet
from cnn_jax.inspect import attribution
from cnn_jax.inspect.grad_cam import grad_cam, guided_grad_cam
from cnn_jax.inspect.occlusion import occlusion
from cnn_jax.pretrained import from_torch
from peers.captum_cases import BASELINE, CLASSES, STEPS, WINDOWS

TOLERANCE = 1e-4  # of the largest value


@pytest.fixture(scope="module")
def theirs(pytestconfig, tmp_path_factory):
    """Arrays that `captum_reference.py` writes."""
    peers = pytestconfig.getoption("--peers")
    if not peers:
        pytest.fail("--peers=PYTHON is missing; `make test-peers` passes it")
    path = tmp_path_factory.mktemp("captum") / "attributions.npz"
    words = [peers, "-m", "peers.captum_reference", str(path)]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def network():
    """The network, its variables, the images and their classes."""
    config = ResNet()
    images = golden_weights.images_of("eval").transpose(0, 2, 3, 1)
    return models.create(config, 1000), from_torch(golden_weights.draw("resnet18"), config), images, np.array(CLASSES)


def check_equal(ours, expected, tolerance=TOLERANCE):
    assert ours.shape == expected.shape
    largest = np.abs(expected).max()
    assert largest > 0
    apart = np.abs(ours - expected).max() / largest
    print(f"{apart:.1e} of the largest value apart")
    assert apart < tolerance


def test_the_peers_network_is_torchvisions(theirs):
    expected = np.load(golden_weights.GOLDEN / "resnet18_eval.npz")["logits"]
    # Torchvision's logits are of float32 sums.
    np.testing.assert_allclose(theirs["logits"], expected, rtol=0, atol=1e-5 * expected.std())


def test_captum_reaches_modules_that_are_called_twice(theirs):
    """Torchvision's blocks call one ReLU module twice; captum's hooks must serve both calls."""
    names = [name.removeprefix("apart/") for name in theirs if name.startswith("apart/")]
    assert len(names) == 6
    for name in names:
        expected = theirs[f"apart/{name}"]
        np.testing.assert_allclose(theirs[f"small/{name}"], expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("backward", "method"), [("gradient", "gradient"), ("guided", "guided_backprop"), ("deconvnet", "deconvnet")]
)
def test_signals_led_back_in_float64(theirs, network, backward, method):
    """At 224 pixels some rectifiers are nearer to their thresholds than float32 can tell."""
    model, variables, images, classes = network
    with double_precision():
        model = in_double_precision(model)
        variables, images = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (variables, images))

        def signals(images):
            with ops.relu_backward(backward):
                return jax.grad(lambda x: model.apply(variables, x, train=False)[0][[0, 1], classes].sum())(images)

        ours = np.asarray(jax.jit(signals)(images))
    assert ours.dtype == np.float64
    check_equal(ours, theirs[f"double/{method}"], 1e-9)


def test_deconvnet_at_224_pixels(theirs, network):
    """Its rectifiers open by the signals alone."""
    check_equal(attribution.deconvnet(*network), theirs["double/deconvnet"])


@pytest.fixture(scope="module")
def small(theirs, network):
    """The network and two images on which float32 opens the rectifiers that float64 opens."""
    assert theirs["margins"].min() > 3e-6  # float32's roundings are some 1e-6 of a layer's standard deviation
    model, variables, _, classes = network
    return model, variables, theirs["images"].astype(np.float32), classes


@pytest.mark.parametrize("method", ["gradient", "gradient_times_input", "guided_backprop", "deconvnet"])
def test_gradients(theirs, small, method):
    check_equal(getattr(attribution, method)(*small), theirs[f"small/{method}"])


def test_integrated_gradients(theirs, small):
    ours = attribution.integrated_gradients(*small, BASELINE, STEPS)
    check_equal(ours.attributions, theirs["small/integrated_gradients"])


def test_guided_grad_cam(theirs, small):
    ours = guided_grad_cam(*small, "stage3_block2/add/activation")
    check_equal(ours.attributions, theirs["small/guided_grad_cam"])


def test_grad_cam(theirs, network):
    ours = grad_cam(*network)
    assert ours.layer == "stage4_block2/add/activation"
    check_equal(ours.maps, theirs["grad_cam_maps"][..., 0])
    check_equal(ours.heatmaps, theirs["grad_cam_heatmaps"][..., 0])


@pytest.mark.parametrize("number", range(len(WINDOWS)))
def test_occlusion(theirs, network, number):
    model, variables, images, classes = network
    window, strides = WINDOWS[number]
    ours = occlusion(model, variables, images[:1], classes[:1], window, strides, BASELINE)
    check_equal(ours, theirs[f"occlusion{number}"][..., 0])  # each channel has the same values
