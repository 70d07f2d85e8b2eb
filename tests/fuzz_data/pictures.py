"""Folders of pictures, odd and damaged, against Pillow."""

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cnn_jax import config as cfg
from cnn_jax import data
from fuzz_data.damage import damaged
from fuzz_data.outcome import Refused, called

HEIGHT, WIDTH = 6, 8
MODES = ("L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16", "transparent P", "turned", "jpeg L")
FOREIGN = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\nshowpage\n",
    "text": b"no picture",
    "pdf": b"%PDF-1.4\n",
    "pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "heic": b"\0\0\0\x18ftypheic" + bytes(40),
}
BESIDE = (".hidden.png", "._a.png", ".DS_Store", "Thumbs.db", "notes.txt", ".ipynb_checkpoints/a.png", "@eaDir/a.png")


def encoded(mode: str, rng: np.random.Generator) -> bytes:
    """A picture of a mode, PNG or JPEG."""
    file, grey = io.BytesIO(), rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    colours = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    match mode:
        case "I;16":
            Image.fromarray(grey.astype(np.uint16) * 257).save(file, "PNG")
        case "CMYK":
            Image.fromarray(colours, "CMYK").save(file, "JPEG")
        case "jpeg L":
            Image.fromarray(grey).save(file, "JPEG")
        case "transparent P":
            Image.fromarray(grey // 64).convert("P").save(file, "PNG", transparency=1)
        case "turned":
            exif = Image.Exif()
            exif[0x0112] = turn = int(rng.integers(1, 9))
            picture = Image.fromarray(colours[..., :3])
            # so that it is of the one size once it is turned
            (picture.transpose(Image.Transpose.ROTATE_90) if turn >= 5 else picture).save(file, "JPEG", exif=exif)
        case "LA":
            Image.fromarray(colours[..., :2], "LA").save(file, "PNG")
        case "1" | "P" | "L":
            Image.fromarray(grey).convert(mode).save(file, "PNG")
        case _:
            Image.fromarray(colours).convert(mode).save(file, "PNG")
    return file.getvalue()


def by_pillow(content: bytes) -> np.ndarray | None:
    """The pixels [height, width, 3] as Pillow alone gives them; None where it refuses."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
            opened.load()
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I"):
                picture = Image.fromarray((np.asarray(picture).astype(np.float64) / 257).round().astype(np.uint8))
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                clear = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
            picture = picture.convert("RGB")
            if picture.size != (WIDTH, HEIGHT):
                picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def picture_folder(rng: np.random.Generator, folder: Path) -> str:
    """Every picture has the pixels that Pillow gives; one that Pillow cannot read is refused."""
    expected, mode = [], str(rng.choice(MODES))
    for split in ("train", "test"):
        for label, name in enumerate(("a", "b")):
            (folder / split / name).mkdir(parents=True)
            for number in range(2):
                content = encoded("RGB", rng)
                (folder / split / name / f"{number}.png").write_bytes(content)
                expected += [(label, by_pillow(content))] * (split == "train")
    content, what = encoded(mode, rng), "whole"
    kind = str(rng.choice(["whole", "damaged", "damaged", "foreign", "beside", "huge", "link"]))
    target = folder / "train" / "b" / f"9.{rng.choice(['png', 'jpg', 'JPEG'])}"
    match kind:
        case "damaged":
            content, what = damaged(content, rng)
        case "foreign":
            what = str(rng.choice(list(FOREIGN)))
            content = FOREIGN[what]
        case "huge":
            content, what = bomb(int(rng.integers(20_000, 2**31))), "huge by its header"
        case "beside":
            what = str(rng.choice(BESIDE))
            other = folder / "train" / "b" / what
            other.parent.mkdir(exist_ok=True)
            other.write_bytes(content)
        case "link":
            (folder / "train" / "b" / "loop").symlink_to(folder / "train" / "b")
    target.write_bytes(content)
    pixels = by_pillow(content)
    config = cfg.ImageFolder(
        train_dir=str(folder / "train"), test_dir=str(folder / "test"), height=HEIGHT, width=WIDTH, channels=3
    )
    got = called(lambda: data.load(config, 0))
    case = f"pictures, {mode}, {kind}, {what}"
    if isinstance(got, Refused):
        assert kind != "beside" or mode == "I;16", f"{case}: {got.message}"
        assert kind != "whole" or mode == "I;16", f"{case}: {got.message}"
        assert target.name in got.message, f"{case}: {got.message}"
        return f"{case}: refused"
    assert pixels is not None, f"{case}: read as a picture"
    expected.append((1, pixels))
    assert len(got.train) == len(expected), f"{case}: {len(got.train)} pictures of {len(expected)}"
    for (label, picture), image, known in zip(expected, got.train.images, got.train.labels, strict=True):
        assert label == known, case
        # the scaling of 16 bits may round either way
        assert np.abs(picture.astype(int) - image).max() <= (mode == "I;16"), case
    return f"{case}: read"


def bomb(side: int) -> bytes:
    """A PNG whose header declares so many pixels a side."""
    small = encoded("L", np.random.default_rng(0))
    header = side.to_bytes(4, "big") * 2 + small[24:29]
    return small[:16] + header + zlib.crc32(b"IHDR" + header).to_bytes(4, "big") + small[33:]
