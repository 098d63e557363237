"""Write the splits from the archives that LEARND_DATA names."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.splits import characters, folders, hashed_halves, random_split

data = Path(os.environ.get("LEARND_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
classes = characters([data / "omniglot" / f"images_{part}.zip" for part in ("background", "evaluation")])
splits = {
    "omniglot-random": random_split(classes),
    "chula-rbc": hashed_halves(folders(data / "chula-rbc" / "images.zip")),
}
for name, split in splits.items():
    target = Path(__file__).parent / f"{name}.json"
    target.write_text(json.dumps(split, indent=0) + "\n")
    print(f"{target}: {sum(map(len, split.values()))} classes")
