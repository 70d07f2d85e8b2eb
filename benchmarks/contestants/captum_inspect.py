"""captum's occlusion and guided backpropagation. --channels_last for PyTorch's faster layout, --compiled."""

import warnings

import captum
import captum.attr
import inspect_turn
import torch
from torch_networks import load_resnet18_imagenet, resnet18_imagenet

parser = inspect_turn.parser(__doc__)
parser.add_argument("--channels_last", action="store_true")
parser.add_argument("--compiled", action="store_true", help="by torch.compile")
options = parser.parse_args()
warnings.filterwarnings("ignore")

images, classes, entries = inspect_turn.data(options)
layout = torch.channels_last if options.channels_last else torch.contiguous_format
model = load_resnet18_imagenet(resnet18_imagenet(1000), entries).eval().to(memory_format=layout)
pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
targets = torch.from_numpy(classes)
called = torch.compile(model) if options.compiled else model
method = captum.attr.Occlusion(called) if options.method == "occlusion" else captum.attr.GuidedBackprop(called)


def compute():
    """The attributions of all images, channels last."""
    if options.method == "guided_backprop":
        parts = [
            method.attribute(some, target)
            for some, target in zip(pixels.split(options.batch_size), targets.split(options.batch_size), strict=True)
        ]
        return torch.cat(parts).detach().permute(0, 2, 3, 1).numpy()
    window, stride = inspect_turn.WINDOW, inspect_turn.STRIDE
    shapes = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}
    found = method.attribute(
        pixels[:1], **shapes, target=int(targets[0]), perturbations_per_eval=options.batch_size, baselines=0
    )
    return found[:, 0].numpy()  # each channel has the same values


inspect_turn.end(options, compute, f"captum {captum.__version__}, torch {torch.__version__}")
