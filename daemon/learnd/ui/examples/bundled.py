"""Real images to try learnd with, offline: scikit-learn carries 1,797 digits and two photographs.  And some to fetch.

``learnd examples NAME DIR`` writes a task folder ``DIR/NAME``.  With ``--held-out DIR2`` it also writes
images that are *not* in the task folder to ``DIR2/NAME``: those are the ones to ask about.  DIR2 lies outside
the watched folder, or they would be taken for a task.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from learnd.errors import LearndError, UsageError
from learnd.suggest import did_you_mean
from learnd.ui.examples.downloadable import COLLECTIONS, classes_of

if TYPE_CHECKING:
    from PIL.Image import Image

ImagesByClass: TypeAlias = "dict[str, list[Image]]"  # by class: its images, in the order of their source

EXAMPLES: Mapping[str, str] = MappingProxyType(  # those of COLLECTIONS are fetched
    {
        "digits-0-4": "handwritten digits 0 to 4, dark ink on white paper (UCI, 8x8, enlarged to 32x32)",
        "digits-5-9": "handwritten digits 5 to 9, dark ink on white paper (UCI, 8x8, enlarged to 32x32)",
        "photos": "pieces of two photographs, a temple and a dahlia (danielbuechele, vultilion; CC BY 2.0)",
        **{name: f"{one.summary}; fetched from the network" for name, one in COLLECTIONS.items()},
    }
)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "learnd"
IMAGES_PER_CLASS = 16
HELD_OUT_PER_CLASS = 4  # of them; the other 12 are in the task folder
TILE = 64  # px: 4 x 4 tiles cover the subject of a photograph


def write_example(name: str, dest: Path, held_out: Path | None = None, root: Path | None = None) -> int:
    """Write the example as the task folder ``dest``: ``<dest>/<class>/<number>.png``.  Returns its images.

    held_out, where given, becomes a folder of the same shape with other images of the same classes.
    Each appears at once, by one rename; nothing is written where one of them exists already.
    root: where collections that are fetched lie, or are put; without one CACHE.
    Raises UsageError for an unknown name, LearndError for a place that is taken, a missing scikit-learn, or what
    cannot be fetched.
    """
    images = _source(name, root or CACHE)
    for place in filter(None, (dest, held_out)):
        if os.path.lexists(place):
            raise LearndError("something is here already", where=str(place), remedy="choose another place")
    kept, others = _divide(images())
    # The task folder is moved last: the daemon takes it as soon as it is there.
    parts = {dest: kept} if held_out is None else {held_out: others, dest: kept}
    with _built(parts) as built:
        for place, ready in built.items():
            ready.rename(place)
    return sum(len(some) for some in kept.values())


def _source(name: str, root: Path) -> Callable[[], ImagesByClass]:
    sources: dict[str, Callable[[], ImagesByClass]] = {
        "digits-0-4": partial(_digits, range(5)),
        "digits-5-9": partial(_digits, range(5, 10)),
        "photos": _photos,
    }
    if name.partition("/")[0] in COLLECTIONS:
        return partial(classes_of, name, root, IMAGES_PER_CLASS)
    if name not in sources:
        raise UsageError(f"there is no example {name!r}", remedy=did_you_mean(name, EXAMPLES))
    return sources[name]


def _digits(digits: range) -> ImagesByClass:
    """Of each digit, images spread evenly over the collection, so that many writers take part."""
    from PIL import Image

    data = _datasets().load_digits()
    images: ImagesByClass = {}
    for digit in digits:
        own = data.images[data.target == digit]  # (some 180, 8, 8), ink in 0..16
        spread = [own[index * len(own) // IMAGES_PER_CLASS] for index in range(IMAGES_PER_CLASS)]
        paper = [(255.0 - ink * (255.0 / 16.0)).round().astype("uint8") for ink in spread]
        images[str(digit)] = [_enlarged(Image.fromarray(pixels)) for pixels in paper]
    return images


def _enlarged(digit: Image) -> Image:
    """An 8x8 digit in the middle of a white 32x32 page: strokes should not touch the border."""
    from PIL import Image

    page = Image.new("L", (32, 32), 255)
    page.paste(digit.resize((26, 26), Image.Resampling.BICUBIC), (3, 3))
    return page


def _photos() -> ImagesByClass:
    """Tiles of the subject of each photograph, row by row; they do not overlap."""
    from PIL import Image

    # The top left corner of each subject, in pixels; both photographs are 640 x 427.
    subjects = {"temple": ("china.jpg", 88, 92), "dahlia": ("flower.jpg", 180, 92)}
    images: ImagesByClass = {}
    for class_name, (file, x, y) in subjects.items():
        photo = Image.fromarray(_datasets().load_sample_image(file))
        corners = [(x + TILE * column, y + TILE * row) for row in range(4) for column in range(4)]
        images[class_name] = [photo.crop((left, top, left + TILE, top + TILE)) for left, top in corners]
    return images


def _datasets() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise LearndError(
            "the examples are images that scikit-learn carries, and it is not installed",
            remedy="python -m pip install scikit-learn",
        ) from error
    return datasets


def _divide(images: ImagesByClass) -> tuple[ImagesByClass, ImagesByClass]:
    """What goes into the task folder, and the HELD_OUT_PER_CLASS of each class that do not."""
    step = IMAGES_PER_CLASS // HELD_OUT_PER_CLASS
    held = range(step // 2, IMAGES_PER_CLASS, step)  # places in the class
    kept = {name: [image for at, image in enumerate(some) if at not in held] for name, some in images.items()}
    others = {name: [image for at, image in enumerate(some) if at in held] for name, some in images.items()}
    return kept, others


@contextmanager
def _built(parts: dict[Path, ImagesByClass]) -> Iterator[dict[Path, Path]]:
    """Each part, written beside its place under a name that the daemon ignores; removed if not moved."""
    built = {place: place.with_name(f".{place.name}.{os.getpid()}.tmp") for place in parts}
    try:
        for place, classes in parts.items():
            for class_name, images in classes.items():
                folder = built[place] / class_name
                folder.mkdir(parents=True)
                for number, image in enumerate(images, 1):
                    image.save(folder / f"{number:02}.png")
        yield built
    finally:
        for folder in built.values():
            shutil.rmtree(folder, ignore_errors=True)
