"""Building a corpus: killed, sharded, with missing images, models and labels; always the same bytes."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from qaclims_path.assets import asset_dir
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.errors import BadConfig, BadFile, QaclimsError, UsageError
from qaclims_path.files.lock import Locked, locked
from qaclims_path.files.shards import Shard
from qaclims_path.language.cleaning import published_texts
from qaclims_path.language.corpus import read_corpus
from qaclims_path.pipeline.corpus import build as corpus_build
from qaclims_path.pipeline.corpus.build import build_corpus
from qaclims_path.pipeline.corpus.options import (
    BuildOptions,
    CleaningOptions,
    CorpusOptions,
    config_path,
    load_corpus_options,
)
from qaclims_path.pipeline.corpus.plan import describe, plan_corpus
from qaclims_path.pipeline.datasets.options import CutOptions
from qaclims_path.pipeline.datasets.tile_images import tile_images
from qaclims_path.types import Answer

RUN = """
import runpy, sys
from pathlib import Path
here = runpy.run_path(sys.argv[1])
here["build_corpus"](here["OPTIONS"], Path(sys.argv[2]), Path(sys.argv[3]), answerer=here["Toy"]())
"""
OPTIONS = CorpusOptions(dataset="wsss4luad", together=3)


class Toy:
    """Its answers depend on the pixels, on random numbers, and on the other questions of the call."""

    def __init__(self, revision="1"):
        self.provenance = {"answerer": "toy", "revision": revision}

    def answer(self, asks):
        said = ["Nuclei <b>\x1b[31m</b>", "Pink collagens", f"the {asks[0].label}", "yes"]
        return [
            Answer(said[(int(ask.pixels()[0, 0, 0]) + 3 * len(ask.question)) % 4], float(score) + len(asks))
            for ask, score in zip(asks, torch.rand(len(asks)), strict=True)
        ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "wsss4luad"
    write_fake(load_card("wsss4luad"), folder, seed=0, images=20)
    return folder


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "corpus.jsonl"
    report = build_corpus(OPTIONS, root, out, answerer=Toy())
    assert report.complete
    assert (report.failed, report.asked, report.images + report.unlabelled) == (0, report.images, 20)
    assert sorted(path.name for path in out.parent.glob("[!.]*")) == ["corpus.config.yaml", "corpus.jsonl"]
    return out.read_bytes()


def entries(content):
    return [json.loads(line) for line in content.splitlines()]


def test_one_line_per_image_and_class(root, undisturbed):
    plan = plan_corpus(OPTIONS, root)
    keys = [key for group in plan.groups for key in plan.keys(group)]
    found = entries(undisturbed)
    assert [(line["image"], line["label"]) for line in found] == keys
    first = found[0]
    asked = [said for said in first["foreground"] if said.get("source") is None]
    assert [said["question"] for said in asked] == [
        question.about("tumor epithelium") for question in plan.bank.of_kind("foreground")
    ]
    assert plan.bank.organ == "lung"
    assert first["provenance"] == {"answerer": "toy", "revision": "1", "bank": f"histology {plan.bank.hash}"}
    assert len({line["pixels"] for line in found}) == plan.images
    raw = {said["raw"]: said["text"] for line in found for said in line["foreground"]}
    assert raw["Nuclei <b> [31m</b>"] == "nucleus [31m"
    assert raw["yes"] == ""


def test_the_same_again_asks_nothing_and_changes_nothing(root, undisturbed, tmp_path):
    out = tmp_path / "corpus.jsonl"
    build_corpus(OPTIONS, root, out, answerer=Toy())
    assert out.read_bytes() == undisturbed
    again = build_corpus(OPTIONS, root, out)  # no judge is given, and none is needed
    questions = len(plan_corpus(OPTIONS, root).bank.questions)
    assert (again.asked, again.complete, again.answers) == (0, True, again.pairs * questions)
    assert 0 < again.kept < again.answers


def test_a_killed_run_is_resumed(root, undisturbed, tmp_path, killed_after):
    out, part = tmp_path / "corpus.jsonl", tmp_path / "corpus.jsonl.part"
    killed_after("qaclims_path.language.corpus_writer.CorpusWriter.write", 1, RUN, __file__, root, out)
    assert not out.exists()
    grown = part.read_bytes()
    assert 0 < grown.count(b"\n") < undisturbed.count(b"\n")
    part.write_bytes(grown + b'{"image": "cut o')
    report = build_corpus(OPTIONS, root, out, answerer=Toy())
    assert 0 < report.asked < report.images
    assert out.read_bytes() == undisturbed


def test_shards_join_to_the_same_bytes(root, undisturbed, tmp_path):
    out = tmp_path / "corpus.jsonl"
    first = build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 3)), answerer=Toy())
    assert not first.complete
    assert first.asked < first.images
    assert not build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 3)), answerer=Toy()).asked
    assert not build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(3, 3)), answerer=Toy()).complete
    assert build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(2, 3)), answerer=Toy()).complete
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["corpus.config.yaml", "corpus.jsonl"]


def test_more_shards_than_groups(root, undisturbed, tmp_path):
    out = tmp_path / "corpus.jsonl"
    for number in range(1, 10):
        report = build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(number, 9)), answerer=Toy())
    assert report.complete
    assert out.read_bytes() == undisturbed


def test_images_that_another_shard_joined_meanwhile_are_not_asked_again(root, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "corpus.jsonl"
    build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())

    hold = Shard.hold

    def late_hold(shard, lock):
        monkeypatch.undo()
        assert build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(2, 2)), answerer=Toy()).complete
        return hold(shard, lock)

    monkeypatch.setattr(Shard, "hold", late_hold)
    late = build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())
    assert (late.asked, late.complete) == (0, True)
    assert out.read_bytes() == undisturbed


def test_a_shard_that_ends_while_another_joins_is_complete(root, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "corpus.jsonl"
    build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())
    join = corpus_build._join

    def joined(*given):
        join(*given)
        out.rename(tmp_path / "joined")  # is not there yet when it is looked for
        exists = Path.exists

        def late(path):
            if path == out:
                (tmp_path / "joined").rename(out)
                monkeypatch.undo()
                return False
            return exists(path)

        monkeypatch.setattr(Path, "exists", late)

    monkeypatch.setattr(corpus_build, "_join", joined)
    assert build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(2, 2)), answerer=Toy()).complete
    assert out.read_bytes() == undisturbed


def test_two_at_once_are_refused_but_shards_share(root, tmp_path):
    out = tmp_path / "corpus.jsonl"
    with locked(tmp_path / ".corpus.jsonl.lock"), pytest.raises(Locked):
        build_corpus(OPTIONS, root, out, answerer=Toy())
    with locked(tmp_path / ".corpus.jsonl.lock", shared=True), locked(tmp_path / ".corpus.jsonl-1-of-2.lock"):
        assert build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(2, 2)), answerer=Toy()).asked
        with pytest.raises(Locked):
            build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())


def test_another_seed_draws_other_numbers(root, undisturbed, tmp_path):
    out = tmp_path / "corpus.jsonl"
    build_corpus(OPTIONS.model_copy(update={"seed": 1}), root, out, answerer=Toy())
    assert out.read_bytes() != undisturbed
    assert [line["image"] for line in entries(out.read_bytes())] == [line["image"] for line in entries(undisturbed)]


def test_other_options_or_another_answerer_are_refused(root, tmp_path):
    out = tmp_path / "corpus.jsonl"
    build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())
    with pytest.raises(UsageError, match=r"together was 3, now 4\. Choose another --out"):
        build_corpus(OPTIONS.model_copy(update={"together": 4}), root, out, answerer=Toy())
    done = tmp_path / "corpus.jsonl.1-of-2"
    done.rename(tmp_path / "corpus.jsonl.1-of-2.part")
    (tmp_path / "corpus.jsonl.1-of-2.part").write_bytes((tmp_path / "corpus.jsonl.1-of-2.part").read_bytes()[:-20])
    other = Toy(revision="2")
    with pytest.raises(UsageError, match=r"answered by answerer toy, revision 1, .*now it would be"):
        build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=other)
    build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(1, 2)), answerer=Toy())
    with pytest.raises(BadFile, match="different answerers"):
        build_corpus(OPTIONS, root, out, BuildOptions(shard=Shard(2, 2)), answerer=other)


def test_a_corpus_without_its_options_is_refused(root, tmp_path):
    out = tmp_path / "corpus.jsonl"
    out.write_text("precious\n")
    with pytest.raises(UsageError, match="exists, but"):
        build_corpus(OPTIONS, root, out, answerer=Toy())
    with pytest.raises(UsageError, match=r"end in \.jsonl"):
        build_corpus(OPTIONS, root, tmp_path / "corpus.json", answerer=Toy())
    assert out.read_text() == "precious\n"


def test_unreadable_images_are_recorded(root, undisturbed, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(root, data)
    plan = plan_corpus(OPTIONS, data)
    broken = plan.groups[1][1]
    broken.image.path.write_bytes(broken.image.path.read_bytes()[:100])
    out = tmp_path / "corpus.jsonl"
    report = build_corpus(OPTIONS, data, out, answerer=Toy())
    assert (report.complete, report.failed) == (True, 1)
    assert broken.id in report.failures[0]
    found = {entry.key: entry for entry in read_corpus(out)}
    assert len(found) == report.pairs
    entry = found[broken.id, plan.keys([broken])[0][1]]
    assert "is damaged" in entry.error
    assert entry.foreground == entry.background == ()
    before = out.read_bytes()
    assert build_corpus(OPTIONS, data, out, answerer=Toy()).asked == 0
    assert out.read_bytes() == before


def test_repaired_images_are_asked_about(root, undisturbed, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(root, data)
    first, last = (plan_corpus(OPTIONS, data).groups[index][0] for index in (0, -1))
    whole = {record.id: record.image.path.read_bytes() for record in (first, last)}
    for record in (first, last):
        record.image.path.write_bytes(whole[record.id][:100])
    out = tmp_path / "corpus.jsonl"
    assert build_corpus(OPTIONS, data, out, answerer=Toy()).failed == 2
    first.image.path.write_bytes(whole[first.id])
    report = build_corpus(OPTIONS, data, out, answerer=Toy())
    assert (report.failed, report.asked) == (1, OPTIONS.together)
    last.image.path.write_bytes(whole[last.id])
    out.with_name("corpus.jsonl.part").write_text("left by a process that was killed")
    with pytest.raises(UsageError, match="was answered by"):
        build_corpus(OPTIONS, data, out, answerer=Toy(revision="2"))
    assert build_corpus(OPTIONS, data, out, answerer=Toy()).failed == 0
    assert out.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.glob("[!.]*.*")) == ["corpus.config.yaml", "corpus.jsonl"]


def test_images_without_answers_get_the_terms_of_their_class(root, tmp_path):
    class Silent(Toy):
        def answer(self, asks):
            first = asks[0].image
            return [
                Answer("stroma cell" if ask.kind == "foreground" and ask.image == first else "", 0.0) for ask in asks
            ]

    def built(name, **sharing):
        options = OPTIONS.model_copy(update={"sharing": OPTIONS.sharing.model_copy(update=sharing)})
        report = build_corpus(options, root, tmp_path / name, answerer=Silent())
        assert report.without > 0
        return list(read_corpus(tmp_path / name))

    card = load_card("wsss4luad")
    prompts = {info.name: info.prompts for info in card.classes}
    shared = built("shared.jsonl")
    assert all(entry.texts("foreground") for entry in shared)
    assert all(entry.texts("background") == () for entry in shared)
    assert {said.source for entry in shared for said in entry.foreground} >= {"answer", "corpus"}
    for entry in built("alone.jsonl", fallback=0):
        assert entry.texts("foreground") in (prompts[entry.label], *[("stroma cell",) * n for n in range(1, 9)])
    for entry in built("added.jsonl", card="add"):
        assert entry.texts("foreground")[-len(prompts[entry.label]) :] == prompts[entry.label]
    assert any(not entry.texts("foreground") for entry in built("bare.jsonl", fallback=0, card="none"))


def test_an_answerer_with_too_few_answers_is_refused(root, tmp_path):
    class Short(Toy):
        def answer(self, asks):
            return super().answer(asks)[1:]

    with pytest.raises(QaclimsError, match=r"'toy' gave .* answers to"):
        build_corpus(OPTIONS, root, tmp_path / "corpus.jsonl", answerer=Short())


def test_missing_inputs_are_sentences(root, tmp_path):
    with pytest.raises(UsageError, match="needs a judge"):
        build_corpus(OPTIONS, root, tmp_path / "a.jsonl")
    changed = OPTIONS.model_copy(update={"together": 2})  # nothing was asked yet, so nothing is in the way
    assert build_corpus(changed, root, tmp_path / "a.jsonl", answerer=Toy()).complete
    with pytest.raises(UsageError, match="takes its labels from masks"):
        build_corpus(OPTIONS.model_copy(update={"split": "val"}), root, tmp_path / "b.jsonl", answerer=Toy())
    cleaning = OPTIONS.cleaning.model_copy(update={"min_similarity": 0.2})
    with pytest.raises(UsageError, match="min_similarity needs a judge"):
        build_corpus(OPTIONS.model_copy(update={"cleaning": cleaning}), root, tmp_path / "c.jsonl", answerer=Toy())


def test_a_judge_that_cannot_be_loaded_leaves_nothing_behind(root, tmp_path):
    (tmp_path / "judge").mkdir()
    options = load_corpus_options("wsss4luad", [f"judge.id={tmp_path / 'judge'}"])
    for shard in (Shard(1, 1), Shard(1, 2)):
        with pytest.raises(BadFile, match="no safetensors weights"):
            build_corpus(options, root, tmp_path / "out" / "corpus.jsonl", BuildOptions(shard=shard))
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_published_cleaning_keeps_every_text_at_its_question():
    assert published_texts(["grass", "dog", "grass", "", "tree"], "dog", "background") == ["grass", "", "", "", "tree"]
    assert published_texts(["poodle", "dog"], "dog", "foreground") == ["poodle dog", "dog"]


def test_wordnet_shortens_whole_answers_and_is_known_by_its_content(root, tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.noun").write_text("nucleus n 1 2 @ ~ 1 0 00001740\n")
        (tmp_path / name / "noun.exc").write_text("nuclei nucleus\n")
    options = OPTIONS.model_copy(
        update={"cleaning": CleaningOptions(published=True, lemmatiser="wordnet", wordnet=str(tmp_path / "here"))}
    )
    toy = Toy()
    toy.answer = lambda asks: [Answer(("nuclei", "pink nuclei")[len(ask.question) % 2], 0.0) for ask in asks]
    build_corpus(options, root, tmp_path / "corpus.jsonl", answerer=toy)
    kept = {one.text for entry in read_corpus(tmp_path / "corpus.jsonl") for one in entry.background if one.text}
    assert kept == {"nucleus", "pink nuclei"}
    assert str(tmp_path) not in config_path(tmp_path / "corpus.jsonl").read_text()
    moved = options.cleaning.model_copy(update={"wordnet": str(tmp_path / "there")})
    assert build_corpus(options.model_copy(update={"cleaning": moved}), root, tmp_path / "corpus.jsonl").asked == 0
    (tmp_path / "there" / "noun.exc").write_text("nuclei nucleuses\n")
    with pytest.raises(UsageError, match="corpus"):
        build_corpus(options.model_copy(update={"cleaning": moved}), root, tmp_path / "corpus.jsonl")


def test_options_of_later_versions_are_not_in_the_description_of_an_older_corpus(root):
    described = describe(OPTIONS, plan_corpus(OPTIONS, root))
    assert set(described["answerer"]) == {"kind", "model", "revision", "size"}
    assert set(described["cleaning"]) == {"published", "min_similarity"}


@pytest.mark.parametrize(
    ("cleaning", "message"),
    [
        ({"published": True, "lemmatiser": "wordnet"}, "belong together"),
        ({"published": True, "wordnet": "folder"}, "belong together"),
        ({"lemmatiser": "wordnet", "wordnet": "folder"}, "it needs 'published: true'"),
    ],
)
def test_wordnet_without_folder_or_use_is_refused(cleaning, message):
    with pytest.raises(BadConfig, match=message):
        CleaningOptions(**cleaning)


@pytest.mark.parametrize("path", sorted((asset_dir("configs") / "corpus").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_plans_its_questions(path, tmp_path):
    base = path.stem in ("tissue", "photo")
    options, root = load_corpus_options(path.stem, ["dataset=wsss4luad"] if base else []), tmp_path / "data"
    write_fake(load_card(options.dataset), root, seed=0, images=2)
    if path.stem == "bcss":  # its regions have masks alone; their tiles have labels
        tile_images(load_card("bcss"), root, tmp_path / "tiles", CutOptions(size=32))
        root = tmp_path / "tiles"
        options = load_corpus_options("bcss", [f"dataset={root / 'card.yaml'}"])
    plan = plan_corpus(options, root)
    assert plan.pairs > 0
    assert (plan.lexicon is None) == (plan.card.domain == "natural" or path.stem == "photo")
    with pytest.raises(UsageError, match=r"'limitt'.*Did you mean 'limit'"):
        load_corpus_options(path.stem, ["dataset=wsss4luad", "limitt=2"])


def test_a_missing_configuration_is_a_sentence():
    with pytest.raises(UsageError, match=r"no corpus configuration 'phantm'\. Did you mean 'phantom'"):
        load_corpus_options("phantm")


def test_paths_of_models_are_not_written(root, tmp_path):
    options = OPTIONS.model_copy(
        update={"answerer": OPTIONS.answerer.model_copy(update={"model": str(root), "kind": "file"})}
    )
    build_corpus(options, root, tmp_path / "corpus.jsonl", answerer=Toy())
    text = config_path(tmp_path / "corpus.jsonl").read_text()
    assert "model: wsss4luad" in text
    assert str(tmp_path) not in text
