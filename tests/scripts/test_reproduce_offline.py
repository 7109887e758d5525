"""The script of all offline rows: its tables from counts made by hand, and the whole of it on a made-up data set."""

import csv
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

from qaclims_path.data.cards import load_card
from qaclims_path.data.listing import list_records
from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.recipes.fake import make_fake


@pytest.fixture
def scripts(checkout, monkeypatch):
    monkeypatch.syspath_prepend(checkout / "scripts")
    return checkout / "scripts"


@pytest.fixture
def results(scripts, tmp_path):
    """Two rows with three seeds over 40 images of tumor, stroma and normal; one gets more of tumor right."""
    from offline.plan import SETS, Job, Plan
    from offline.table import Result

    rng = np.random.default_rng(0)
    shared = rng.integers(40, 60, (40, 3))

    def result(row, seed, tumor):
        counts = np.stack([shared, np.full_like(shared, 100), np.full_like(shared, 100)], axis=2)
        counts[:, 0, 0] += tumor + seed
        return Result(Job(Plan(tmp_path, tmp_path), SETS["wsss4luad"], row, seed), {"cams": counts, "seg": counts})

    return [result("cam+", seed, 0) for seed in range(3)] + [result("qa-clims-path", seed, 20) for seed in range(3)]


def test_a_gain_is_paired(results):
    from offline.table import gain, miou

    base, row = results[:3], results[3:]
    point, low, high = gain(row, base, "cams")
    of = base[0].job.of
    both = [np.mean([miou(each.counts["cams"].sum(0), of) for each in side]) for side in (row, base)]
    assert point == pytest.approx(both[0] - both[1])
    assert 0 < low < point < high
    assert high - low < 0.02  # images that are hard for one row are hard for the other
    assert gain(row, [], "cams") is None


def test_the_worst_class_is_named(results):
    from offline.table import worst_class

    base, row = results[:3], results[3:]
    row[1].counts["cams"][:, 1, 0] -= 30
    loss, name = worst_class(row, base)
    assert loss < -0.2
    assert name == "stroma, seed 1"


def test_tables_are_written(results, tmp_path):
    from offline.plan import Plan
    from offline.table import write_tables

    text = write_tables(results, Plan(tmp_path, tmp_path)).read_text()
    assert "| qa-clims-path | 3 |" in text
    assert "40 validation images" in text
    runs = runs_in(tmp_path)
    assert [(line["row"], line["seed"]) for line in runs][:2] == [("cam+", "0"), ("cam+", "1")]
    assert float(runs[0]["cams_low"]) < float(runs[0]["cams"]) < float(runs[0]["cams_high"])
    assert runs[0]["masks"] == ""


def test_a_gain_has_to_survive_the_controls(results, tmp_path):
    from offline.plan import Plan
    from offline.table import write_tables

    assert "against its controls" not in write_tables(results, Plan(tmp_path, tmp_path)).read_text()
    alike = [replace(each, job=replace(each.job, row="shuffled")) for each in results[3:]]
    text = write_tables([*results, *alike], Plan(tmp_path, tmp_path)).read_text()
    assert "`qa-clims-path` against its controls: CAM +0.0 [+0.0, +0.0] over `shuffled`; segmenter +0.0" in text


def test_gains_of_images_are_the_differences_of_their_scores(results):
    from offline.pictures import gains
    from offline.table import miou

    base, mine = results[0], results[3]
    more = gains(base, mine)
    of = base.job.of
    assert more.shape == (40,)
    alone = [float(miou(each, of)) for each in (base.counts["cams"][7], mine.counts["cams"][7])]
    assert more[7] == pytest.approx(alone[1] - alone[0])
    mine.counts["cams"][3] = 0  # nothing there, nothing found
    assert gains(base, mine)[3] == 0


def test_every_recipe_loads_and_differs_only_where_it_should(scripts, tmp_path, monkeypatch):
    from offline.plan import SETS, Job, Plan, rows_of

    monkeypatch.chdir(scripts.parent)
    for of in SETS.values():
        found = {row: Job(Plan(tmp_path, tmp_path), of, row, 0).options() for row in rows_of(of)}
        assert {"start", "cam", "cam+", "names", "shuffled", "clims", "qa-clims", "qa-clims-path", "supervised"} <= {
            *found
        }
        taught = [each for row, each in found.items() if row not in ("start", "supervised")]
        for same in ("network", "augment", "train", "init"):
            assert len({getattr(each.cam, same).model_dump_json() for each in taught}) == 1, same
        every = [each for row, each in found.items() if row != "supervised"]
        assert len({each.masks.model_dump_json() for each in every}) == 1
        assert len({each.seg.train.model_dump_json() for each in found.values()}) == 1
        assert [row for row, each in found.items() if each.seg.truth] == ["supervised"]


def test_what_has_no_words_is_the_method_but_for_its_contrasts(scripts, tmp_path, monkeypatch):
    from offline.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    for of, row in ((SETS["voc"], "silent"), *((SETS[name], "cam+") for name in ("phantom", "wsss4luad"))):
        silent, whole = (Job(Plan(tmp_path, tmp_path), of, each, 0).options().cam for each in (row, of.method))
        assert {**whole.losses, "foreground": 0.0, "background": 0.0} == dict(silent.losses), of.name
        assert (silent.train, silent.augment, silent.init) == (whole.train, whole.augment, whole.init)


def test_a_real_judge_and_a_model_that_answers_take_the_place_of_stand_ins(scripts, tmp_path, monkeypatch):
    from offline.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    here = Job(Plan(tmp_path, tmp_path), SETS["voc"], "qa-clims", 0).options()
    assert (here.cam.judge.centred, here.corpus.judge.id) == (False, here.cam.judge.id)
    real = Job(Plan(tmp_path, tmp_path, judge="hf-hub:a/b"), SETS["voc"], "qa-clims", 0).options()
    assert (real.cam.judge.id, real.corpus.judge.id) == ("hf-hub:a/b", "hf-hub:a/b")
    assert (real.cam.judge.centred, real.corpus.lexicon) == (True, "natural")
    assert not Job(Plan(tmp_path, tmp_path, judge="hf-hub:a/b"), SETS["voc"], "control", 0).options().cam.judge.centred
    asked = Job(Plan(tmp_path, tmp_path, "hf-hub:a/b", "blip"), SETS["wsss4luad"], "qa-clims-path", 0).options().corpus
    assert (asked.answerer.kind, asked.answerer.model) == ("blip", "Salesforce/blip-vqa-base")
    assert (asked.judge, asked.lexicon) == (None, "none")
    other = Job(Plan(tmp_path, tmp_path, answerer="blip:my/own"), SETS["wsss4luad"], "qa-clims-path", 0).options()
    assert other.corpus.answerer.model == "my/own"


def test_the_ablation_changes_one_thing_at_a_time(scripts, tmp_path, monkeypatch):
    from offline.plan import ABLATION, SETS, Job, Plan, changes_nothing

    monkeypatch.chdir(scripts.parent)
    plan, of = Plan(tmp_path, tmp_path), SETS["wsss4luad"]
    whole = Job(plan, of, "qa-clims-path", 0).options().cam.model_dump()
    alike = set()
    for row in ABLATION:
        job = Job(plan, of, row, 0)
        found = job.options().cam.model_dump()
        apart = [key for section in ("losses", "judge", "augment", "init") for key in found[section]
                 if found[section][key] != whole[section][key]]  # fmt: skip
        assert len(apart) == (0 if changes_nothing(job) else 1), row
        assert found["train"] == whole["train"]
        alike |= {row} if changes_nothing(job) else set()
    assert alike == {"glass-shown"}


def test_parts_are_compared_with_the_whole(results, tmp_path):
    from offline.plan import Plan
    from offline.table import write_tables

    less = [replace(each, job=replace(each.job, row="no-floor")) for each in results[:3]]
    text = write_tables([*results, *less], Plan(tmp_path, tmp_path)).read_text()
    main, _, parts = text.partition("Parts of `qa-clims-path`")
    assert "no-floor" not in main
    assert "losses.floor" not in main
    (line,) = (line for line in parts.splitlines() if line.startswith("| `losses.floor=0` | 3 |"))
    assert "(-" in line


def test_settings_about_words_are_for_rows_with_words(scripts, tmp_path, monkeypatch):
    from offline.plan import SETS, Job, Plan, rows_of

    monkeypatch.chdir(scripts.parent)
    plan = Plan(tmp_path, tmp_path, settings=("losses.classification=0.7", "judge.glass=show", "train.epochs=2"))
    for row in rows_of(SETS["wsss4luad"]):
        found = Job(plan, SETS["wsss4luad"], row, 0).options().cam
        assert found.train.epochs == 2
        changed = found.losses.get("classification") == 0.7
        assert changed == (row not in ("start", "cam", "supervised")), row


def test_folders_may_be_called_anything(scripts, tmp_path, monkeypatch):
    from offline.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    place = tmp_path / 'x "🔬" ä'
    found = Job(Plan(place, place), SETS["wsss4luad"], "qa-clims", 0).options()
    assert found.cam.network.weights.startswith(f"{place}/")
    assert found.cam.judge.id == found.corpus.judge.id == str(place / "wsss4luad" / "judge")


def test_painted_tiles_are_as_many_as_estimated_and_never_taken_for_others(scripts, tmp_path):
    from offline.phantom import MARK, PATIENTS, TILES, paint, tiles_of

    card, root = scripts / "offline" / "cards" / "phantom-ceiling.yaml", tmp_path / "phantom" / "data"
    paint(card, root, quick=True)
    for split in ("train", "val", "supervised"):
        assert len(list_records(load_card(card), root, split)) == tiles_of(split, quick=True)
    assert tiles_of("supervised", quick=False) == PATIENTS["train"] * TILES
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    paint(card, root, quick=True)
    with pytest.raises(UsageError, match=r"made with .*'train': 1.* and now .*'train': 20.* Choose another --out"):
        paint(card, root, quick=False)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    (root / MARK).unlink()
    with pytest.raises(BadFile, match=r"cannot be read.* Choose another --out, or remove .*phantom with its runs"):
        paint(card, root, quick=True)


def test_the_judge_of_glands_learns_from_labels_of_both_sets(scripts, tmp_path):
    from offline.glands import gather

    cards = scripts / "offline" / "cards"
    for name, folder in (("glas-patches", "glas"), ("wsss4luad-ceiling", "wsss4luad")):
        make_fake(load_card(cards / f"{name}.yaml"), tmp_path / folder, images=8)
    gather(cards, tmp_path, tmp_path / "lesson")
    card = load_card(cards / "glands.yaml")
    assert card.split("train").labels_from == "table"
    records = list_records(card, tmp_path / "lesson", "train")
    held = {record.id: {card.names[label] for label in record.present or ()} for record in records}
    of_glas = list_records(load_card(cards / "glas-patches.yaml"), tmp_path / "glas", "train")
    of_luad = list_records(load_card(cards / "wsss4luad-ceiling.yaml"), tmp_path / "wsss4luad", "train")
    assert len(held) == len(of_glas) + len(of_luad)
    for record in of_glas:
        assert held[f"glas-{record.id}"] == {"stroma"} | ({"gland"} if record.present else set())
    renamed = "gland", "stroma", "normal_lung"
    for record in of_luad:
        assert held[f"wsss4luad-{record.id}"] == {renamed[label] for label in record.present or ()}
    before = (tmp_path / "lesson" / "labels.csv").stat().st_mtime_ns
    gather(cards, tmp_path, tmp_path / "lesson")
    assert (tmp_path / "lesson" / "labels.csv").stat().st_mtime_ns == before
    shutil.rmtree(tmp_path / "wsss4luad")
    with pytest.raises(QaclimsError, match="wsss4luad"):
        gather(cards, tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.fixture
def made_up(scripts, tmp_path):
    card = load_card(scripts / "offline" / "cards" / "wsss4luad-ceiling.yaml")
    make_fake(card, tmp_path / "data" / "wsss4luad", images=8)
    (tmp_path / "data" / "weights").mkdir()
    network = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0)
    weights = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    save_file(weights, tmp_path / "data" / "weights" / "mobilenetv2_100.imagenet.safetensors")
    return tmp_path


def runs_in(folder):
    with (folder / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def reproduce(scripts, place, *more):
    command = [
        sys.executable,
        scripts / "reproduce_offline.py",
        "--data",
        "data",
        "--out",
        "out",
        "--sets",
        "wsss4luad",
    ]
    command += ["--seeds", "1", "--threads", "1", "--quick", *more]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_whole_script_on_made_up_data(scripts, made_up):
    rows = ["--rows", "cam+", "qa-clims-path", "supervised"]
    planned = reproduce(scripts, made_up, *rows, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("seed 0: about") == 3
    assert not (made_up / "out").exists()
    done = reproduce(scripts, made_up, *rows)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {line["row"]: line for line in runs_in(made_up / "out")}
    assert set(runs) == {"cam+", "qa-clims-path", "supervised"}
    with Image.open(made_up / "out" / "wsss4luad" / "gains.png") as sheet:
        assert np.asarray(sheet).std() > 10
    assert all(runs["qa-clims-path"][what] for what in ("cams", "masks", "seg", "seconds", "peak_mib"))
    assert runs["supervised"]["cams"] == ""
    text = (made_up / "out" / "table.md").read_text()
    assert "Judge `judge`" in text
    counts = made_up / "out" / "wsss4luad" / "supervised" / "seed0" / "counts.npz"
    before = counts.stat().st_mtime_ns
    again = reproduce(scripts, made_up, "--rows", "supervised")
    assert again.returncode == 0, again.stderr
    assert "not done yet" not in again.stdout
    assert counts.stat().st_mtime_ns == before


@pytest.mark.slow
def test_maps_alone_keep_the_rest_and_another_judge_is_refused(scripts, made_up):
    rows = ["--rows", "cam+"]
    assert reproduce(scripts, made_up, *rows).returncode == 0
    (before,) = runs_in(made_up / "out")
    again = reproduce(scripts, made_up, *rows, "--set", "evaluate.what=[cams]")
    assert again.returncode == 0, again.stderr
    (after,) = runs_in(made_up / "out")
    assert [after[what] for what in ("cams", "masks", "seg")] == [before[what] for what in ("cams", "masks", "seg")]
    assert after["seg"]
    other = reproduce(scripts, made_up, *rows, "--judge", "hf-hub:wisdomik/QuiltNet-B-32")
    assert other.returncode == 2
    assert "was made with {'judge': None}, and now {'judge': 'hf-hub:wisdomik/QuiltNet-B-32'}" in other.stderr


def test_a_folder_belongs_to_one_plan(scripts, tmp_path):
    from offline.plan import Plan
    from reproduce_offline import MARK, _remember

    plan = Plan(tmp_path, tmp_path / "out", settings=("losses.floor=0", "evaluate.what=[cams]"))
    _remember(plan)
    _remember(replace(plan, settings=("losses.floor=0",)))  # says what is scored, and changes no run
    for other in (
        replace(plan, settings=("init.keep=0.5",)),
        replace(plan, quick=True),
        replace(plan, answerer="blip"),
    ):
        with pytest.raises(UsageError, match=r"was made with .*, and now .* is asked for\. Ask for the same as before"):
            _remember(other)
    (plan.out / MARK).unlink()
    run = plan.out / "voc" / "cam" / "seed0"
    run.mkdir(parents=True)
    (run / "counts.npz").touch()
    with pytest.raises(UsageError, match=r"holds runs and no plan\.json that says how they were made"):
        _remember(plan)


def test_words_that_the_bridge_does_not_know_are_not_asked_for(scripts, made_up):
    found = reproduce(scripts, made_up, "--sets", "voc", "--answerer", "blip", "--dry-run")
    assert found.returncode == 2
    assert "no other word that 'blip' may answer with. Name one with --judge" in found.stderr


def test_a_dry_run_paints_nothing(scripts, made_up):
    planned = reproduce(scripts, made_up, "--sets", "phantom", "--rows", "cam", "supervised", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.count("seed 0: about") == 2
    assert not (made_up / "out").exists()


def test_missing_weights_are_named(scripts, tmp_path):
    found = reproduce(scripts, tmp_path)
    assert found.returncode == 2
    assert "mobilenetv2_100.imagenet.safetensors is not there" in found.stderr
