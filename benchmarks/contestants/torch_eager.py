"""PyTorch's usual training loop, the images in memory as one tensor; --channels_last for its faster layout."""

import torch
import turn
from torch import nn
from torch_networks import NETWORKS

parser = turn.parser(__doc__)
parser.add_argument("--channels_last", action="store_true")
options = parser.parse_args()
this = turn.Turn(options)

torch.manual_seed(0)
layout = torch.channels_last if options.channels_last else torch.contiguous_format


def tensors(images, labels):
    """Images [n, c, h, w] in 0 to 1, and labels."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return pixels.contiguous(memory_format=layout), torch.from_numpy(labels).long()


images, labels = tensors(this.images, this.labels)
tests = None if this.test_images is None else tensors(this.test_images, this.test_labels)
model = NETWORKS[this.network](this.classes).to(memory_format=layout)
if this.optimizer == "adam":
    optimizer = torch.optim.Adam(model.parameters(), lr=this.learning_rate, eps=turn.ADAM_EPS)
else:
    optimizer = torch.optim.SGD(model.parameters(), lr=this.learning_rate, momentum=turn.MOMENTUM)
loss_of = nn.CrossEntropyLoss()
loss = accuracy = None


def epoch():
    """One pass over the training images, then the accuracy on the test images, where there are any."""
    global loss, accuracy
    model.train()
    for chosen in torch.randperm(len(images)).split(this.batch_size):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
    if tests is not None:
        model.eval()
        with torch.inference_mode():
            right = [
                (model(images).argmax(1) == labels).sum().item()
                for images, labels in zip(*(each.split(500) for each in tests), strict=True)
            ]
        accuracy = sum(right) / len(tests[1])


this.end(
    seconds=this.clock(epoch),
    parameters=sum(parameter.numel() for parameter in model.parameters()),
    loss=loss.item(),
    accuracy=accuracy,
    versions=f"torch {torch.__version__}",
)
