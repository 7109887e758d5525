"""The recipes of the offline rows, and how the command line changes them."""

from qaclims_path.config import flat


def test_every_recipe_loads_and_differs_only_where_it_should(scripts, tmp_path, monkeypatch):
    from reproduce.plan import SETS, Job, Plan, rows_of

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


def test_the_row_without_words_is_the_method_without_its_contrasts(scripts, tmp_path, monkeypatch):
    from reproduce.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    for of, row in ((SETS["voc"], "silent"), *((SETS[name], "cam+") for name in ("phantom", "wsss4luad"))):
        silent, whole = (Job(Plan(tmp_path, tmp_path), of, each, 0).options().cam for each in (row, of.method))
        assert {**whole.losses, "foreground": 0.0, "background": 0.0} == dict(silent.losses), of.name
        assert (silent.train, silent.augment, silent.init) == (whole.train, whole.augment, whole.init)


def test_a_real_judge_and_a_model_that_answers_take_the_place_of_stand_ins(scripts, tmp_path, monkeypatch):
    from reproduce.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    here = Job(Plan(tmp_path, tmp_path), SETS["voc"], "qa-clims", 0).options()
    assert (here.shared.judge.centred, here.corpus.judge.id) == (False, here.shared.judge.id)
    real = Job(Plan(tmp_path, tmp_path, judge="hf-hub:a/b"), SETS["voc"], "qa-clims", 0).options()
    assert (real.shared.judge.id, real.corpus.judge.id) == ("hf-hub:a/b", "hf-hub:a/b")
    assert (real.shared.judge.centred, real.corpus.lexicon) == (True, "natural")
    control = Job(Plan(tmp_path, tmp_path, judge="hf-hub:a/b"), SETS["voc"], "control", 0).options()
    assert not control.shared.judge.centred
    asked = Job(Plan(tmp_path, tmp_path, "hf-hub:a/b", "blip"), SETS["wsss4luad"], "qa-clims-path", 0).options().corpus
    assert (asked.answerer.kind, asked.answerer.model) == ("blip", "Salesforce/blip-vqa-base")
    assert (asked.judge, asked.lexicon) == (None, "none")
    other = Job(Plan(tmp_path, tmp_path, answerer="blip:my/own"), SETS["wsss4luad"], "qa-clims-path", 0).options()
    assert other.corpus.answerer.model == "my/own"


def apart(found: dict, whole: dict) -> list[str]:
    """Keys in which the options of maps differ."""
    ones, others = (flat({key: tree[key] for key in ("cam", "judge")}) for tree in (found, whole))
    return [key for key in ones if ones[key] != others.get(key)]


def test_the_ablation_changes_one_thing_at_a_time(scripts, tmp_path, monkeypatch):
    from reproduce.plan import ABLATION, SETS, Job, Plan, changes_nothing

    monkeypatch.chdir(scripts.parent)
    plan, of = Plan(tmp_path, tmp_path), SETS["wsss4luad"]
    whole = Job(plan, of, "qa-clims-path", 0).options().tree
    alike = set()
    for row in ABLATION:
        job = Job(plan, of, row, 0)
        found = job.options().tree
        assert len(apart(found, whole)) == (0 if changes_nothing(job) else 1), row
        assert found["cam"]["train"] == whole["cam"]["train"]
        alike |= {row} if changes_nothing(job) else set()
    assert alike == {"glass-shown"}


def test_settings_about_words_are_for_rows_with_words(scripts, tmp_path, monkeypatch):
    from reproduce.plan import SETS, Job, Plan, rows_of

    monkeypatch.chdir(scripts.parent)
    plan = Plan(
        tmp_path, tmp_path, settings=("cam.losses.classification=0.7", "judge.glass=show", "cam.train.epochs=2")
    )
    for row in rows_of(SETS["wsss4luad"]):
        found = Job(plan, SETS["wsss4luad"], row, 0).options().cam
        assert found.train.epochs == 2
        changed = found.losses.get("classification") == 0.7
        assert changed == (row not in ("start", "cam", "supervised")), row


def test_folders_may_have_any_name(scripts, tmp_path, monkeypatch):
    from reproduce.plan import SETS, Job, Plan

    monkeypatch.chdir(scripts.parent)
    folder = tmp_path / 'x "🔬" ä'
    found = Job(Plan(folder, folder), SETS["wsss4luad"], "qa-clims", 0).options()
    assert found.cam.network.weights.startswith(f"{folder}/")
    assert found.shared.judge.id == found.corpus.judge.id == str(folder / "wsss4luad" / "judge")
