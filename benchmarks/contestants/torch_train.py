"""PyTorch's usual training loop, the images in the device's memory as one tensor.

--channels_last for its faster layout, --compiled for torch.compile. On a GPU where there is one.
"""

import torch
import turn
from torch import nn
from torch_networks import NETWORKS

parser = turn.parser(__doc__)
parser.add_argument("--channels_last", action="store_true")
parser.add_argument("--compiled", action="store_true")
options = parser.parse_args()
this = turn.Turn(options)

torch.manual_seed(0)
layout = torch.channels_last if options.channels_last else torch.contiguous_format
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tensors(images, labels):
    """Images [n, c, h, w] in 0 to 1, and labels."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return pixels.contiguous(memory_format=layout).to(device), torch.from_numpy(labels).long().to(device)


images, labels = tensors(this.images, this.labels)
tests = None if this.test_images is None else tensors(this.test_images, this.test_labels)
model = NETWORKS[this.network](this.classes).to(device, memory_format=layout)
if this.optimizer == "adam":
    optimizer = torch.optim.Adam(model.parameters(), lr=this.learning_rate, eps=turn.ADAM_EPS)
else:
    optimizer = torch.optim.SGD(model.parameters(), lr=this.learning_rate, momentum=turn.MOMENTUM)
loss_of = nn.CrossEntropyLoss()
forward = torch.compile(model) if options.compiled else model
precision = torch.autocast(device.type, torch.bfloat16, enabled=this.precision == "bfloat16")
loss = accuracy = None


def epoch():
    """One pass over the training images, then the accuracy on the test images, where there are any."""
    global loss, accuracy
    model.train()
    for chosen in torch.randperm(len(images), device=device).split(this.batch_size):
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = loss_of(forward(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
    loss.item()  # a GPU works on after it is asked to; the epoch ends when the loss is known
    if tests is not None:
        model.eval()
        with torch.inference_mode(), precision:
            right = [
                (forward(images).argmax(1) == labels).sum()
                for images, labels in zip(*(each.split(500) for each in tests), strict=True)
            ]
        accuracy = int(sum(right)) / len(tests[1])


def trained_on():
    """The device, and its peak of memory where it has its own."""
    if device.type == "cpu":
        return turn.Device("cpu", "cpu", None)
    return turn.Device("gpu", torch.cuda.get_device_name(), torch.cuda.max_memory_allocated())


this.end(
    seconds=this.clock(epoch),
    parameters=sum(parameter.numel() for parameter in model.parameters()),
    loss=loss.item(),
    accuracy=accuracy,
    versions=f"torch {torch.__version__}",
    device=trained_on(),
)
