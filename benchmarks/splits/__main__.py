"""Write omniglot-random.json from the archives that LEARND_DATA names."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.splits import characters, random_split

data = Path(os.environ.get("LEARND_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
classes = characters([data / "omniglot" / f"images_{part}.zip" for part in ("background", "evaluation")])
target = Path(__file__).parent / "omniglot-random.json"
target.write_text(json.dumps(random_split(classes), indent=0) + "\n")
print(f"{target}: {len(classes)} characters")
