"""PyTorch's usual training loop, the images in memory as one tensor; --channels_last for its faster layout."""

import argparse
import json
import time

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", required=True, help=".npz with train_images, train_labels, test_images, test_labels")
parser.add_argument("--batch_size", type=int, required=True)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--channels_last", action="store_true")
options = parser.parse_args()

torch.manual_seed(0)
layout = torch.channels_last if options.channels_last else torch.contiguous_format
arrays = np.load(options.data)


def tensors(split):
    """Images [n, 1, 28, 28] in 0 to 1, and labels."""
    images = torch.from_numpy(arrays[f"{split}_images"]).permute(0, 3, 1, 2).float() / 255
    return images.contiguous(memory_format=layout), torch.from_numpy(arrays[f"{split}_labels"].astype("int64"))


train_images, train_labels = tensors("train")
test_images, test_labels = tensors("test")
model = nn.Sequential(
    nn.Conv2d(1, 32, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(64, 64, 3),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(576, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
).to(memory_format=layout)
assert sum(parameter.numel() for parameter in model.parameters()) == 93_322
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
loss_of = nn.CrossEntropyLoss()


def epoch():
    """One pass over the training images, then the accuracy on the test images."""
    model.train()
    for chosen in torch.randperm(len(train_images)).split(options.batch_size):
        optimizer.zero_grad()
        loss_of(model(train_images[chosen]), train_labels[chosen]).backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        right = [
            (model(images).argmax(1) == labels).sum().item()
            for images, labels in zip(test_images.split(500), test_labels.split(500), strict=True)
        ]
    return sum(right) / len(test_labels)


epoch()  # not counted, as for the others
begun = time.monotonic()
accuracies = [epoch() for _ in range(options.epochs)]
print(
    json.dumps(
        {
            "images_per_second": len(train_images) * options.epochs / (time.monotonic() - begun),
            "accuracy": accuracies[-1],
            "versions": f"torch {torch.__version__}",
        }
    )
)
