"""Options of runs: all shipped recipes, defaults between sections, and refusals."""

import pytest
import yaml

from qaclims_path.config import read_yaml
from qaclims_path.data.cards import load_card
from qaclims_path.errors import BadConfig, NotRegistered
from qaclims_path.pipeline.configs import Recipe, recipe_names
from qaclims_path.pipeline.masks.options import load_boundary_options
from qaclims_path.pipeline.run.listing import stages_of
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.steps import Run, classes_of


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_loads_and_its_resolved_form_is_a_recipe(recipe, tmp_path):
    options = load_run(recipe, ["judge.id=vinid/plip"])
    assert set(Recipe.model_fields) - set(options.tree) <= {"corpus"}
    assert (options.corpus is not None) == (options.shared.words.source in ("answers", "shuffled"))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(options.tree))
    assert load_run(path).tree == options.tree
    assert read_yaml(path) == options.tree


@pytest.mark.parametrize("recipe", ["voc2012/qa-clims", "voc2012/clims", "coco2014/cam"])
def test_published_settings_load(recipe):
    assert load_run(recipe, ["published=true", "judge.id=openai/clip-vit-base-patch32"]).shared.published


def test_sections_take_seed_protocol_and_encoder_from_the_recipe():
    options = load_run("phantom/cam", ["seed=3", "masks.refiner=irn", "evaluate.protocol=mlps"])
    assert options.seg.train.seed == options.boundary.train.seed == 3
    assert options.seg.protocol == "mlps"
    assert options.seg.network.encoder == options.cam.network.backbone
    own = load_run("phantom/cam", ["seed=3", "seg.train.seed=5"])
    assert own.seg.train.seed == 5


def test_the_judge_of_the_run_ranks_the_answers():
    options = load_run("bcss-wsss/qa-clims-path", ["judge.id=owner/name"])
    assert options.corpus.judge.id == "owner/name"
    other = load_run("bcss-wsss/qa-clims-path", ["judge.id=owner/name", "corpus.judge.id=owner/other"])
    assert other.corpus.judge.id == "owner/other"
    blip = "corpus.answerer={kind: blip, model: owner/blip}"
    assert load_run("bcss-wsss/qa-clims-path", ["judge.id=owner/name", blip]).corpus.judge.id == "owner/name"
    assert load_run("voc2012/qa-clims").corpus.judge is None  # answers are neither ranked nor measured there


@pytest.mark.parametrize(
    ("recipe", "setting", "classes"),
    [
        ("bcss-wsss/cam", "cams.gate=auto", "all"),
        ("bcss-wsss/cam", "cams.gate=oracle", "present"),
        ("voc2012/cam", "cams.gate=auto", "present"),
        ("voc2012/cam", "cams.gate=none", "all"),
    ],
)
def test_tissue_is_scored_without_a_gate_and_photographs_as_published(recipe, setting, classes, tmp_path):
    run = Run(load_run(recipe, [setting]), tmp_path, tmp_path)
    assert classes_of(run, "val") == classes
    assert classes_of(run, run.options.shared.split) == "present"


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        (["masks.refiner=cfr"], NotRegistered, "Did you mean 'crf'"),
        (["seg.network.architecture=unett"], NotRegistered, "Did you mean 'unet'"),
        (["evaluate.what=[]"], BadConfig, "evaluate.*'what'"),
        (["mask.refiner=crf"], BadConfig, "unknown key 'mask'. Did you mean 'masks'"),
        (["masks.threshold=foo"], BadConfig, "'threshold': Input should be 'protocol' or 'cross-fitted' .given: 'foo'"),
        (["evaluate.whatt=[cams]"], BadConfig, "unknown key 'whatt'"),
        (["masks=crf"], BadConfig, "'masks': should hold"),
        (["cams.overlays=3"], BadConfig, "unknown key 'overlays'"),
        (["corpus.answrer.kind=blip"], BadConfig, "unknown key 'answrer'. Did you mean 'answerer'"),  # not read by cam
        (["masks.boundary.trian.epochs=1"], BadConfig, "unknown key 'trian'. Did you mean 'train'"),
    ],
)
def test_wrong_options_are_refused(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        load_run("phantom/cam", settings)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("sed: 3", "as_published: unknown key 'sed'. Did you mean 'seed'?"),
        ("cam: {trian: {lr: 1}}", "as_published, cam: unknown key 'trian'. Did you mean 'train'?"),
        ("cam: {train: {lr: fast}}", "as_published, cam: 'train.lr': Input should be a valid number"),
        ("cam: {init: {train: {epoch: 3}}}", "as_published, cam.init.train: unknown key 'epoch'"),
        ("cam: {losses: {sharpnes: 3}}", "as_published, cam.losses: unknown key 'sharpnes'. Did you mean 'sharpness'?"),
        ("cam: {losses: 3}", "as_published, cam: 'losses': Input should be a valid dictionary"),
        ("masks: {boundary: {siz: 3}}", "as_published, masks.boundary: unknown key 'siz'. Did you mean 'size'?"),
        ("masks: {boundary: 3}", "as_published: 'masks.boundary' should hold `key: value` lines, not 3."),
        ("masks: 3", "as_published: 'masks': should hold `key: value` lines"),
        ("seg: {train: {epoch: 1}}", "as_published, seg: unknown key 'train.epoch'. Did you mean 'epochs'?"),
        ("corpus: {limt: 1}", "as_published, corpus: unknown key 'limt'. Did you mean 'limit'?"),
    ],
)
def test_mistakes_under_as_published_are_refused_where_they_do_not_hold(written, said, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: phantom/cam\nas_published: {{{written}}}\n")
    with pytest.raises(BadConfig) as refused:
        load_run(path)
    assert str(refused.value).startswith(f"{path}, {said}")


def test_keys_of_other_methods_and_choices_that_need_others_may_stand_under_as_published(tmp_path):
    path = tmp_path / "own.yaml"
    keys = "cam: {losses: {method: clims, sharpness: 3}}, seg: {train: {watch: miou}}, corpus: {config: phantom}"
    path.write_text(f"extends: phantom/cam\nas_published: {{{keys}}}\n")
    assert load_run(path).tree == load_run("phantom/cam").tree


def test_words_from_answers_need_a_corpus_configuration(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("dataset: phantom\nmethod: qa-clims-path\njudge: {id: owner/name}\n")
    with pytest.raises(BadConfig, match=r"corpus\.config"):
        stages_of(Run(load_run(path), tmp_path, tmp_path / "run"))


def test_a_card_may_be_a_file(root, tmp_path, tiny):
    card = tmp_path / "card.yaml"
    card.write_text("extends: phantom\nname: phantom\nnotes: [mine]\n")
    options = load_run("phantom/cam", [*tiny, f"dataset={card}"])
    stages = stages_of(Run(options, root, tmp_path / "run"))
    named = stages_of(Run(load_run("phantom/cam", tiny), root, tmp_path / "run"))
    assert load_card(card).notes == ("mine",)
    assert [stage.depends for stage in stages] == [stage.depends for stage in named]


def test_the_boundary_network_keeps_its_defaults_where_a_recipe_names_a_seed() -> None:
    """A learning rate of a tenth of the published one goes with a momentum of 0.9."""
    usual = load_run("voc2012/cam", ["seed=7"]).boundary
    train = usual.train
    assert (train.epochs, train.batch, train.lr, train.momentum, train.seed) == (3, 16, 0.01, 0.9, 7)
    assert load_run("voc2012/cam", ["masks.boundary.train.epochs=5"]).boundary.train.lr == 0.01
    assert load_boundary_options(["masks.boundary.train.epochs=5"], "train").train.lr == 0.01


@pytest.mark.parametrize("method", ["cam", "clims", "qa-clims"])
def test_the_published_boundary_network_is_trained_as_released(method: str) -> None:
    found = load_run(f"voc2012/{method}", ["published=true"]).boundary
    train = found.train
    assert (found.backbone, found.weights, found.size) == ("resnet50.tv_in1k", "pretrained", 512)
    assert (train.epochs, train.batch, train.lr, train.momentum) == (3, 32, 0.1, 1e-4)


def test_clims_on_coco_has_thresholds_of_its_own_when_published() -> None:
    found = load_run("coco2014/clims", ["published=true"])
    assert (found.masks.threshold, found.boundary.band) == (0.25, (0.1, 0.35))
