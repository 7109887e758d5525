"""Chat models: a tiny LLaVA in the real format, batches, chat templates and replies."""

import shutil

import pytest
import torch

from qaclims_path.errors import BadFile
from qaclims_path.language.answerers import Setup, load_answerer
from qaclims_path.language.answerers import chat as chat_module
from qaclims_path.language.answerers.chat import ChatAnswerer, parse_reply
from qaclims_path.language.questions import load_bank

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def chat(chat_folder):
    return ChatAnswerer.load(str(chat_folder), device="cpu", batch=3, system="You see tissue.")


def changed(chat_folder, tmp_path, template):
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    return str(folder)


def test_batches_give_the_same_answers_as_single_asks(chat, asks_of, monkeypatch):
    monkeypatch.setattr(chat_module, "parse_reply", str)  # random weights do not follow the instruction
    asks = asks_of(3)
    answers = chat.answer(asks)
    assert len({answer.text for answer in answers}) > 3
    for ask, answer in zip(asks, answers, strict=True):
        (alone,) = chat.answer([ask])
        assert alone.text == answer.text
        assert alone.score == pytest.approx(answer.score, abs=TOLERANCE)


@torch.inference_mode()
def test_the_score_is_the_mean_log_probability_of_the_reply(chat, asks_of, monkeypatch):
    monkeypatch.setattr(chat_module, "parse_reply", str)
    (ask,) = asks_of(1, ["purple nuclei?"])
    (answer,) = chat.answer([ask])
    inputs = chat._inputs([ask.pixels()], [ask.question])
    prompt = inputs["input_ids"].shape[1]
    tokens = chat.model.generate(**inputs, max_new_tokens=chat_module.MAX_TOKENS, do_sample=False)
    mask = torch.ones_like(tokens)
    logits = chat.model(input_ids=tokens, attention_mask=mask, pixel_values=inputs["pixel_values"]).logits
    chosen = logits[0, prompt - 1 : -1].log_softmax(-1).gather(1, tokens[0, prompt:, None])
    assert answer.score == pytest.approx(float(chosen.mean()), abs=TOLERANCE)


def test_the_prompt_has_the_system_text_and_the_instruction(chat):
    prompt = chat._prompt("What is purple?")
    assert prompt.startswith("<s>[system] You see tissue. [user] <image> What is purple?\nAnswer with a noun phrase")
    assert prompt.endswith("Answer: <noun phrase> [assistant] ")


def test_a_prompt_has_one_start_token(chat):
    picture = torch.zeros(16, 16, 3, dtype=torch.uint8).numpy()
    (tokens,) = chat._inputs([picture], ["what?"])["input_ids"].tolist()
    assert tokens.count(chat.processor.tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    "head",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
        "{% if messages[0].role == 'system' %}{% set messages = messages[1:] %}{% endif %}",
    ],
    ids=["refuses", "ignores"],
)
def test_without_a_system_role_the_system_text_precedes_the_question(chat_folder, tmp_path, head, asks_of):
    template = (chat_folder / "chat_template.jinja").read_text()
    model = changed(chat_folder, tmp_path, head + template)
    chat = ChatAnswerer.load(model, device="cpu", system="You see tissue.")
    assert "[user] <image> You see tissue.\n\nWhat?" in chat._prompt("What?")
    assert len(chat.answer(asks_of(1))) == 4


def test_a_question_bank_gives_the_system_text(chat_folder):
    bank = load_bank("histology")
    chat = load_answerer("chat", Setup(model=str(chat_folder), device="cpu", bank=bank))
    assert bank.system
    assert bank.system in chat._prompt("What?")
    assert chat.provenance["answerer"] == "chat"
    assert chat.provenance["model"] == "tiny-llava"


def test_a_warning_names_a_question_that_is_cut(chat, asks_of):
    asks = asks_of(1, ["purple " * 400, "purple?"])
    with pytest.warns(UserWarning, match=r"Cut to the model's 224 tokens: 'purple purple"):
        answers = chat.answer(asks)
    assert len(answers) == 2


def test_a_model_without_a_chat_template_is_refused(chat_folder, tmp_path):
    folder = shutil.copytree(chat_folder, tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BadFile, match=r"has no chat template or no image processor"):
        ChatAnswerer.load(str(folder), device="cpu")


def test_a_model_that_is_no_chat_model_is_refused(blip_folder):
    with pytest.raises(BadFile, match=r"tiny-blip is not a chat model.*no chat template"):
        ChatAnswerer.load(str(blip_folder), device="cpu")


def test_a_broken_template_is_refused(chat_folder, tmp_path):
    with pytest.raises(BadFile, match=r"cannot be loaded as a chat model for images: "):
        ChatAnswerer.load(changed(chat_folder, tmp_path, "{% for"), device="cpu", system="x")


@pytest.mark.parametrize(
    ("reply", "phrase"),
    [
        ("Answer: dense stroma", "dense stroma"),
        ("answer : Dense stroma.\nI hope this helps.", "Dense stroma"),
        ("Sure.\n**Answer:** *tumor cells*", "tumor cells"),
        ("Thought: is it? Answer: a\nAnswer: glands; mucin", "glands"),
        ('{"answer": "spindle cells"}', "spindle cells"),
        ("fibrous tissue\nwith collagen", "fibrous tissue"),
        ("Answer: unknown", ""),
        ("Answer:", ""),
        ("  \n ", ""),
        ("Answer: <b>cells</b>", "<b>cells</b>"),
        ("Answer: <dense stroma>.", "dense stroma"),
        ("Answer:\n  glands", "glands"),
    ],
)
def test_the_phrase_of_a_reply_is_extracted(reply, phrase):
    assert parse_reply(reply) == phrase
