"""The live page in a browser beside the live network: logits, units, pictures, padding, mistakes, accessibility."""

import dataclasses
import json
import re
from pathlib import Path

import axe_core_python
import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from support.tiny_networks import SIDE, TINY
from support.untrained_run import images, untrained_run

from cnn_jax import models
from cnn_jax.config.parsing import ConfigError
from cnn_jax.data.host import picture
from cnn_jax.export import load
from cnn_jax.export.page import packing, write
from cnn_jax.layer_rows import LayerRow
from cnn_jax.models import LayerNode

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
COUNT = 10
SMALL = {"features": (6, 4), "pooling": ("max", "none"), "dense": (8,)}
# Narrow ones of every name; GoogLeNet's and SqueezeNet's small images need modules left out.
NETWORKS = {
    "cnn": ({}, (28, 28, 1)),
    "reflect, group norm": (SMALL | {"padding": ("REFLECT", "SAME"), "norm": "group", "norm_groups": 2}, (12, 11, 3)),
    "circular, gelu": (SMALL | {"padding": "CIRCULAR", "activation": "gelu", "dilation": 2}, (9, 12, 3)),
    "replicate, groups": (SMALL | {"padding": "REPLICATE", "groups": (1, 2), "activation": "elu"}, (9, 12, 1)),
    "norm first": (SMALL | {"order": "norm-activation-conv", "padding": "SAME_LOWER", "strides": 2}, (15, 14, 3)),
    "average, minimum": (SMALL | {"pooling": ("avg", "min"), "pool_padding": "SAME", "norm": "batch"}, (15, 14, 1)),
    "views": (SMALL, (12, 10, 1)),
    "lenet5": ({"name": "lenet5", "activation": "scaled_tanh"}, (28, 28, 1)),
    "lenet5 of the paper": (
        {"name": "lenet5", "output": "rbf", "connection": "table", "subsampling": "trainable"},
        (32, 32, 1),
    ),
    "alexnet": ({"name": "alexnet", "features": (4, 4, 6, 6, 4), "groups": 2, "dense": (8, 6)}, (67, 67, 3)),
    "alexnet_torchvision": ({"name": "alexnet_torchvision", "features": (4, 4, 6, 6, 4), "dense": (8,)}, (63, 63, 3)),
    "googlenet": ({"name": "googlenet", "width": 0.1, "modules": (1, 2, 1)}, (65, 65, 3)),
    "googlenet_torchvision": ({"name": "googlenet_torchvision", "width": 0.1, "modules": (2, 1, 0)}, (33, 37, 3)),
    "squeezenet1_0": ({"name": "squeezenet1_0", "width": 0.1, "modules": 3, "pool_after": (1, 4)}, (41, 41, 3)),
    "squeezenet1_1": ({"name": "squeezenet1_1", "width": 0.5, "padding": "VALID", "modules": 2}, (45, 45, 3)),
    "resnet": ({"name": "resnet", "depth": 50, "width": 2}, (33, 31, 3)),
    "resnet, pre": ({"name": "resnet", "width": 2, "activation_order": "pre", "norm": "none"}, (17, 17, 3)),
    "resnet_cifar": ({"name": "resnet_cifar", "depth": 8, "width": 4}, (16, 16, 3)),
    "resnet_cifar, valid": ({"name": "resnet_cifar", "depth": 8, "width": 4, "padding": "VALID"}, (40, 40, 3)),
    **{config.name: (config.model_dump(), (SIDE, SIDE, 3)) for config in TINY},
}


def run_of(name):
    model, image_shape = NETWORKS[name]
    if name != "cnn":
        model = model | {"lowering": "xla"}  # XLA's convolutions are compiled in a fraction of the time
    return untrained_run(model, image_shape, {"eval_mirrored": True, "eval_shift": 1} if name == "views" else {})


def opened(browser, folder, run, width=1280, scheme="light"):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    file = folder / "network.html"
    file.write_bytes(write.write(run))
    browser.get("about:blank")
    browser.get(file.as_uri())
    return browser


def classified(page, pixels, changes=None):
    """Logits of the page's network."""
    script = """
        const [pictures, changes, [height, width, channels]] = arguments;
        const asMap = (data) => ({height, width, channels, data: Float32Array.from(data)});
        return pictures.map((data) => Array.from(network.classify(live.model, asMap(data), changes).logits));
    """
    given = pixels.reshape(len(pixels), -1).tolist()
    return np.asarray(page.execute_script(script, given, changes or {}, pixels.shape[1:]))


def test_no_network_is_left_out():
    named = {model.get("name", "cnn") for model, _ in NETWORKS.values()}
    assert named == set(models.NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_networks(browser, tmp_path, name):
    run = run_of(name)
    page = opened(browser, tmp_path, run)
    pixels = images(run, COUNT)
    found, expected = classified(page, pixels), write.rounded(run).logits(pixels)
    assert expected.std(axis=0).max() > 1e-3  # the images are told apart
    # Both sum in at least float32, in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))
    assert (found.argmax(axis=1) == run.logits(pixels).argmax(axis=1)).mean() >= 0.9
    assert page.get_log("browser") == []


def test_a_page_is_small_and_holds_nothing_foreign():
    content = write.write(run_of("cnn"))
    assert len(content) < 1_000_000
    assert not re.search(rb"https?://", content.replace(b"http://www.w3.org", b""))
    described = json.loads(re.search(rb'id="content">(.*?)</script>', content, re.DOTALL)[1])
    assert described["description"]["class_names"][3] == "class 3"
    names = [layer["name"] for layer in described["layers"]]
    assert names[:3] == ["conv1", "conv1/activation", "pool1"]


def test_a_page_with_a_changed_bit_computes_nothing(browser, tmp_path):
    file = tmp_path / "network.html"
    content = write.write(run_of("cnn"))
    places = [content.index(b'id="weights">') + 3001, content.index(b'"offset": ') + 10, content.index(b"2 ** -24")]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(bytes(changed))
        browser.get(file.as_uri())
        assert browser.find_element("id", "fault").text.startswith("This page is damaged")
        assert browser.find_elements("css selector", "#classes td") == []
    file.write_bytes(content)
    browser.get(file.as_uri())
    assert not browser.find_element("id", "fault").text
    assert len(browser.find_elements("css selector", "#classes tbody tr")) == 10


def test_another_padding_is_that_of_another_network(browser, tmp_path):
    run = run_of("resnet_cifar")
    page = opened(browser, tmp_path, run)
    pixels = images(run, 3)
    changes = {name: {"padding": "CIRCULAR"} for name in (row.name for row in layers_of(run) if row.window == (3, 3))}
    other = untrained_run(dict(run.experiment.model.model_dump(), padding="CIRCULAR"), run.image_shape)
    rounded = write.rounded(run)
    wanted = rounded.__class__(**{**vars(rounded), "experiment": other.experiment, "config": other.config})
    np.testing.assert_allclose(classified(page, pixels, changes), wanted.logits(pixels), rtol=1e-4, atol=1e-4)
    assert np.abs(wanted.logits(pixels) - rounded.logits(pixels)).max() > 1e-3


def layers_of(run):
    return run.config.network.layers(run.image_shape)


def text(page, name):
    return page.find_element(By.ID, name).text.replace("\N{MINUS SIGN}", "-")


PIXELS = """
    const canvas = document.querySelectorAll("#layers canvas")[arguments[0]];
    const { width, height } = canvas;
    const copied = Object.assign(document.createElement("canvas"), { width, height });
    const context = copied.getContext("2d", { willReadFrequently: true }); // else the browser warns
    context.drawImage(canvas, 0, 0);
    return Array.from(context.getImageData(0, 0, width, height).data);
"""


def test_maps_are_drawn_where_they_are_seen(browser, tmp_path):
    page = opened(browser, tmp_path, run_of("cnn"))
    number = page.execute_script('return document.querySelectorAll("#layers canvas").length') - 1

    def seen(differs_from):
        """Scrolls to the last map and waits until it shows another picture."""
        page.execute_script('document.querySelectorAll("#layers canvas")[arguments[0]].scrollIntoView()', number)
        found = WebDriverWait(page, 20).until(
            lambda each: (pixels := each.execute_script(PIXELS, number)) != differs_from and pixels
        )
        page.execute_script("scrollTo(0, 0)")
        return found

    empty = page.execute_script(PIXELS, number)
    assert not any(empty)
    shirt = seen(empty)
    WebDriverWait(page, 20).until(lambda each: each.execute_script("return scrollY") == 0)
    Select(page.find_element(By.ID, "preset")).select_by_visible_text("a ring")
    assert seen(shirt) != shirt
    page.get(page.current_url)
    page.execute_script('window.dispatchEvent(new Event("beforeprint"))')
    assert page.execute_script(PIXELS, number) == shirt


def test_a_change_that_does_not_fit_is_told_and_taken_back(browser, tmp_path):
    page = opened(browser, tmp_path, run_of("cnn"))
    answer = text(page, "answer")
    Select(page.find_element(By.ID, "padding")).select_by_visible_text("SAME")
    assert "Its maps are 28x28, 26x26 as trained." in text(page, "moves_story")
    # 28 -> 14 -> 12 -> 6 -> 4: 4x4x64 values where 3x3x64 were
    assert "its weights read 576 values, and 1024 (1x1x1024) come in" in text(page, "moves_story")
    assert text(page, "answer") == "No answer: the network no longer fits together."
    page.find_element(By.ID, "restore").click()
    assert text(page, "answer") == answer
    assert page.get_log("browser") == []


def test_units_by_hand(browser, tmp_path):
    run = run_of("cnn")
    page = opened(browser, tmp_path, run)
    kernel, bias = (np.asarray(run.variables["params"]["conv1"][name]) for name in ("kernel", "bias"))
    pixels = np.asarray(page.execute_script("return Array.from(live.state.pixels.data)")).reshape(28, 28)
    scaled = (pixels - 90) / 60
    assert 0 < (pixels > 0).mean() < 1
    choose(page, layer="0", channel=5, row=11, column=8)
    expected = (scaled[10:13, 7:10] * kernel[:, :, 0, 4].astype(np.float16)).sum() + bias[4]
    found = float(re.search(r"= (-?[\d.]+)\. It sees", text(page, "unit_story"))[1])
    assert found == pytest.approx(expected, rel=1e-3)
    assert "It sees rows 11 to 13, columns 8 to 10 of the picture." in text(page, "unit_story")
    # pool1 of stride 2, then 3x3: (3 - 1) * 2 + 2 + 2 = 8 pixels from 2 * 2 = 4 on
    choose(page, layer="3", channel=1, row=3, column=3)
    assert "It sees rows 5 to 12, columns 5 to 12 of the picture." in text(page, "unit_story")
    choose(page, layer="11", channel=2, row=1, column=1)
    assert "It sees rows 1 to 26, columns 1 to 26" in text(
        page, "unit_story"
    )  # 11 rows pooled in twos: one is left out
    assert "sum of 64 products" in text(page, "unit_story")


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        # The gate depends on the mean of whole maps.
        ("mobilenet_v3_small", "multiply", r"({n}) · the gate ({n}) = ({n})\. It sees rows 1 to 18, columns 1 to 18"),
        ("convnext", "scale", r": ({n}) · ({n}) = ({n})\. It sees"),
        ("inception_v3", "avg_pool", r"mean of its window's values, {n}; padding counts as zeros\."),
    ],
)
def test_units_of_gates_factors_and_averages(browser, tmp_path, name, kind, told):
    page = opened(browser, tmp_path, run_of(name))
    layer = page.execute_script("return live.model.layers.findIndex(({kind}) => kind === arguments[0])", kind)
    choose(page, layer=str(layer), channel=2, row=1, column=1)
    found = re.search(told.format(n=r"-?[\d.]+(?:e[-+]\d+)?"), text(page, "unit_story"))
    assert found, text(page, "unit_story")
    if kind == "avg_pool":  # of 3x3 around the corner, whose first line and column are padding
        values = page.execute_script("return [...document.querySelectorAll('#unit_tables td')].map((t) => t.innerText)")
        assert [number for number, value in enumerate(values) if value == "0"][:5] == [0, 1, 2, 3, 6]
    else:
        left, right, value = map(float, found.groups())
        assert value == pytest.approx(left * right, rel=2e-3)


def choose(page, layer, **place):
    Select(page.find_element(By.ID, "unit_layer")).select_by_value(layer)
    for name, value in place.items():
        page.execute_script(
            "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))",
            f"unit_{name}",
            value,
        )


def test_maps_follow_the_keyboard_and_the_pointer(browser, tmp_path):
    page = opened(browser, tmp_path, run_of("cnn"))
    canvas = page.find_elements(By.CSS_SELECTOR, "#layers canvas")[2]
    canvas.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN, Keys.PAGE_DOWN)
    assert text(page, "unit_story").startswith("pool1, map 2, ")
    page.find_elements(By.CSS_SELECTOR, "#layers canvas")[0].click()
    assert text(page, "unit_story").startswith("conv1, map ")


NUMBER = r"(-?[\d.]+(?:e-?\d+)?)"
NORM = rf"{NUMBER} · \({NUMBER} - {NUMBER}\) / √\({NUMBER} \+ {NUMBER}\) \+ {NUMBER} = {NUMBER}\."
LRN = rf"{NUMBER} / \({NUMBER} \+ {NUMBER} · {NUMBER}\) \^ {NUMBER} = {NUMBER}; the sum is of the squares of 3 maps"


def told_of(page, kind, channel=0):
    """Chooses a unit of the first layer of a kind; the page's sentence about it."""
    names = page.execute_script("return live.model.layers.map((layer) => layer.kind)")
    Select(page.find_element(By.ID, "unit_layer")).select_by_value(str(names.index(kind)))
    field = page.find_element(By.ID, "unit_channel")
    page.execute_script(
        "arguments[0].value = arguments[1] + 1; arguments[0].dispatchEvent(new Event('input'))", field, channel
    )
    return text(page, "unit_story")


def test_how_values_of_norms_come_about(browser, tmp_path):
    """The sentence's own numbers, of four digits, give its result."""
    for name, kind in (("convnext", "layer_norm"), ("reflect, group norm", "group_norm"), ("vgg", "dropout")):
        page = opened(browser, tmp_path, run_of(name))
        story = told_of(page, kind, channel=1)
        if kind == "dropout":
            assert "unchanged" in story
            assert "row 1, column 1 of map 2, unchanged" in told_of(page, "flatten", channel=1)
            continue
        scale, value, mean, variance, eps, bias, result = map(float, re.search(NORM, story).groups())
        assert result == pytest.approx(scale * (value - mean) / (variance + eps) ** 0.5 + bias, rel=5e-3, abs=5e-3)
    page = opened(browser, tmp_path, run_of("zfnet"))
    value, k, alpha, squares, beta, result = map(float, re.search(LRN, told_of(page, "lrn")).groups())
    assert result == pytest.approx(value / (k + alpha * squares) ** beta, rel=5e-3)
    page = opened(browser, tmp_path, run_of("inception_v3"))
    first, second = (told_of(page, "concat", channel) for channel in (0, page.execute_script(FIRST_OF_SECOND)))
    assert "map 1 of the 1. of 3 inputs, unchanged" in first
    assert "map 1 of the 2. of 3 inputs, unchanged" in second


FIRST_OF_SECOND = """
    const { layers } = live.model;
    const [first] = layers.find(({ kind }) => kind === "concat").inputs;
    return layers[first].shape[2];
"""


def test_drawing_changes_the_answer(browser, tmp_path):
    page = opened(browser, tmp_path, run_of("cnn"))
    page.find_element(By.ID, "clear").click()
    before = text(page, "classes")
    image = page.find_element(By.ID, "image")
    image.send_keys(Keys.SPACE, Keys.ARROW_DOWN, Keys.SPACE)
    WebDriverWait(page, 20).until(lambda page: text(page, "classes") != before)
    assert text(page, "place") == "Brush at row 16, column 15, painted."
    painted = np.asarray(page.execute_script("return Array.from(live.state.pixels.data)")).reshape(28, 28)
    # Twice a brush of 2x2 pixels, a row apart, its corner half a pixel up: rounded to the brush's own.
    assert np.argwhere(painted == 255).tolist() == [[r, c] for r in (14, 15, 16) for c in (14, 15)]


@pytest.mark.parametrize("channels", [1, 3])
def test_picture_files_are_fitted_as_predict_fits_them(browser, tmp_path, channels):
    run = untrained_run(SMALL, (12, 10, channels))
    page = opened(browser, tmp_path, run)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (31, 45, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    page.find_element(By.ID, "clear").click()
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "noise.png"))
    WebDriverWait(page, 20).until(lambda page: page.execute_script("return live.state.pixels.data.some((v) => v > 0)"))
    found = np.asarray(page.execute_script("return Array.from(live.state.pixels.data)")).reshape(12, 10, channels)
    expected, _ = picture.fit(tmp_path / "noise.png", (12, 10, channels))
    assert np.abs(found - expected.astype(int)).max() <= 1  # Pillow's weights are fixed-point numbers
    (tmp_path / "none.png").write_bytes(b"no picture")
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "none.png"))
    WebDriverWait(page, 20).until(lambda page: "is not a picture" in text(page, "fault"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
def test_screen_readers_and_narrow_windows(browser, tmp_path, width, scheme):
    page = opened(browser, tmp_path, run_of("cnn"), width, scheme)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_script(AXE)
    checked, found = page.execute_async_script("""
        axe.run().then(({passes, violations}) =>
            arguments[0]([passes.length, violations.map(({id, nodes}) => [id, nodes.map(({html}) => html)])]))
    """)
    assert checked > 20
    assert found == []


def test_large_networks_are_refused_with_the_numbers():
    run = untrained_run({"name": "cnn", "dense": (9000,)}, (28, 28, 1))
    with pytest.raises(ConfigError, match=r"has 5,\d{3},\d{3} parameters, and a page holds up to 5,000,000"):
        write.write(run)


def test_predict_says_what_a_page_is(tmp_path):
    file = tmp_path / "network.html"
    file.write_bytes(write.write(run_of("views")))
    with pytest.raises(ConfigError, match="is a live page, for a browser"):
        load.load(file)


def test_weights_that_are_no_numbers_are_refused():
    run = run_of("views")
    run.variables["params"]["conv1"]["bias"] = run.variables["params"]["conv1"]["bias"].at[0].set(np.nan)
    with pytest.raises(ConfigError, match="weights that are not finite"):
        write.write(run)


def test_names_of_classes_are_text(browser, tmp_path):
    run = dataclasses.replace(run_of("views"), class_names=("</script><b>x", "<!--", *map(str, range(8))))
    page = opened(browser, tmp_path, run)
    assert page.find_element(By.CSS_SELECTOR, "#classes tbody th").text == "</script><b>x"
    assert page.get_log("browser") == []


def test_other_pictures_than_grey_and_rgb_are_refused():
    for image_shape, dtype in (((9, 9, 4), "uint8"), ((9, 9, 1), "float32")):
        run = dataclasses.replace(untrained_run(SMALL, image_shape), dtype=dtype)
        with pytest.raises(ConfigError, match=rf"the network takes {image_shape[2]} channels of {dtype}"):
            write.write(run)


def test_layers_that_the_page_does_not_know_are_refused():
    row = LayerRow("norm", "batch_norm", (2, 2, 3), (2, 2, 3))
    for kind, expected in (("batch_norm", "settings of the norms norm are not known"), ("rms_norm", "kind rms_norm")):
        node = LayerNode("norm", kind, (-1,), (2, 2, 3), dataclasses.replace(row, kind=kind))
        with pytest.raises(ConfigError, match=expected):
            packing.pack((node,), {})
