"""Build a corpus; a stopped build is resumed, shards share the work, and a bad image does not stop the others.

A corpus `corpus.jsonl` grows as `corpus.jsonl.part`, or as one `corpus.jsonl.i-of-n.part` per shard; the last shard to
end joins them. `corpus.config.yaml` beside it holds the options it was built with.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch

from qaclims_path.compute.devices import device_of
from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.cores import threads_beside
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.progress import track
from qaclims_path.files.shards import Shard
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.cleaning import domain_cleaner, published_cleaner
from qaclims_path.language.corpus import Entry, Key, read_corpus
from qaclims_path.language.corpus_writer import CorpusWriter
from qaclims_path.language.counting import only_answers
from qaclims_path.language.questions import KINDS
from qaclims_path.language.wordnet import WordNet
from qaclims_path.models.judges import load_judge
from qaclims_path.pipeline.corpus.ask import Asker, Opened, opened
from qaclims_path.pipeline.corpus.join import join_parts, sharing
from qaclims_path.pipeline.corpus.options import (
    WAYS_OUT,
    BuildOptions,
    CorpusOptions,
    check_built_with,
    mark_built_with,
)
from qaclims_path.pipeline.corpus.plan import CorpusPlan, Group, describe, plan_corpus
from qaclims_path.pipeline.corpus.similarity import Similarity
from qaclims_path.types import Answerer, Judge

SHOWN = 10


@dataclass(frozen=True)
class BuildReport:
    """Result of a build; numbers are of this shard, or of the whole corpus when it is complete.

    Attributes:
        images: Number of images of the whole corpus.
        pairs: Number of lines of the whole corpus, one per image and class.
        asked: Number of images that this run asked about.
        unlabelled: Number of images without a class, which are skipped.
        failed: Number of images that could not be read.
        failures: The first few of them, with the reason.
        answers: Number of answers.
        kept: Number of answers that cleaning kept.
        unlike: Number of answers that were dropped because the judge found them too unlike their image.
        without: Number of lines without any kept answer about the class, before terms were added.
        complete: Whether the corpus is complete.
    """

    out: str
    dataset: str
    split: str
    images: int
    pairs: int
    asked: int
    unlabelled: int
    failed: int
    failures: tuple[str, ...]
    answers: int
    kept: int
    unlike: int
    without: int
    complete: bool


def build_corpus(
    options: CorpusOptions, root: Path, out: Path, work: BuildOptions | None = None, *, answerer: Answerer | None = None
) -> BuildReport:
    """Ask about every class of every image of a split, and write the corpus.

    Args:
        options: Everything that affects the corpus.
        root: Folder of the data in the publisher's layout.
        out: The corpus, a `.jsonl` file; the same call resumes a stopped build.
        work: Shard, device and batch.
        answerer: Replaces the answerer that the options name.

    Examples:
        >>> options = load_corpus_options("phantom")  # doctest: +SKIP
        >>> build_corpus(options, Path("phantom"), Path("corpus.jsonl")).complete  # doctest: +SKIP
        True
    """
    work = work or BuildOptions()
    if out.suffix != ".jsonl":
        raise UsageError(f"{out} should end in .jsonl, because a corpus is a file of JSON Lines.")
    plan = plan_corpus(options, root)
    check_built_with(out, describe(options, plan))
    asked = 0
    lock = out.with_name(f".{out.name}.lock")
    if not out.exists():
        with work.shard.hold(lock):
            check_built_with(out, describe(options, plan))  # again under the lock
            if not out.exists():
                asked = _ask(options, plan, out, work, answerer)
                _join(out, plan, options, work.shard.of)
    elif work.shard.of == 1 and (again := _readable_again(plan, out)):
        with work.shard.hold(lock):
            asked = _ask_again(options, plan, out, work, answerer, again)
    return _report(options, plan, out, work.shard, asked)


def _shard_file(out: Path, shard: Shard) -> Path:
    """Return the file of a shard that is done; a single shard is the corpus."""
    return out if shard.of == 1 else out.with_name(f"{out.name}.{shard}")


def _ask(options: CorpusOptions, plan: CorpusPlan, out: Path, work: BuildOptions, answerer: Answerer | None) -> int:
    """Ask about the groups of a shard that are not done; returns the number of images that were asked about."""
    path = _shard_file(out, work.shard)
    if path.exists():
        return 0
    groups = work.shard.take(plan.groups)
    with CorpusWriter(path) as writer:
        done = writer.resume(plan.keys(group) for group in groups)
        waiting = groups[done:]
        if waiting:
            asker = _asker(options, plan, work, answerer)
            _same_answerer(writer.part, asker.provenance)
            mark_built_with(out, describe(options, plan))  # everything that can fail early has been loaded
            for number, group in enumerate(_opened(waiting, work.device), start=done):
                with _drawing(options.seed, work.shard.number - 1 + number * work.shard.of):
                    writer.write(asker.entries(group))
        if work.shard.of > 1:
            writer.finish()
    return sum(map(len, waiting))


def _readable_again(plan: CorpusPlan, out: Path) -> list[int]:
    """Return indices of the groups with an image that could not be read before and can be read now."""
    unread = {entry.image for entry in read_corpus(out) if entry.error}
    return [
        number
        for number, group in enumerate(plan.groups if unread else ())
        if any(record.id in unread and opened(record).pixels is not None for record in group)
    ]


def _ask_again(
    options: CorpusOptions,
    plan: CorpusPlan,
    out: Path,
    work: BuildOptions,
    answerer: Answerer | None,
    numbers: Sequence[int],
) -> int:
    """Ask about some groups of a complete corpus again, and share its terms again."""
    asker = _asker(options, plan, work, answerer)
    _same_answerer(out, asker.provenance)
    groups = [plan.groups[number] for number in numbers]
    new: dict[Key, Entry] = {}
    for number, group in zip(numbers, _opened(groups, work.device), strict=True):
        with _drawing(options.seed, number):
            new |= {entry.key: entry for entry in asker.entries(group)}
    part = CorpusWriter(out).part
    part.unlink(missing_ok=True)  # left by a run that was stopped here
    with CorpusWriter(out) as writer:
        writer.write(new.get(entry.key) or only_answers(entry) for entry in read_corpus(out))
    join_parts(out, [part], [plan.keys(group) for group in plan.groups], sharing(options.sharing, plan.card))
    return sum(map(len, groups))


def _asker(options: CorpusOptions, plan: CorpusPlan, work: BuildOptions, answerer: Answerer | None) -> Asker:
    """Load the models that the options name."""
    wanted, cleaning = options.answerer, options.cleaning
    wordnet = WordNet.read(Path(cleaning.wordnet)) if cleaning.wordnet else None
    judge = _judge(options, work)
    setup = Setup(
        model=wanted.model,
        revision=wanted.revision,
        device=work.device,
        dtype=work.dtype,
        batch=work.batch,
        size=wanted.size,
        decoding=wanted.decoding,
        bank=plan.bank,
        lexicon=plan.lexicon,
        organ=plan.organ or None,
        judge=judge,
    )
    answerer = answerer or load_answerer(wanted.kind, setup)
    provenance = {**answerer.provenance, "bank": f"{plan.bank.name} {plan.bank.hash}"}
    clean = published_cleaner(wordnet) if cleaning.published else domain_cleaner(plan.lexicon, plan.bank.stop)
    if judge is None or cleaning.min_similarity is None:
        return Asker(plan, answerer, clean, provenance)
    provenance["similarity"] = f"{judge.card.id} {judge.card.revision}"
    return Asker(plan, answerer, clean, provenance, Similarity(judge, plan.bank.templates), cleaning.min_similarity)


def _judge(options: CorpusOptions, work: BuildOptions) -> Judge | None:
    if options.judge is None:
        if options.cleaning.min_similarity is not None:
            raise UsageError("cleaning.min_similarity needs a judge to measure it. Give judge.id, or leave it out.")
        return None
    dtype = cast("Any", work.dtype)
    return load_judge(options.judge.id, revision=options.judge.revision, device=work.device, dtype=dtype)


def _same_answerer(part: Path, provenance: Mapping[str, str]) -> None:
    """Refuse to continue with another answerer, or another revision of it."""
    first = next(read_corpus(part), None)
    if first is not None and first.provenance != provenance:
        before, now = (
            ", ".join(f"{key} {value}" for key, value in made.items()) for made in (first.provenance, provenance)
        )
        raise UsageError(f"{part} was answered by {before}; now it would be {now}. {WAYS_OUT}")


def _opened(groups: Sequence[Group], device: str) -> Iterator[list[Opened]]:
    """Yield groups with their images, which are read a few ahead; a bar shows how many are done."""
    threads = threads_beside(device_of(device).type)
    images = ahead(opened, (record for group in groups for record in group), threads)
    shown = track(images, "asking", total=sum(map(len, groups)))
    for group in groups:
        yield list(islice(shown, len(group)))


@contextmanager
def _drawing(seed: int, group: int) -> Iterator[None]:
    """Seed the random numbers of a group, independent of stops and shards; those of the caller are restored."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed * 1_000_003 + group)
        yield


def _join(out: Path, plan: CorpusPlan, options: CorpusOptions, shards: int) -> None:
    """Join the parts of all shards; the shard that ends last does it."""
    parts = [_shard_file(out, Shard(number + 1, shards)) for number in range(shards)]
    if shards == 1:
        parts = [CorpusWriter(out).part]
    elif not all(part.exists() for part in parts):
        return
    try:
        with locked(out.with_name(f".{out.name}.join.lock")):
            if not out.exists():
                join_parts(out, parts, [plan.keys(group) for group in plan.groups], sharing(options.sharing, plan.card))
    except Locked:  # another shard ended at the same time, and joins
        return


def _report(options: CorpusOptions, plan: CorpusPlan, out: Path, shard: Shard, asked: int) -> BuildReport:
    complete = out.exists() or not _shard_file(out, shard).exists()  # the last shard may be joining the parts
    failures: dict[str, str] = {}
    answers = kept = unlike = without = 0
    for entry in track(read_corpus(out if complete else _shard_file(out, shard)), "summing up"):
        said = [one for kind in KINDS for one in entry.answers(kind) if one.source == "answer"]
        answers += len(said)
        kept += sum(bool(one.text) for one in said)
        unlike += sum(one.unlike for one in said)
        without += not any(one.text and one.source == "answer" for one in entry.foreground)
        if entry.error:
            failures[entry.image] = entry.error
    return BuildReport(
        out=str(out),
        dataset=plan.card.name,
        split=options.split,
        images=plan.images,
        pairs=plan.pairs,
        asked=asked,
        unlabelled=plan.unlabelled,
        failed=len(failures),
        failures=tuple(f"{image}: {error}" for image, error in list(failures.items())[:SHOWN]),
        answers=answers,
        kept=kept,
        unlike=unlike,
        without=without,
        complete=complete,
    )
