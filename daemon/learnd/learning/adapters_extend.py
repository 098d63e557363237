"""Another domain for an adapter that is there: where it tells images apart that it was not trained on.

Which adapter a small task uses is decided by its looks, since a few images measure little.  So an adapter is given a
region where, on many images, it is surely better than the trunk as it is, by the test that chooses for a task.

    python -m learnd.learning.adapters_extend trained.safetensors --name thumbnails --data cells \
        --out lite0-meta.safetensors
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from learnd.errors import LearndError
from learnd.learning.adapters import IDENTITY, Adapter, pack, unpack
from learnd.learning.adapters_train import portrait_of, region_of
from learnd.learning.backbones import Backbone, load_backbone, with_adapters
from learnd.learning.choosing import left_out, surely_better
from learnd.learning.corpus import Classes, read_classes
from learnd.learning.zoo import read_tensors
from learnd.wire import BackboneSpec


def extended(backbone: Backbone, name: str, classes: Classes, seed: int) -> tuple[Adapter, dict[str, float]]:
    """The adapter with one more region, where these classes lie, and its accuracy there beside that of the trunk.

    classes: of the backbone's size and colours.  Accuracy: each image told by the nearest class mean of the others.
    Raises LearndError where there is no such adapter, or it is not surely better than the trunk.
    """
    adapter = backbone.adapted(name).adapter
    assert adapter is not None
    rows = torch.cat(classes.rows)
    labels = torch.arange(len(classes)).repeat_interleave(classes.sizes)
    right = {who: left_out(backbone.adapted(who).embed(classes.images[rows]), labels) for who in (IDENTITY, name)}
    accuracy = {who: float(told.double().mean()) for who, told in right.items()}
    if not surely_better(right[name], right[IDENTITY]):
        what = f"is right of {accuracy[name]:.1%}, the trunk of {accuracy[IDENTITY]:.1%}: that is not surely better"
        raise LearndError(what, where=f"adapter {name}", remedy="leave the domain to the trunk, or bring more images")
    region = region_of(portrait_of(backbone, classes, seed))
    return replace(adapter, regions=(*adapter.regions, region)), accuracy


def main(arguments: list[str] | None = None) -> int:
    """Write the file with the region added; what was measured goes into its metadata."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="the .safetensors file of the adapters")
    parser.add_argument("--name", required=True, help="of the adapter")
    parser.add_argument("--data", type=Path, required=True, help="a folder or .zip of [<group>/]<class>/<image>")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--seed", type=int, default=1, help="of the images by which the domain is known")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    tensors, note = read_tensors(options.file)
    _, adapters = unpack(tensors, note, str(options.file))
    backbone = with_adapters(load_backbone(BackboneSpec("lite0")), adapters)
    classes = read_classes([options.data], backbone.preprocess, options.threads)
    adapter, accuracy = extended(backbone, options.name, classes, options.seed)
    packed, facts = pack(adapter if one.name == adapter.name else one for one in adapters)
    said = {"data": options.data.name, "classes": list(classes.names), "accuracy": accuracy, "seed": options.seed}
    key = f"region.{adapter.name}.{len(adapter.regions)}"
    save_file(packed, options.out, metadata={**note, **facts, key: json.dumps(said)})
    print(json.dumps({"out": str(options.out), "accuracy": accuracy}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
