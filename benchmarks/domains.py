"""One CNN for everything: plain ImageNet features beside lite0-meta, on classes that neither has seen.

    python -m benchmarks.domains                # ten minutes on two cores the first time; features are kept in a
    python -m benchmarks.domains --episodes 60  # temporary folder, and then it is seconds

An episode's queries are told by the nearest class mean, by angle.  lite0-meta uses in every episode the adapter that
the daemon would use: chosen on the episode's support alone.  Support and query never share a source: a drawer of
Omniglot, a smear of red blood cells.  No adapter was trained on any class that is asked about here.  Half of the red
blood cells were looked at, to see that an adapter is good at them; the other half is asked about.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.splits import read_split
from learnd.learning.jobs.adapter_choice import compare
from learnd.learning.metatraining.evaluation import EpisodeScore, nearest_mean, score_of
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.networks.images import load_batch
from learnd.messages.jobs import BackboneSpec
from learnd.messages.task import EXTENSIONS
from tests.data import data_folder


@dataclass(frozen=True)
class BenchmarkDomain:
    """source: a pattern whose match in a file's name is the image's source.  support, query: images kept of a class.

    split: only the classes that test in this split.
    """

    name: str
    archive: str
    source: str
    support: int = 30
    query: int = 30
    split: str | None = None


@dataclass(frozen=True)
class DomainSetting:
    """An episode: so many classes, images of each to learn from, and at most so many to ask about."""

    domain: BenchmarkDomain
    ways: int
    shots: int
    queries: int = 15


OMNIGLOT = BenchmarkDomain(
    "Omniglot evaluation", "omniglot/images_evaluation.zip", r"\d\d(?=\.png)", support=5, query=3
)
CIFAR = BenchmarkDomain("CIFAR-FS test", "cifar-fs/test.zip", r".+")
EUROSAT = BenchmarkDomain("EuroSAT", "eurosat/images.zip", r".+")
CELLS = BenchmarkDomain("Chula RBC", "chula-rbc/images.zip", r"^\d+", split="chula-rbc")
DOMAIN_SETTINGS = (
    DomainSetting(OMNIGLOT, 20, 1),
    DomainSetting(OMNIGLOT, 5, 5),
    DomainSetting(CIFAR, 5, 5),
    DomainSetting(EUROSAT, 5, 5),
    DomainSetting(CELLS, 5, 5),
)


@dataclass(frozen=True)
class DomainImages:
    """A domain embedded: adapter -> features float32 (N, D); the rows of each class to learn from and to ask about."""

    features: Mapping[str, Tensor]
    support: tuple[Tensor, ...]
    query: tuple[Tensor, ...]


@dataclass(frozen=True)
class DomainResult:
    """Of one setting: the plain features' score, lite0-meta's, and how often it used which adapter."""

    plain: EpisodeScore
    meta: EpisodeScore
    used: Mapping[str, int]


def chosen_files(domain: BenchmarkDomain) -> tuple[list[str], dict[str, tuple[list[int], list[int]]]]:
    """The files to read, and of each class the numbers of those to learn from and to ask about."""
    with zipfile.ZipFile(data_folder() / domain.archive) as opened:
        files = sorted(name for name in opened.namelist() if name.endswith(EXTENSIONS))
    if domain.split is not None:
        asked_about = set(read_split(domain.split)["test"])
        files = [name for name in files if _class(name) in asked_about]
    of_source: dict[str, list[str]] = {}
    for name in files:
        of_source.setdefault(_source(domain, name), []).append(name)
    asked = _deal(of_source)
    kept: list[str] = []
    classes: dict[str, tuple[list[int], list[int]]] = {}
    for name in files:
        side = int(name in asked)
        mine = classes.setdefault(_class(name), ([], []))[side]
        if len(mine) < (domain.support, domain.query)[side]:
            mine.append(len(kept))
            kept.append(name)
    return kept, classes


def _deal(of_source: Mapping[str, list[str]]) -> set[str]:
    """The files to ask about: of every source all or none, and of every class about a half.

    The largest sources first, each to the side on which its classes have less; equal ones by a hash of their names.
    """
    ahead: Counter[str] = Counter()  # of each class, images to learn from less those to ask about
    asked: set[str] = set()
    for source in sorted(of_source, key=lambda source: (-len(of_source[source]), _digest(source))):
        own = Counter(map(_class, of_source[source]))
        if sum(ahead[name] * count for name, count in own.items()) <= 0:
            ahead.update(own)
        else:
            ahead.subtract(own)
            asked.update(of_source[source])
    return asked


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _class(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _source(domain: BenchmarkDomain, name: str) -> str:
    found = re.search(domain.source, PurePosixPath(name).name)
    if found is None:
        raise ValueError(f"{name} does not say its source, {domain.source!r}")
    return found.group()


def embed(domain: BenchmarkDomain, networks: Mapping[str, Backbone], cache: Path) -> DomainImages:
    """The domain's images under each network, from the cache where they are already there."""
    files, classes = chosen_files(domain)
    features: dict[str, Tensor] = {}
    images: Tensor | None = None
    for name, network in networks.items():
        key = _digest("\n".join((network.hash, name, domain.archive, *files)))[:16]
        path = cache / f"{key}.safetensors"
        if not path.is_file():
            images = _read(domain, files, network) if images is None else images
            save_file({"features": network.embed(images)}, path)
        features[name] = load_file(path)["features"]
    support, query = zip(*((torch.tensor(s), torch.tensor(q)) for s, q in classes.values()), strict=True)
    return DomainImages(features, support, query)


def _read(domain: BenchmarkDomain, files: list[str], network: Backbone) -> Tensor:
    with zipfile.ZipFile(data_folder() / domain.archive) as opened:
        contents = [(name, opened.read(name)) for name in files]
    images, errors = load_batch(contents, network.preprocess, 2)
    if errors:
        raise errors[0]
    return images


def measure(backbone: Backbone, pool: DomainImages, setting: DomainSetting, episodes: int, seed: int) -> DomainResult:
    """The two scores over the same episodes."""
    generator = torch.Generator().manual_seed(seed)
    plain: list[float] = []
    meta: list[float] = []
    used: Counter[str] = Counter()
    for _ in range(episodes):
        classes = torch.randperm(len(pool.support), generator=generator)[: setting.ways].tolist()
        support = torch.stack([_some(pool.support[k], setting.shots, generator) for k in classes])  # (W, S)
        queries = [_some(pool.query[k], setting.queries, generator) for k in classes]
        query, labels = torch.cat(queries), torch.cat([torch.full_like(q, w) for w, q in enumerate(queries)])
        known = torch.arange(setting.ways).repeat_interleave(setting.shots)
        seen = {name: values[support.flatten()] for name, values in pool.features.items()}
        adapter = compare(backbone, seen, known).adapter
        used[adapter] += 1
        plain.append(nearest_mean(pool.features[IDENTITY], support, query, labels))
        meta.append(nearest_mean(pool.features[adapter], support, query, labels))
    return DomainResult(score_of(plain), score_of(meta), used)


def _some(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where lite0-meta is below the plain features, or below its bar on glyphs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "learnd-domains")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.cache.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(BackboneSpec("lite0-meta"))
    networks = {IDENTITY: load_backbone(BackboneSpec("lite0")), **backbone.adapters}
    title = f"nearest class mean, per cent, {options.episodes} episodes, seed {options.seed}, 95 % intervals"
    table = Table("domain", "setting", "lite0 (ImageNet)", "lite0-meta", "adapters used", title=title)
    held = True
    for setting in DOMAIN_SETTINGS:
        pool = embed(setting.domain, networks, options.cache)
        result = measure(backbone, pool, setting, options.episodes, options.seed)
        shares = ", ".join(f"{name} {count / options.episodes:.1%}" for name, count in result.used.items())
        episode = f"{setting.ways}-way {setting.shots}-shot"
        table.add_row(setting.domain.name, episode, str(result.plain), str(result.meta), shares)
        held &= result.meta.accuracy >= result.plain.accuracy
        held &= setting.shots > 1 or result.meta.accuracy >= 0.9
    Console(width=120).print(table)
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
