import json

import numpy as np
import pytest
from typer.testing import CliRunner

from qaclims_path.cli.corpus import app
from qaclims_path.data.cards import load_card
from qaclims_path.data.fake import write_fake
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadConfig, BadFile, QaclimsError, UsageError
from qaclims_path.language.corpus import read_corpus


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "voc"
    write_fake(load_card("voc2012"), folder, seed=0, images=4)
    return folder


@pytest.fixture(scope="module")
def published(root):
    """Answer files as QA-CLIMS publishes them, for all images but one."""
    card = load_card("voc2012")
    tables = {"fg": {}, "bg": {}}
    for record in list_records(card, root, "train_aug")[1:]:
        for index in record.present:
            name = card.classes[index].title
            tables["fg"].setdefault(record.id, {})[name] = {"vqa": [("kind?", "Old one")], "answers": ["old one"]}
            tables["bg"].setdefault(record.id, {})[name] = {
                "vqa": [("above?", "the [bold]sky"), ("under?", "grass")],
                "answers": ["the [bold]sky", "grass"],
            }
    for kind, table in tables.items():
        np.save(root / f"{kind}.npy", np.array(table, dtype=object), allow_pickle=True)
    return root / "fg.npy", root / "bg.npy"


def qaclims(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, QaclimsError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def corpus(published, tmp_path):
    out = tmp_path / "imported.jsonl"
    code, said = qaclims("import", *published, "--out", out, "--dataset", "voc2012")
    assert (code, "about 3 images" in said) == (0, True)
    return out


def test_import_needs_two_files(published, tmp_path):
    assert json.loads(qaclims("import", *published, "--out", tmp_path / "a.jsonl", "--json")[1])["images"] == 3
    with pytest.raises(BadFile, match="cannot be read"):
        qaclims("import", published[0], tmp_path / "nothing.npy", "--out", tmp_path / "b.jsonl")


def test_show(corpus, root, tmp_path):
    code, said = qaclims("show", corpus)
    assert code == 0
    assert "the [bold]sky" in said
    image = next(read_corpus(corpus)).image
    assert "Old one" in qaclims("show", corpus, "--image", image)[1]
    found = json.loads(qaclims("show", corpus, "--json", "--terms", "1")[1])
    assert found["classes"][0]["background"][0][0] == "grass"
    page = tmp_path / "page.html"
    code, said = qaclims("show", corpus, "--html", page, "--root", root, "--dataset", "voc2012", "--split", "train_aug")
    assert (code, page.read_text().count("<img") > 0) == (0, True)
    with pytest.raises(UsageError, match="Give --html too"):
        qaclims("show", corpus, "--root", root)
    with pytest.raises(UsageError, match="not both"):
        qaclims("show", corpus, "--html", page, "--dataset", "voc2012", "--card", "card.yaml")


@pytest.mark.parametrize("words", [["--terms", "0"], ["--examples", "-1"], ["--seed", "-1"]])
def test_what_cannot_be_shown_is_said(corpus, words):
    with pytest.raises(BadConfig, match=f"'{words[0][2:]}': Input should be greater .*given: {words[1]}"):
        qaclims("show", corpus, *words)


def test_examples_are_chosen_with_the_seed(corpus):
    def shown(*words):
        found = json.loads(qaclims("show", corpus, "--json", "--examples", "1", *words)[1])
        return [example["image"] for one in found["classes"] for example in one["examples"]]

    assert shown() == shown("--seed", "0")
    assert any(shown() != shown("--seed", str(seed)) for seed in range(1, 9))


def test_stats_and_diff(corpus, tmp_path):
    code, said = qaclims("stats", corpus)
    assert (code, "answerer published" in said) == (0, True)
    assert json.loads(qaclims("stats", corpus, "--json")[1])["images"] == 3
    other = tmp_path / "other.jsonl"
    other.write_bytes(corpus.read_bytes().replace(b'"text": "grass"', b'"text": "lawn"'))
    code, said = qaclims("diff", corpus, other)
    assert code == 0
    assert "lawn" in said
    assert json.loads(qaclims("diff", corpus, other, "--json")[1])["same"] == 0


def test_build(root, published, tmp_path):
    """With the published files as the answerer, which is the one way that needs no model."""
    out = tmp_path / "corpus.jsonl"
    files = ",".join(map(str, published))
    chosen = [f"--set=answerer={{kind: file, model: '{files}'}}", "--set=cleaning.published=true"]
    code, said = qaclims("build", "voc2012", "--root", root, "--out", out, *chosen, "--dry-run")
    assert code == 0
    assert "what is above the" in said
    assert not out.exists()
    assert (
        json.loads(qaclims("build", "voc2012", "--root", root, "--out", out, "--dry-run", "--json")[1])["images"] == 4
    )
    code, said = qaclims("build", "voc2012", "--root", root, "--out", out, *chosen)
    assert (code, "4 images" in said) == (0, True)
    report = json.loads(qaclims("build", "voc2012", "--root", root, "--out", out, *chosen, "--json")[1])
    assert report["complete"]
    assert report["asked"] == 0
    with pytest.raises(UsageError, match="should look like 2/8"):
        qaclims("build", "voc2012", "--root", root, "--out", out, "--shard", "two")


def test_images_that_cannot_be_read_show_in_the_exit_code(published, tmp_path):
    folder = tmp_path / "voc"
    write_fake(load_card("voc2012"), folder, seed=0, images=2)
    files = ",".join(map(str, published))
    chosen = ["--root", folder, f"--set=answerer={{kind: file, model: '{files}'}}"]
    images = [record.image.path for record in list_records(load_card("voc2012"), folder, "train_aug")]
    images[0].write_bytes(b"")
    code, said = qaclims("build", "voc2012", *chosen, "--out", tmp_path / "some.jsonl")
    assert code == 3
    assert images[0].name in said
    images[1].unlink()
    images[1].write_bytes(b"")
    assert qaclims("build", "voc2012", *chosen, "--out", tmp_path / "none.jsonl")[0] == 1
