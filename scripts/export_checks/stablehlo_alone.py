"""Runs a StableHLO file with jax and flatbuffers alone: python stablehlo_alone.py FILE IMAGES OUTPUT BATCHES."""

import importlib.util
import sys
import zipfile

import jax.export
import numpy as np

file, images, output, batches = sys.argv[1:]
if importlib.util.find_spec("cnn_jax") or importlib.util.find_spec("flax"):
    sys.exit("this environment has more than jax and flatbuffers")
program = jax.export.deserialize(bytearray(zipfile.ZipFile(file).read("program.jax_export")))
call, pixels = jax.jit(program.call), np.load(images)
sizes = [int(size) for size in batches.split(",")]
starts = np.cumsum([0, *sizes])
found = [np.asarray(call(pixels[start : start + size])) for start, size in zip(starts, sizes, strict=False)]
np.save(output, np.concatenate(found))
