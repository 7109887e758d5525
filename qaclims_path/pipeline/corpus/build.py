"""Building a corpus: resumed after any stop, shared out over machines, one bad image never stops the others.

A corpus `corpus.jsonl` grows as `corpus.jsonl.part`, or as one `corpus.jsonl.i-of-n.part` per shard; the last one that
is done joins them. `corpus.config.yaml` beside it says what it was built with.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch

from qaclims_path.errors import UsageError
from qaclims_path.files.ahead import ahead
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.progress import track
from qaclims_path.files.shards import ALL, Shard
from qaclims_path.language.answerers import load_answerer
from qaclims_path.language.cleaning import domain_cleaner, published_cleaner
from qaclims_path.language.corpus import CorpusWriter, Entry, Key, read_corpus
from qaclims_path.language.counting import only_answers
from qaclims_path.language.questions import KINDS
from qaclims_path.models.judges import load_judge
from qaclims_path.pipeline.corpus.ask import Asker, Opened, opened
from qaclims_path.pipeline.corpus.join import join_parts, sharing
from qaclims_path.pipeline.corpus.options import WAYS_OUT, CorpusOptions, check_built_with, mark_built_with
from qaclims_path.pipeline.corpus.plan import Group, Plan, describe, plan_corpus
from qaclims_path.pipeline.corpus.similarity import Similarity
from qaclims_path.types import Answerer, Judge

SHOWN = 10


@dataclass(frozen=True)
class BuildOptions:
    """What changes nothing in a corpus but the last digits of its scores.

    Attributes:
        shard: The part of the images that this process asks about.
        device: Where models compute.
        dtype: Number format of models.
        batch: Images that a model looks at together.
    """

    shard: Shard = ALL
    device: str = "auto"
    dtype: str = "auto"
    batch: int = 8


@dataclass(frozen=True)
class BuildReport:
    """What a build gave.

    Attributes:
        images: Of the whole corpus.
        pairs: Lines of the whole corpus, one per image and class.
        asked: Images that this run asked about.
        unlabelled: Images without any class, which are passed over.
        failed: Images that could not be read; of this shard, or of the corpus when it is complete.
        failures: The first few of them, with the reason.
        answers: BuildOptions many were given, of this shard or of the corpus when it is complete.
        kept: BuildOptions many of them cleaning kept.
        unlike: BuildOptions many of them were dropped because the judge found them too unlike their image.
        without: Lines for which nothing about the class was kept, before terms were added.
        complete: Whether the corpus is.
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
        options: All that decides the corpus.
        root: The data as its publisher lays it out.
        out: The corpus, a `.jsonl` file; the same call goes on where an earlier one stopped.
        work: Which part, and on what.
        answerer: Somebody who answers, instead of the one that the options name.

    Example:
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
    elif work.shard.of == 1 and (mended := _mended(plan, out)):
        with work.shard.hold(lock):
            asked = _ask_again(options, plan, out, work, answerer, mended)
    return _report(options, plan, out, work.shard, asked)


def _place(out: Path, shard: Shard) -> Path:
    """What the work of a shard is called when it is done; the work of one alone is the corpus."""
    return out if shard.of == 1 else out.with_name(f"{out.name}.{shard}")


def _ask(options: CorpusOptions, plan: Plan, out: Path, work: BuildOptions, answerer: Answerer | None) -> int:
    """Ask about the groups of a shard that are not done; the number of images that were asked about."""
    place = _place(out, work.shard)
    if place.exists():
        return 0
    groups = work.shard.take(plan.groups)
    with CorpusWriter(place) as writer:
        done = writer.resume(plan.keys(group) for group in groups)
        waiting = groups[done:]
        if waiting:
            asker = _asker(options, plan, work, answerer)
            _same_answerer(writer.part, asker.provenance)
            mark_built_with(out, describe(options, plan))  # now that everything is there to begin
            for number, group in enumerate(_opened(waiting), start=done):
                with _drawing(options.seed, work.shard.number - 1 + number * work.shard.of):
                    writer.write(asker.entries(group))
        if work.shard.of > 1:
            writer.finish()
    return sum(map(len, waiting))


def _mended(plan: Plan, out: Path) -> list[int]:
    """The groups with an image that could not be read and now can be, by their place in the plan."""
    unread = {entry.image for entry in read_corpus(out) if entry.error}
    return [
        number
        for number, group in enumerate(plan.groups if unread else ())
        if any(record.id in unread and opened(record).pixels is not None for record in group)
    ]


def _ask_again(
    options: CorpusOptions, plan: Plan, out: Path, work: BuildOptions, answerer: Answerer | None, numbers: Sequence[int]
) -> int:
    """Ask about some groups of a complete corpus once more, and share its terms anew."""
    asker = _asker(options, plan, work, answerer)
    _same_answerer(out, asker.provenance)
    groups = [plan.groups[number] for number in numbers]
    new: dict[Key, Entry] = {}
    for number, group in zip(numbers, _opened(groups), strict=True):
        with _drawing(options.seed, number):
            new |= {entry.key: entry for entry in asker.entries(group)}
    part = CorpusWriter(out).part
    part.unlink(missing_ok=True)  # what a stop has left of this
    with CorpusWriter(out) as writer:
        writer.write(new.get(entry.key) or only_answers(entry) for entry in read_corpus(out))
    join_parts(out, [part], [plan.keys(group) for group in plan.groups], sharing(options.sharing, plan.card))
    return sum(map(len, groups))


def _asker(options: CorpusOptions, plan: Plan, work: BuildOptions, answerer: Answerer | None) -> Asker:
    """Load what the options name."""
    wanted, cleaning = options.answerer, options.cleaning
    judge = _judge(options, work)
    answerer = answerer or load_answerer(
        wanted.kind,
        model=wanted.model,
        revision=wanted.revision,
        device=work.device,
        dtype=work.dtype,
        batch=work.batch,
        size=wanted.size,
        bank=plan.bank,
        lexicon=plan.lexicon,
        organ=plan.organ or None,
        judge=judge,
    )
    provenance = {**answerer.provenance, "bank": f"{plan.bank.name} {plan.bank.hash}"}
    clean = published_cleaner if cleaning.published else domain_cleaner(plan.lexicon, plan.bank.stop)
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
    """Refuse to go on with another answerer, or another revision of it."""
    first = next(read_corpus(part), None)
    if first is not None and first.provenance != provenance:
        before, now = (
            ", ".join(f"{key} {value}" for key, value in made.items()) for made in (first.provenance, provenance)
        )
        raise UsageError(f"{part} was answered by {before}; now it would be {now}. {WAYS_OUT}")


def _opened(groups: Sequence[Group]) -> Iterator[list[Opened]]:
    """Groups with their images read, a few images ahead; shows how many are done."""
    images = ahead(opened, (record for group in groups for record in group))
    shown = track(images, "asking", total=sum(map(len, groups)))
    for group in groups:
        yield list(islice(shown, len(group)))


@contextmanager
def _drawing(seed: int, group: int) -> Iterator[None]:
    """Random numbers of a group, the same after any stop and in any shard; those of the caller stay as they are."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed * 1_000_003 + group)
        yield


def _join(out: Path, plan: Plan, options: CorpusOptions, shards: int) -> None:
    """Join what all shards wrote; the last one that is done does it."""
    parts = [_place(out, Shard(number + 1, shards)) for number in range(shards)]
    if shards == 1:
        parts = [CorpusWriter(out).part]
    elif not all(part.exists() for part in parts):
        return
    try:
        with locked(out.with_name(f".{out.name}.join.lock")):
            if not out.exists():
                join_parts(out, parts, [plan.keys(group) for group in plan.groups], sharing(options.sharing, plan.card))
    except Locked:  # another shard ended in the same moment, and joins
        return


def _report(options: CorpusOptions, plan: Plan, out: Path, shard: Shard, asked: int) -> BuildReport:
    complete = out.exists() or not _place(out, shard).exists()  # the last shard may be joining all just now
    failures: dict[str, str] = {}
    answers = kept = unlike = without = 0
    for entry in track(read_corpus(out if complete else _place(out, shard)), "summing up"):
        said = [one for kind in KINDS for one in entry.said(kind) if one.source == "answer"]
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
