"""Generate paraphrases with a language model, for ccutils.contexts.paraphrase."""

from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm

from ccutils.contexts.paraphrase import Paraphraser
from ccutils.errors import InputError, reason
from ccutils.packaged import LANGUAGE_MODELS, find_model
from ccutils.tasks.base import Example

REQUEST = "Say the following in other words, in one line. Keep names, numbers and all of its meaning.\n\n"


def write_paraphrases(examples: Sequence[Example], how: Paraphraser, batch: int = 16) -> dict[str, list[str]]:
    """Sample paraphrases of each input from a causal language model: the first line of each answer.

    The model is `how.source`: a name in LANGUAGE_MODELS, a directory, or a Hub id. Raises InputError if it
    cannot be loaded.
    """
    import torch  # here, since it takes seconds and most paraphrasers do without
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = str(find_model(how.source)) if how.source in LANGUAGE_MODELS else how.source
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval()
    except (OSError, ValueError, KeyError) as error:
        why = reason(error)
        raise InputError(
            f"paraphrase model {how.source!r} could not be loaded ({why}): check its name and the network."
        ) from None
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    offered: dict[str, list[str]] = {e.input: [] for e in examples}
    torch.manual_seed(how.seed)
    for start in tqdm(range(0, len(examples), batch), desc="paraphrases", delay=2):
        part = [e.input for e in examples[start : start + batch]]
        encoded = tokenizer(
            [write_request(tokenizer, text) for text in part],
            return_tensors="pt",
            padding=True,
            add_special_tokens=not tokenizer.chat_template,  # a chat template adds its own
        )
        encoded.pop("token_type_ids", None)  # some tokenizers return them, causal models accept none
        room = 2 * max(len(tokenizer(text)["input_ids"]) for text in part) + 8
        with torch.inference_mode():
            tokens = model.generate(
                **encoded.to(model.device),
                do_sample=True,
                temperature=0.9,
                top_p=0.95,
                max_new_tokens=room,
                num_return_sequences=how.variants,
                pad_token_id=tokenizer.pad_token_id,
            )
        answers = tokenizer.batch_decode(tokens[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, answer in enumerate(answers):
            lines = answer.strip().splitlines()
            offered[part[i // how.variants]].append(lines[0].strip() if lines else "")
    return offered


def write_request(tokenizer: Any, text: str) -> str:
    """Write the request, in the model's chat template if it has one."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": REQUEST + text}]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return f"{REQUEST}Text: {text}\nIn other words:"
