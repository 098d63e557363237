"""Another domain for an adapter that is there: where it distinguishes images that it was not trained on.

Which adapter a small task uses is decided by which domain its images lie near, since a few images measure little.
So an adapter is given a region where, over many small tasks, it is surely better than the trunk alone.

    python -m learnd.learning.processes.extend_adapter trained.safetensors --name thumbnails \
        --data chula-rbc/images.zip \
        --classes benchmarks/splits/chula-rbc.json --out lite0-meta.safetensors
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from learnd.errors import LearndError, exit_code_of
from learnd.learning.metatraining.adapter_training import portrait_of, region_of
from learnd.learning.metatraining.corpus import ImageClasses, read_classes, read_split
from learnd.learning.metatraining.evaluation import EpisodeSetting, draw, nearest_mean, score_of
from learnd.learning.networks.adapters import IDENTITY, Adapter, pack, unpack
from learnd.learning.networks.backbone import Backbone, load_backbone, with_adapters
from learnd.learning.networks.zoo import read_tensors
from learnd.messages.jobs import BackboneSpec

EPISODES = EpisodeSetting(ways=5, shots=5, queries=10, episodes=600)


def extended(backbone: Backbone, name: str, classes: ImageClasses, seed: int) -> tuple[Adapter, dict[str, float]]:
    """The adapter with one more region, where these classes lie, and its accuracy there beside that of the trunk.

    classes: of the backbone's size and colours.  Accuracy: of the nearest class mean, over the same episodes.
    Raises StateError if there is no such adapter, LearndError if it is the identity or is not surely better than
    the trunk, and ValueError if the classes are too few or too small for an episode.
    """
    adapter = backbone.adapted(name).adapter
    if adapter is None:
        remedy = f"name one of its adapters: {', '.join(sorted(backbone.adapters))}"
        raise LearndError("is the trunk itself, which serves every domain", where=f"adapter {name}", remedy=remedy)
    setting = replace(EPISODES, ways=min(EPISODES.ways, len(classes)), seed=seed)
    correct = {who: nearest_means(backbone.adapted(who), classes, setting) for who in (IDENTITY, name)}
    accuracy = {who: score_of(each).accuracy for who, each in correct.items()}
    gain = score_of([more - less for more, less in zip(correct[name], correct[IDENTITY], strict=True)])
    if gain.accuracy <= gain.interval:
        what = f"is right of {accuracy[name]:.1%}, the trunk of {accuracy[IDENTITY]:.1%}: that is not surely better"
        raise LearndError(what, where=f"adapter {name}", remedy="leave the domain to the trunk, or bring more images")
    region = region_of(portrait_of(backbone, classes, seed))
    return replace(adapter, regions=(*adapter.regions, region)), accuracy


def nearest_means(network: Backbone, classes: ImageClasses, setting: EpisodeSetting) -> list[float]:
    """The accuracy of the nearest class mean, by angle, in each episode; the same episodes for every network."""
    features = network.embed(classes.images)  # (M, D)
    generator = torch.Generator().manual_seed(setting.seed)
    labels = torch.arange(setting.ways).repeat_interleave(setting.queries)
    accuracies: list[float] = []
    for _ in range(setting.episodes):
        support, query = draw(classes.rows, setting, generator)  # (W, S), (W, Q)
        accuracies.append(nearest_mean(features, support, query.flatten(), labels))
    return accuracies


def main(arguments: list[str] | None = None) -> int:
    """Write the file with the region added; what was measured goes into its metadata."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="the .safetensors file of the adapters")
    parser.add_argument("--name", required=True, help="of the adapter")
    parser.add_argument("--data", type=Path, required=True, help="a folder or .zip of [<group>/]<class>/<image>")
    parser.add_argument("--classes", type=Path, help='only those under "train" in this .json file')
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--seed", type=int, default=1, help="of the images by which the domain is known")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    tensors, note = read_tensors(options.file)
    _, adapters = unpack(tensors, note, str(options.file))
    backbone = with_adapters(load_backbone(BackboneSpec("lite0")), adapters)
    wanted = read_split(options.classes)["train"] if options.classes else None
    classes = read_classes([options.data], backbone.preprocess, options.threads, wanted)
    adapter, accuracy = extended(backbone, options.name, classes, options.seed)
    packed, facts = pack(adapter if one.name == adapter.name else one for one in adapters)
    said = {"data": options.data.name, "classes": list(classes.names), "accuracy": accuracy, "seed": options.seed}
    key = f"region.{adapter.name}.{len(adapter.regions)}"
    save_file(packed, options.out, metadata={**note, **facts, key: json.dumps(said)})
    print(json.dumps({"out": str(options.out), "accuracy": accuracy}))
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_code_of(main))
