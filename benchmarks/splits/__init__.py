"""Which classes train, validate and test: committed files, and the generator that made them.

omniglot-random.json: 1,200 characters to train on and 423 to test, drawn at random over all 50 alphabets, as in
Vinyals et al. 2016 ("Matching Networks for One Shot Learning"); 100 of the 1,200 are held back for validation.
Lake's split needs no file: images_background (30 alphabets) trains, images_evaluation (20) tests.  CIFAR-FS needs
none either: its archives are train (64 classes), val (16) and test (20).

chula-rbc.json: half of the 12 kinds of red blood cells, by a hash of their names, may be looked at while a network is
made; the other half tests.

    python -m benchmarks.splits      # writes both again, the same
"""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from pathlib import Path

TEST, VALIDATION, SEED = 423, 100, 1200

Split = dict[str, list[str]]  # "train" | "validation" | "test" -> class names, "[<group>/]<class>"


def read_split(name: str) -> Split:
    """A committed split by its name, e.g. "omniglot-random"."""
    split: Split = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return split


def characters(archives: list[Path]) -> list[str]:
    """Every "<alphabet>/<character>" of Omniglot's archives, sorted."""
    found: set[str] = set()
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            found |= {"/".join(name.split("/")[1:3]) for name in opened.namelist() if name.endswith(".png")}
    return sorted(found)


def folders(archive: Path) -> list[str]:
    """The class of every "<class>/<image>", sorted."""
    with zipfile.ZipFile(archive) as opened:
        return sorted({name.split("/")[0] for name in opened.namelist() if "/" in name})


def hashed_halves(classes: list[str]) -> Split:
    """Half of the classes trains, half tests, whatever their order."""
    ordered = sorted(classes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    half = len(ordered) // 2
    return {"train": sorted(ordered[:half]), "validation": [], "test": sorted(ordered[half:])}


def random_split(classes: list[str]) -> Split:
    """The same for the same classes, whatever else draws random numbers."""
    shuffled = list(classes)
    random.Random(SEED).shuffle(shuffled)
    test, validation, train = shuffled[:TEST], shuffled[TEST : TEST + VALIDATION], shuffled[TEST + VALIDATION :]
    return {"train": sorted(train), "validation": sorted(validation), "test": sorted(test)}
