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
parts = [slice(*map(int, batch.split(":"))) for batch in batches.split(",")]
found = [np.asarray(call(pixels[part])) for part in parts]
probabilities = np.empty((len(pixels), found[0].shape[1]), np.float32)
for part, some in zip(parts, found, strict=True):
    probabilities[part] = some
np.save(output, probabilities)
