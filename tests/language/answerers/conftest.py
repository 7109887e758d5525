"""Tiny models of real architectures with random weights, saved in the real formats."""

import numpy as np
import pytest

from qaclims_path.types import Ask

QUESTIONS = (
    "what kind of tumor is in the photo?",
    "purple nuclei?",
    "what is next to the stroma?",
    "what kind of cell is around the nuclei in the photo of the gland?",
)


def picture(seed, side=40):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pixels.flags.writeable = False  # as those read from files
    return pixels


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """Use one thread in every test of answerers."""


@pytest.fixture(scope="session")
def asks_of():
    """Makes asks: every question about every image, whose pixels depend on its number."""

    def make(images, questions=QUESTIONS, kind="foreground", topic="", label="tumor"):
        return [
            Ask(f"image-{image}", lambda image=image: picture(image), label, question, kind, topic)
            for image in range(images)
            for question in questions
        ]

    return make


TEMPLATE = """{{ bos_token }}{% for message in messages %}[{{ message.role }}] {% for part in message.content %}\
{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}\
{% if add_generation_prompt %}[assistant] {% endif %}"""


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory, few_words):
    return save_chat(tmp_path_factory.mktemp("models") / "tiny-llava", few_words)


def save_chat(folder, few_words):
    """Save a LLaVA with two narrow layers in each tower and a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    special = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
    vocabulary = {
        word: number for number, word in enumerate((*special, *few_words, "[user]", "[system]", "[assistant]"))
    }
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, extra_special_tokens=["<image>"], **marks)
    narrow = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokens = {"vocab_size": len(vocabulary), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(1)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**narrow, image_size=16, patch_size=8),
        text_config=LlamaConfig(**narrow, **tokens, max_position_embeddings=256, initializer_range=0.5),
        image_token_index=4,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = 2
    model.generation_config.suppress_tokens = [4]  # a trained model generates no image tokens
    model.save_pretrained(folder)
    size = {"height": 16, "width": 16}
    LlavaProcessor(
        CLIPImageProcessor(size=size, crop_size=size),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder
