"""The CUDA plugin is hidden where it cannot work, and nowhere else."""

import sys

import pytest

from cnn_jax import absent_gpu


@pytest.fixture
def installed(monkeypatch):
    """A process before it imports JAX, on a machine with the plugin and no GPU."""
    monkeypatch.delitem(sys.modules, "jax")
    for name in (absent_gpu._PLUGIN, absent_gpu._EXTENSIONS):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(absent_gpu, "_DEVICES", ())
    monkeypatch.setattr(absent_gpu, "_has_driver", lambda: False)
    monkeypatch.setattr(absent_gpu.importlib.util, "find_spec", lambda name: object())
    yield
    for name in (absent_gpu._PLUGIN, absent_gpu._EXTENSIONS):
        sys.modules.pop(name, None)


def hidden():
    absent_gpu.hide_plugin()
    return absent_gpu._PLUGIN in sys.modules


@pytest.mark.usefixtures("installed")
def test_it_is_hidden_where_it_cannot_work():
    assert hidden()
    sys.modules[absent_gpu._PLUGIN].initialize()  # as JAX calls it
    with pytest.raises(ModuleNotFoundError):
        __import__(absent_gpu._EXTENSIONS)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "what", ["device", "driver", "JAX_PLATFORMS=cuda,cpu", "JAX_PLATFORMS=gpu", "no plugin", "jax"]
)
def test_it_is_not_hidden_where_it_counts(monkeypatch, tmp_path, what):
    if what == "device":
        monkeypatch.setattr(absent_gpu, "_DEVICES", (str(tmp_path),))
    elif what == "driver":
        monkeypatch.setattr(absent_gpu, "_has_driver", lambda: True)
    elif what == "no plugin":
        monkeypatch.setattr(absent_gpu.importlib.util, "find_spec", lambda name: None)
    elif what == "jax":
        monkeypatch.setitem(sys.modules, "jax", object())
    else:
        monkeypatch.setenv(*what.split("="))
    assert not hidden()
