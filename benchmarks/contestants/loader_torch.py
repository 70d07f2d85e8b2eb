"""PyTorch's DataLoader over files, with torchvision's RandomResizedCrop and flip written out for Pillow."""

import math
import random

import loader_turn
import numpy as np
import PIL
import torch
from PIL import Image


class Pictures(torch.utils.data.Dataset):
    """Files and labels; what is random comes of the worker's generators."""

    def __init__(self, folder):
        self.paths, self.labels = loader_turn.files(folder)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        with Image.open(self.paths[number]) as opened:
            picture = opened.convert("RGB")
        picture = picture.crop(box(*picture.size)).resize((loader_turn.SIDE, loader_turn.SIDE), Image.BILINEAR)
        if random.random() < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(picture)), self.labels[number]


def box(width, height):
    """The part that is seen."""
    low, high = (math.log(aspect) for aspect in loader_turn.ASPECT)
    for _ in range(10):
        area = width * height * random.uniform(*loader_turn.AREA)
        aspect = math.exp(random.uniform(low, high))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = random.randint(0, width - wide), random.randint(0, height - tall)
            return left, top, left + wide, top + tall
    return 0, 0, width, height


def endless(loader):
    """One epoch after the other."""
    while True:
        yield from loader


def main():
    options = loader_turn.started(loader_turn.parser(__doc__).parse_args())
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        Pictures(options.pictures),
        options.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=options.cores,
        persistent_workers=True,
    )
    loader_turn.end(options, endless(loader), f"torch {torch.__version__}, pillow {PIL.__version__}")


if __name__ == "__main__":
    main()
