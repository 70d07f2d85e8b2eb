"""Makes JPEGs of ImageNet's shapes and sizes: `python -m scripts.imagenet_shaped --target=FOLDER`.

They are noise whose strength falls with its frequency as a photograph's does, so that they cost as much to decode and
as many bytes (about 110 kB at 500x375) as ImageNet's. Each class has a tint of its own. The same arguments make the
same pictures.
"""

from __future__ import annotations

import argparse
import colorsys

import numpy as np
from PIL import Image

from cnn_jax import user_path

# Width and height, and how many of a hundred pictures have them.
SHAPES = {(500, 375): 60, (375, 500): 20, (500, 333): 12, (400, 400): 5, (1024, 768): 3}
QUALITY = 90


def main(argv: list[str] | None = None) -> None:
    """Writes train/ and val/, each of class folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=user_path.expand, required=True, help="folder to write to")
    parser.add_argument("--pictures", type=int, default=2000, help="of both splits together; a tenth is for val/")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--scale", type=float, default=1.0, help="of the pictures' sides; less makes small ones")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    for number in range(options.pictures):
        draws = np.random.default_rng((options.seed, number))
        label = number % options.classes
        split = "val" if number // options.classes % 10 == 9 else "train"
        shape = list(SHAPES)[draws.choice(len(SHAPES), p=np.array(list(SHAPES.values())) / 100)]
        width, height = (max(round(side * options.scale), 1) for side in shape)
        tint = colorsys.hsv_to_rgb(label / options.classes, 0.5, 1.0)
        folder = options.target / split / f"class_{label:03}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(width, height, tint, draws)).save(folder / f"{number:06}.jpg", quality=QUALITY)


def picture(width: int, height: int, tint: tuple[float, float, float], draws: np.random.Generator) -> np.ndarray:
    """Draws one picture, uint8 [height, width, 3]: brightness, common to all colours, and a weaker noise of each."""
    shades = noise(width, height, draws)[..., None]
    colours = np.stack([noise(width, height, draws) for _ in range(3)], axis=-1)
    return np.clip((128 + 45 * shades + 16 * colours) * tint, 0, 255).astype(np.uint8)


def noise(width: int, height: int, draws: np.random.Generator) -> np.ndarray:
    """Noise of mean 0 and deviation 1, [height, width], whose amplitude falls as 1 / frequency."""
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequencies[0, 0] = np.inf
    phases = draws.normal(size=frequencies.shape) + 1j * draws.normal(size=frequencies.shape)
    values = np.fft.irfft2(phases / frequencies, (height, width))
    return values / values.std()


if __name__ == "__main__":
    main()
