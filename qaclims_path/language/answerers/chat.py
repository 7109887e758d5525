"""Chat models that see: a system text, an image and a question in, a short phrase out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qaclims_path.errors import BadFile
from qaclims_path.files.hub import load_pretrained, load_processor, loading, model_name, resolve, revision_of
from qaclims_path.language.answerers.asking import batches, by_image, mean_log_probability, spoken, warn_of_cut
from qaclims_path.language.answerers.devices import choose
from qaclims_path.types import Answer, Ask

WHAT = "chat model that sees images"
LONGEST = 32  # tokens of a reply: the answer is far shorter
INSTRUCTION = (
    'Answer with a noun phrase of one to five words and nothing else. If the image does not show it, answer "unknown". '
    "Write one line of this form:\nAnswer: <noun phrase>"
)
NOTHING = {"", "unknown", "none", "n/a", "not visible", "nothing"}
AROUND = " \t*_`\"'{}[].,:"
Message = dict[str, Any]


class ChatAnswerer:
    """Answers with any `AutoModelForImageTextToText`; the score is the mean log probability per token of the reply.

    Example:
        >>> chat = ChatAnswerer.load("google/medgemma-4b-it", system=bank.system)  # doctest: +SKIP
        >>> chat.answer(asks)[0]  # doctest: +SKIP
        Answer(text='invasive ductal carcinoma', score=-0.18)
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - transformers' models are not typed
        processor: Any,  # noqa: ANN401
        *,
        system: str = "",
        batch: int = 8,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.processor, self.system, self.batch = model, processor, system, batch
        self._provenance = dict(provenance or {})
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"  # replies begin where the prompts end
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._rendered("", "")  # a broken template shows here
        self._has_system_role = bool(system) and self._takes_system_role()

    @classmethod
    def load(
        cls,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch: int = 8,
        system: str = "",
    ) -> "ChatAnswerer":
        """Load from a hub id or a folder; `system` is what the model is told before it is asked."""
        from transformers import AutoModelForImageTextToText

        place, numbers = choose(device, dtype)
        folder = resolve(model, revision=revision)
        processor = load_processor(model, folder, WHAT)
        if not getattr(processor, "chat_template", None) or not hasattr(processor, "image_processor"):
            raise BadFile(
                f"{model} is not a {WHAT}: it has no chat template or no image processor. Give an instruction-tuned "
                "model with both, or add chat_template.jinja to its folder."
            )
        network = load_pretrained(AutoModelForImageTextToText, model, folder, WHAT, dtype=numbers).to(place)
        provenance = {
            "answerer": "chat",
            "model": model_name(model),
            "revision": revision_of(folder),
            "dtype": str(numbers).removeprefix("torch."),
            "score": "mean log probability per token",
        }
        with loading(model, WHAT):
            return cls(network, processor, system=system, batch=batch, provenance=provenance)

    @property
    def provenance(self) -> Mapping[str, str]:
        """Model, revision, number format; the system text is part of the question bank's hash."""
        return self._provenance

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in order, `batch` at a time; questions of about one length stand together."""
        answers: dict[int, Answer] = {}
        groups = by_image(asks)
        for together in (groups[part] for part in batches(len(groups), self.batch)):
            pictures = {group.image: asks[group.asks[0]].pixels() for group in together}
            order = sorted((p for group in together for p in group.asks), key=lambda p: len(asks[p].question))
            for part in batches(len(order), self.batch):
                chosen = [asks[position] for position in order[part]]
                said = self._reply([pictures[ask.image] for ask in chosen], [ask.question for ask in chosen])
                answers |= zip(order[part], said, strict=True)
        return [answers[position] for position in range(len(asks))]

    def _reply(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> list[Answer]:
        inputs = self._fitting(pictures, questions)
        out = self.model.generate(
            **inputs,
            max_new_tokens=LONGEST,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens, ends = out.sequences[:, inputs["input_ids"].shape[1] :], self._ends()
        scores = mean_log_probability(out.logits, tokens, ends).tolist()
        kept = [row[keep].tolist() for row, keep in zip(tokens, spoken(tokens, ends), strict=True)]
        texts = self.processor.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [Answer(parse_reply(text), score) for text, score in zip(texts, scores, strict=True)]

    def _fitting(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> Any:  # noqa: ANN401
        """What the model is given; questions that do not fit into its context are cut with a warning."""
        inputs = self._inputs(pictures, questions)
        text = self.model.config.get_text_config()
        context = int(getattr(text, "max_position_embeddings", None) or 2**31) - LONGEST
        lengths = inputs["attention_mask"].sum(1).tolist()
        if max(lengths) <= context:
            return inputs
        warn_of_cut(questions, lengths, context)
        return self._inputs(pictures, [self._cut(q, n - context) for q, n in zip(questions, lengths, strict=True)])

    def _cut(self, question: str, excess: int) -> str:
        ids = self.processor.tokenizer(question, add_special_tokens=False)["input_ids"]
        kept = ids[: max(1, len(ids) - excess)] if excess > 0 else ids
        return str(self.processor.tokenizer.decode(kept))

    def _inputs(self, pictures: Sequence[NDArray[np.uint8]], questions: Sequence[str]) -> Any:  # noqa: ANN401
        """Token ids N T and pixels, on the model's device; a template that begins with the start token keeps one."""
        prompts = [self._prompt(question) for question in questions]
        start = self.processor.tokenizer.bos_token
        special = {"add_special_tokens": False} if start and prompts[0].startswith(start) else {}
        images = [[np.array(picture)] for picture in pictures]  # files are read as arrays that cannot be written
        inputs = self.processor(text=prompts, images=images, padding=True, return_tensors="pt", **special)
        return inputs.to(self.model.device, dtype=self.model.dtype)

    def _prompt(self, question: str) -> str:
        system = self.system if self._has_system_role else ""
        words = f"{question}\n{INSTRUCTION}"
        told = f"{self.system}\n\n{words}" if self.system and not system else words
        return self._rendered(system, told)

    def _rendered(self, system: str, words: str) -> str:
        messages: list[Message] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}]
        if system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    def _takes_system_role(self) -> bool:
        """Whether the template shows a system text; some refuse one and some leave it out."""
        from jinja2 import TemplateError

        try:
            return self.system.strip() in self._rendered(self.system, "")
        except TemplateError:
            return False

    def _ends(self) -> list[int]:
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            ends = self.processor.tokenizer.eos_token_id
        return [int(end) for end in (ends if isinstance(ends, list) else [ends]) if end is not None]


def parse_reply(reply: str) -> str:
    r"""The phrase in a reply; empty where the model says that there is none.

    Example:
        >>> parse_reply('Sure!\nAnswer: **Dense stroma.**'), parse_reply("Answer: unknown")
        ('Dense stroma', '')
    """
    found = re.findall(r"answer\W*:\s*([^\n]*)", reply, flags=re.IGNORECASE)
    lines = found[-1:] or [line for line in reply.splitlines() if line.strip()] or [""]
    phrase = re.sub(r"^<([^<>]*)>$", r"\1", lines[0].strip(AROUND))  # the brackets of the form, but not of a tag
    phrase = re.split(r"[.;](?:\s|$)", phrase)[0].strip(AROUND)
    return "" if phrase.lower() in NOTHING else phrase
