"""Opens the networks' ONNX files by Netron's parser: `make test-netron`."""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from support.untrained_run import untrained_run

from cnn_jax.export import onnx_file
from scripts.export_checks.networks import CLASSES, NETWORKS, least_shape

_PROGRAM = Path(__file__).with_name("netron.mjs")
_PUBLISHED = (224, 224, 3)  # images of ImageNet, at which the networks for them were published


def faults_of(file: Path, netron: Path, node: str) -> list[str]:
    """Opens a file by Netron and by onnx.

    Args:
      file: ONNX file.
      netron: Folder of Netron's modules.
      node: The program Node.js.

    Returns:
      What is wrong: an error of Netron's, another graph than onnx reads, a transpose that could be folded.
    """
    done = subprocess.run([node, _PROGRAM, netron, file], capture_output=True, text=True, check=False)
    if done.returncode:
        return [f"{file.name}: Netron: {done.stderr.strip().splitlines()[-1]}"]
    seen = json.loads(done.stdout)
    graph = onnx.load(file).graph
    kinds = collections.Counter(each.op_type for each in graph.node)
    print(f"{file.name}: {seen['format']}, {sum(kinds.values())} nodes, {kinds['Transpose']} transposes", flush=True)
    faults = [f"{file.name}: Netron: {each}" for each in seen["faults"]]
    if seen["kinds"] != dict(kinds) or seen["inputs"] != ["images"] or seen["outputs"] != ["probabilities"]:
        faults.append(f"{file.name}: Netron reads {seen}, onnx {dict(kinds)}")
    return faults + [f"{file.name}: {each} could be folded" for each in foldable(graph)]


def foldable(graph: onnx.GraphProto) -> list[str]:
    """Lists transposes of constants, of other transposes, and of anything but the image.

    The image comes channels-last and convolutions of ONNX take channels first, so that one transpose of an image of
    several channels is needed.

    Args:
      graph: Graph.

    Returns:
      Names of the nodes.
    """
    makers = {output: node for node in graph.node for output in node.output}
    elementwise = {"Cast", "Sub", "Mul", "Div", "Add"}  # the image's normalization
    found, needed = [], 0
    for node in graph.node:
        if node.op_type != "Transpose":
            continue
        name = node.input[0]
        while name in makers and makers[name].op_type in elementwise:
            name = makers[name].input[0]
        needed += name == "images"
        if name != "images" or needed > 1:
            found.append(node.name or node.output[0])
    return found


def main(arguments: list[str]) -> int:
    """Opens the files, or those of all networks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--netron", type=Path, required=True, help="folder of Netron's modules")
    parser.add_argument("--node", default="node", help="the program Node.js")
    parser.add_argument("files", nargs="*", type=Path, help="ONNX files; default: all networks, at two sizes")
    options = parser.parse_args(arguments)
    if shutil.which(options.node) is None:
        parser.error(f"--node: there is no program {options.node}; install Node.js, or name it")
    (options.netron / "package.json").write_text('{"type": "module"}')  # by which Node.js reads them as modules
    faults: list[str] = []
    for file in options.files:
        faults += faults_of(file, options.netron, options.node)
    for name, (model, channels) in NETWORKS.items() if not options.files else ():
        shapes = [least_shape(model, channels)] + [_PUBLISHED] * (channels == _PUBLISHED[2])
        for shape in shapes:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"{name}-{shape[0]}.onnx"
                run = untrained_run(model, shape, {}, CLASSES)
                file.write_bytes(onnx_file.write(run))
                faults += faults_of(file, options.netron, options.node)
    print("\n".join(faults) or "Netron opens every file, and no transpose is left to be folded")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
