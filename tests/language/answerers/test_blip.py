"""BLIP: rows and batches give the same answers as one call per question; wrong models are refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qaclims_path.errors import BadFile, QaclimsError, UsageError
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.answerers import blip as blip_module
from qaclims_path.types import Ask

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def blip(blip_folder):
    return load_answerer("blip", Setup(model=str(blip_folder), device="cpu", batch=2))


@torch.inference_mode()
def one_call(blip, ask):
    """Answer of transformers' `generate`: text, score, and smallest lead of the best word over the second."""
    pixels = blip.processor.image_processor(
        [np.array(ask.pixels())], size={"height": blip.size, "width": blip.size}, return_tensors="pt"
    )["pixel_values"]
    words = blip.processor.tokenizer(ask.question, return_tensors="pt")
    out = blip.model.generate(
        input_ids=words["input_ids"],
        attention_mask=words["attention_mask"],
        pixel_values=pixels,
        interpolate_pos_encoding=True,
        max_new_tokens=blip_module.MAX_TOKENS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    steps = [logits[0].log_softmax(-1) for logits in out.logits]
    tokens = out.sequences[0, 1:].tolist()
    lead = min(float(step.topk(2).values.diff().abs()) for step in steps)
    score = sum(float(step[token]) for step, token in zip(steps, tokens, strict=True)) / len(tokens)
    return blip.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip(), score, lead


def assert_same(answers, blip, asks):
    for answer, ask in zip(answers, asks, strict=True):
        text, score, lead = one_call(blip, ask)
        if lead > TOLERANCE:
            assert answer.text == text
            assert answer.score == pytest.approx(score, abs=TOLERANCE)


def test_batched_answers_equal_one_call_per_question(blip, asks_of):
    asks = asks_of(5)
    answers = blip.answer(asks)
    assert len({answer.text for answer in answers}) > 3
    assert_same(answers, blip, asks)


@torch.inference_mode()
def one_released_call(blip, ask, beams):
    """Return the answer that BLIP's own code asks for, its score, and its lead over the second best answer."""
    pixels = blip.processor.image_processor([np.array(ask.pixels())], return_tensors="pt")["pixel_values"]
    words = blip.processor.tokenizer(ask.question, max_length=35, truncation=True, return_tensors="pt")
    words["input_ids"][:, 0] = blip.processor.tokenizer.convert_tokens_to_ids("[ENC]")
    out = blip.model.generate(
        input_ids=words["input_ids"],
        attention_mask=words["attention_mask"],
        pixel_values=pixels,
        max_length=10,
        min_length=1,
        num_beams=beams,
        num_return_sequences=min(beams, 2),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    texts = blip.processor.tokenizer.batch_decode(out.sequences[:, 1:], skip_special_tokens=True)
    scores = out.sequences_scores.tolist()
    return texts[0].strip(), scores[0], abs(scores[0] - scores[-1])


@pytest.fixture(scope="module")
def released(marked_blip_folder):
    return load_answerer("blip", Setup(model=str(marked_blip_folder), device="cpu", batch=2, decoding="released"))


def test_released_answers_equal_a_beam_search_of_transformers_for_each_question(released, marked_blip_folder, asks_of):
    asks = asks_of(5)
    answers, decided = released.answer(asks), 0
    for answer, ask in zip(answers, asks, strict=True):
        text, score, lead = one_released_call(released, ask, 3)
        assert answer.score == pytest.approx(score, abs=TOLERANCE)
        if lead > TOLERANCE:
            decided += 1
            assert answer.text == text
            assert len(text.split()) <= 9
    assert decided > 10
    assert released.provenance["decoding"] == "released"
    greedy = load_answerer("blip", Setup(model=str(marked_blip_folder), device="cpu"))
    assert "decoding" not in greedy.provenance
    assert [one.text for one in greedy.answer(asks)] != [one.text for one in answers]


def test_a_released_question_begins_with_its_mark_and_is_cut_after_35_tokens(released, monkeypatch):
    mark = released.processor.tokenizer.convert_tokens_to_ids("[ENC]")
    tokens = released._tokens(["purple nuclei?"])[0].tolist()
    assert tokens[0] == mark != released.processor.tokenizer.cls_token_id
    assert tokens[1:] == released.processor.tokenizer("purple nuclei?")["input_ids"][1:]
    monkeypatch.setattr(released.model.config.text_config, "max_position_embeddings", 64)
    with pytest.warns(UserWarning, match="Cut to the model's 35 tokens"):
        tokens = released._tokens(["purple " * 50])[0].tolist()
    assert (len(tokens), tokens[-1]) == (35, released.processor.tokenizer.sep_token_id)


def test_a_model_without_the_mark_cannot_be_asked_as_released(blip_folder):
    with pytest.raises(UsageError, match=r"has \d+ tokens and no \[ENC\].*answerer.decoding=greedy"):
        load_answerer("blip", Setup(model=str(blip_folder), device="cpu", decoding="released"))


def test_the_order_and_number_of_asks_changes_no_answer(blip, asks_of):
    asks = asks_of(3)[1:]
    by_ask = dict(zip(asks, blip.answer(asks), strict=True))
    shuffled = asks[::2] + asks[1::2]
    for ask, answer in zip(shuffled, blip.answer(shuffled), strict=True):
        assert answer.text == by_ask[ask].text
        assert answer.score == pytest.approx(by_ask[ask].score, abs=TOLERANCE)
    assert blip.answer([]) == []


def test_several_rows_give_the_same_answers(blip, asks_of, monkeypatch):
    asks = asks_of(2)
    expected = blip.answer(asks)
    monkeypatch.setattr(blip_module, "ROW", 3)
    parts = blip.answer(asks)
    assert [answer.text for answer in parts] == [answer.text for answer in expected]
    assert [answer.score for answer in parts] == pytest.approx([answer.score for answer in expected], abs=TOLERANCE)


def test_every_image_is_read_once(blip, asks_of):
    read = []
    asks = [
        Ask(ask.image, lambda ask=ask: read.append(ask.image) or ask.pixels(), ask.label, ask.question, ask.kind)
        for ask in asks_of(3)
    ]
    blip.answer(asks)
    assert read == ["image-0", "image-1", "image-2"]


def test_images_are_resized_to_the_given_size(blip_folder, asks_of):
    larger = load_answerer("blip", Setup(model=str(blip_folder), device="cpu", size=64))
    asks = asks_of(2)
    assert_same(larger.answer(asks), larger, asks)
    assert larger.provenance["pixels"] == "64"


def test_the_size_must_be_a_multiple_of_the_patch_size(blip_folder):
    with pytest.raises(UsageError, match=r"60 pixels are not a multiple of the model's patch size, 8 pixels"):
        load_answerer("blip", Setup(model=str(blip_folder), device="cpu", size=60))


def test_bfloat16_gives_finite_scores(blip_folder, asks_of):
    half = load_answerer("blip", Setup(model=str(blip_folder), device="cpu", dtype="bfloat16"))
    answers = half.answer(asks_of(2))
    assert half.provenance["dtype"] == "bfloat16"
    assert all(torch.isfinite(torch.tensor(answer.score)) for answer in answers)


def test_a_warning_names_a_question_that_is_cut(blip, asks_of):
    long = "what kind of tumor is in the photo " * 10
    with pytest.warns(UserWarning, match=r"Cut to the model's 32 tokens: 'what kind of tumor.*…'\."):
        answers = blip.answer(asks_of(1, [long, "purple?"]))
    assert len(answers) == 2


def test_provenance_has_the_name_of_the_folder_without_its_path(blip, blip_folder):
    assert blip.provenance["model"] == "tiny-blip"
    assert blip.provenance["revision"].startswith("sha256:")
    assert blip.provenance["score"] == "mean log probability per token"
    assert str(blip_folder.parent) not in str(blip.provenance)


def copied(blip_folder, tmp_path):
    return shutil.copytree(blip_folder, tmp_path / "model")


def test_a_model_without_tokenizer_is_refused(blip_folder, tmp_path):
    folder = copied(blip_folder, tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadFile, match=r"has no tokenizer .*save_pretrained"):
        load_answerer("blip", Setup(model=str(folder)))


def test_a_model_of_another_kind_is_refused(blip_folder, tmp_path):
    folder = copied(blip_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "clip"}))
    with pytest.raises(BadFile, match=r"is a model of the type 'clip', not a BLIP.*Use the answerer 'chat'"):
        load_answerer("blip", Setup(model=str(folder)))


def test_a_model_without_a_text_encoder_is_refused(blip_folder, tmp_path):
    folder = copied(blip_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("text_encoder")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadFile, match=r"weights lack \d+ tensors, such as text_encoder.*trained as one"):
        load_answerer("blip", Setup(model=str(folder)))


def test_damaged_weights_are_refused(blip_folder, tmp_path):
    folder = copied(blip_folder, tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadFile, match=r"cannot be loaded as a BLIP question answering model.*copied completely"):
        load_answerer("blip", Setup(model=str(folder)))
    (folder / "config.json").write_text("{")
    with pytest.raises(BadFile, match="cannot be loaded as a BLIP"):
        load_answerer("blip", Setup(model=str(folder)))


def test_weights_in_a_pickle_are_never_opened(blip_folder, tmp_path):
    folder = copied(blip_folder, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(BadFile, match=r"only pickled weights \(pytorch_model.bin\)"):
        load_answerer("blip", Setup(model=str(folder)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "no number format 'int8'"),
        ({"device": "teapot"}, "device 'teapot' cannot be used"),
        ({"batch": 0}, "batch of 0"),
    ],
)
def test_impossible_options_are_refused(blip_folder, options, message):
    with pytest.raises(UsageError, match=message):
        load_answerer("blip", Setup(model=str(blip_folder), **options))


def test_a_missing_model_is_named():
    with pytest.raises(UsageError, match="The answerer 'blip' needs a model such as"):
        load_answerer("blip", Setup())


def test_an_unknown_answerer_is_named_with_a_suggestion():
    with pytest.raises(QaclimsError, match=r"no answerer 'blib'. Did you mean 'blip'\?"):
        load_answerer("blib", Setup())
