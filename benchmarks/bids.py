"""What the built-in algorithms bid, beside what they take: python -m benchmarks.bids [--backbone conv4] [--shots 5]

Seconds of one adapt on a 5-way task of noise, the quickest of a few, with one thread; expected seconds are the bid's.
"""

from __future__ import annotations

import argparse
import time

import torch

from learnd.learning.contract.algorithm import Algorithm, Context, Support
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec
from learnd.messages.task import Task, TaskOptions

BID_WAYS = 5


def noise(backbone: Backbone, shots: int) -> Support:
    """A support of noise: what is in the images does not matter for the time."""
    taken = backbone.preprocess
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (BID_WAYS * shots, taken.channels, taken.size, taken.size), generator=generator)
    labels = torch.arange(BID_WAYS).repeat_interleave(shots)
    pixels = images.to(torch.uint8)
    return Support(pixels, backbone.embed(pixels), labels, BID_WAYS)


def seconds_of(algorithm: Algorithm, backbone: Backbone, support: Support) -> float:
    """The quickest of three calls, or of fewer if they take long."""
    took: list[float] = []
    while len(took) < 3 and sum(took) < 4.0:  # the first call may import what torch needs
        begun = time.perf_counter()
        algorithm.adapt(backbone.private(), support, Context(torch.Generator().manual_seed(0)))
        took.append(time.perf_counter() - begun)
    return min(took)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="conv4")
    parser.add_argument("--shots", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone, shots = load_backbone(BackboneSpec(options.backbone)), options.shots
    names = tuple("abcde")
    about = (backbone.name, backbone.features, backbone.macs, "cpu", tuple(sorted(backbone.meta)))
    task = Task("noise", "noise", 1, names, (shots,) * BID_WAYS, 0, TaskOptions(), *about)
    support = noise(backbone, shots)
    print(f"{options.backbone}, {BID_WAYS}-way {shots}-shot")
    print("| algorithm | score | expected seconds | seconds |")
    print("|---|---|---|---|")
    for name, algorithm in sorted(load_catalogue(None, {}).algorithms.items()):
        bid = algorithm.bid(task)
        took = seconds_of(algorithm, backbone, support)
        print(f"| {name} | {bid.score:.2f} | {bid.seconds:.4f} | {took:.4f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
